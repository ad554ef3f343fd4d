"""What no part of a node may use: whatever turns stored or received bytes into code (S44 of the attack tests).

Hash states, sessions and caches are where others pickled, and an attacker's bytes ran (CVE-2026-32590).
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for room in ("node", "protocol") for path in (ROOT / room).rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "yaml", "jsonpickle", "code"}
CALLS = {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_makes_code_of_bytes(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_bytes())):
        match node:
            case ast.Import(names=names):
                assert not {name.name.partition(".")[0] for name in names} & MODULES, node.lineno
            case ast.ImportFrom(module=str(module)):
                assert module.partition(".")[0] not in MODULES, node.lineno
            case ast.Call(func=ast.Name(id=name)):
                assert name not in CALLS, node.lineno
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                pytest.fail(f"a shell at {node.lineno}")
            case _:
                pass
