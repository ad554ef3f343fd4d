"""What a node runs with is what it was tested with: the locks agree, and each release in them has its hashes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "deploy/setup/runtime.lock"
LOCKS = (ROOT / "requirements.lock", RUNTIME, ROOT / "deploy/setup/build.lock")
CLIENT = ROOT / "deploy/setup/aws-cli.lock"
_PIN = re.compile(r"^([a-z0-9-]+)==(\S+)[^\n]*((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)*)", re.MULTILINE)


def pins(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Name -> (version, hashes)."""
    found = _PIN.findall(lock.read_text())
    return {name: (version, frozenset(re.findall(r"sha256:(\w+)", hashes))) for name, version, hashes in found}


@pytest.mark.parametrize("lock", [*LOCKS, CLIENT], ids=lambda lock: lock.name)
def test_every_release_is_pinned_with_its_hashes(lock: Path) -> None:
    found = pins(lock)
    names = re.findall(r"^([a-zA-Z0-9._-]+)\s*[=<>@;]", lock.read_text(), re.MULTILINE)
    assert {*names} == {*found}
    assert all(hashes for _, hashes in found.values())


@pytest.mark.parametrize("lock", LOCKS[1:], ids=lambda lock: lock.name)
def test_the_others_have_the_releases_of_the_tests(lock: Path) -> None:
    tested = pins(LOCKS[0])
    assert {name: pin for name, pin in pins(lock).items() if tested.get(name) != pin} == {}


def test_a_node_brings_what_it_imports_and_no_tools() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    needed = re.findall(r'^    "([a-z0-9-]+)', text.partition("dependencies = [")[2].partition("]")[0], re.MULTILINE)
    runtime = {*pins(RUNTIME)}
    assert {*needed} <= runtime
    assert not runtime & {"pytest", "mypy", "ruff", "hypothesis", "httpx", "hatchling", "protobuf", "pyyaml"}
