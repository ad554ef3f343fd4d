"""A store is brought from each version to the next, whole or not at all, and an unknown one is left alone."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.store.format import FORMAT, Tell, prepare, require_current, require_whole
from protocol.errors import Damaged, NotReady


def step(path: Path, name: str, *, dies: Callable[[], bool] = lambda: False) -> None:
    """An upgrade that does something twice, and bears that it was killed in between."""
    for one in ("one", "two"):
        (path / name).mkdir(exist_ok=True)
        (path / name / one).touch()
        if dies():
            raise KeyboardInterrupt


def first(path: Path, tell: Tell) -> None:
    step(path, "first")
    tell(250_000)


def second(path: Path, _tell: Tell) -> None:
    assert (path / "first" / "two").exists(), "in order"
    step(path, "second")


UPGRADES = {1: first, 2: second}


def test_an_empty_directory_gets_the_version(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert (tmp_path / "FORMAT").read_text() == FORMAT
    prepare(tmp_path)
    require_current(tmp_path)


def test_each_step_is_taken_in_order_and_once(tmp_path: Path) -> None:
    (tmp_path / "FORMAT").write_text("entrepot 1\n")
    prepare(tmp_path, version=3, upgrades=UPGRADES)
    assert (tmp_path / "FORMAT").read_text() == "entrepot 3\n"
    (tmp_path / "second" / "two").unlink()
    prepare(tmp_path, version=3, upgrades=UPGRADES)
    assert not (tmp_path / "second" / "two").exists()


def test_a_step_that_was_killed_is_taken_again(tmp_path: Path) -> None:
    died = [False]

    def dying(path: Path, _tell: Tell) -> None:
        def dies() -> bool:
            died[0], before = True, died[0]
            return not before

        step(path, "first", dies=dies)

    (tmp_path / "FORMAT").write_text("entrepot 1\n")
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, version=2, upgrades={1: dying})
    assert (tmp_path / "FORMAT").read_text() == "entrepot 1 to 2\n"
    with pytest.raises(NotReady, match="entrepot 1 to 2"):
        prepare(tmp_path, version=1)  # The version before does not take it for its own.
    with pytest.raises(NotReady):
        require_current(tmp_path)
    prepare(tmp_path, version=2, upgrades={1: dying})
    assert (tmp_path / "first" / "two").exists()
    assert (tmp_path / "FORMAT").read_text() == "entrepot 2\n"


def test_a_step_that_makes_no_sense_of_it_says_what_to_do(tmp_path: Path) -> None:
    def fails(_path: Path, _tell: Tell) -> None:
        raise Damaged("a row")

    (tmp_path / "FORMAT").write_text("entrepot 1\n")
    with pytest.raises(Damaged, match="restore a backup"):
        prepare(tmp_path, version=2, upgrades={1: fails})
    assert (tmp_path / "FORMAT").read_text() == "entrepot 1 to 2\n"


@pytest.mark.parametrize(
    "text", ["entrepot 4\n", "entrepot 3 to 4\n", "entrepot 1 to 3\n", "entrepot 1", "", "entrepot 0\n", "docker 1\n"]
)
def test_an_unknown_version_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "FORMAT").write_text(text)
    with pytest.raises(NotReady, match="run the version that wrote it"):
        prepare(tmp_path, version=3, upgrades=UPGRADES)
    assert (tmp_path / "FORMAT").read_text() == text


def test_a_version_without_a_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "FORMAT").write_text("entrepot 1\n")
    with pytest.raises(NotReady, match="no way to 3"):
        prepare(tmp_path, version=3, upgrades={2: second})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_store_of_another_user_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path)
    os.chown(tmp_path / "FORMAT", 12345, -1)
    with pytest.raises(NotReady, match="chown"):
        prepare(tmp_path)


def test_a_restore_that_did_not_end_is_no_store(tmp_path: Path) -> None:
    require_whole(tmp_path)
    (tmp_path / "FORMAT").write_text("entrepot restoring: generation 3 of node x\n")
    for refused in (require_whole, require_current, prepare):
        with pytest.raises(NotReady, match="entrepot restore"):
            refused(tmp_path)
