"""Each folder's ``__init__.py`` names every module and folder beside it, once, and nothing else."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAPS = [one for room in ("node", "protocol") for one in sorted((ROOT / room).rglob("__init__.py"))]


@pytest.mark.parametrize("init", MAPS, ids=lambda one: str(one.parent.relative_to(ROOT)))
def test_a_map_shows_what_is_there(init: Path) -> None:
    modules = {one.stem for one in init.parent.glob("*.py")} - {"__init__"}
    folders = {one.parent.name for one in init.parent.glob("*/__init__.py")}
    text = ast.get_docstring(ast.parse(init.read_text())) or ""
    named = re.findall(r"^\* ``(\w+)``", text, re.MULTILINE)
    assert sorted(named) == sorted(modules | folders)
