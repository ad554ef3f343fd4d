"""Every canary still has its line: ``make canaries`` breaks each of them, and requires red tests."""

from pathlib import Path

import pytest

from tests.canaries.run import apply
from tests.canaries.table import CANARIES, Canary

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("canary", CANARIES, ids=lambda one: one.name)
def test_a_canary_can_be_applied_and_is_python(canary: Canary, tmp_path: Path) -> None:
    copy = tmp_path / canary.file
    copy.parent.mkdir(parents=True)
    copy.write_text((ROOT / canary.file).read_text())
    assert apply(canary, tmp_path), f"{canary.file} does not have the text of the canary once: let the canary follow"
    compile(copy.read_text(), canary.file, "exec")
    assert canary.tests


def test_there_are_twelve_and_none_twice() -> None:
    assert len({one.name for one in CANARIES}) == len(CANARIES) >= 12
