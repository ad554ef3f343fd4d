"""What the pages name is there, and what is there is named by the page whose business it is."""

import re
from pathlib import Path
from typing import get_args

import pytest

from node.cli.main import COMMANDS
from node.config.settings import Config
from node.telemetry.alarms import AlarmName

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("README.md"))]
TESTS = {one.stem for one in (ROOT / "tests").rglob("test_*.py")}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda one: str(one.relative_to(ROOT)))


def read(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in heads}, anchor


@each_page
def test_tests_that_are_named_are_there(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(test_\w+)(?:\.py)?`", text):
        assert name in TESTS or re.search(rf"def {name}\b", _all_tests()), name


def test_each_command_is_described() -> None:
    rows = " ".join(line for line in read("cli.md").splitlines() if line.startswith("|"))
    assert [name for name in COMMANDS if not re.search(rf"`{name}\b", rows)] == []


def test_each_alarm_is_explained() -> None:
    text = read("operation.md")
    assert [name for name in get_args(AlarmName) if f"| `{name}`" not in text and f", `{name}` |" not in text] == []


def test_each_key_of_the_configuration_is_explained() -> None:
    text = read("configuration.md")
    missing = []
    for section in Config.__struct_fields__:
        for key in Config.__annotations__[section].__struct_fields__:
            name = key.removesuffix("_per_second")  # Those are told with what they fill up again.
            if f"`{section}.{name}`" not in text and f"`.{name}`" not in text:
                missing.append(f"{section}.{key}")
    assert missing == []


def test_each_target_of_make_is_explained() -> None:
    targets = re.findall(r"^([a-z][a-z0-9-]*):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [one for one in targets if f"| `make {one}` |" not in read("testing.md")] == []


def test_each_end_to_end_test_is_introduced() -> None:
    text = read("testing.md")
    files = sorted(one.stem for one in (ROOT / "tests" / "e2e").glob("test_*.py"))
    assert [one for one in files if f"`{one}`" not in text] == []


def _all_tests() -> str:
    return "\n".join(one.read_text() for one in (ROOT / "tests").rglob("test_*.py"))
