"""``entrepot check``: nothing wrong 0, findings 1, no store 4, a store in use 5; nothing is written."""

import hashlib
import json
from pathlib import Path

import pytest
import trio

from node.peers.identity import create_local_identity
from node.store.chunks import MAP_SIZE
from node.store.store import open_store
from tests.node.cli.conftest import Shell


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A data directory whose node ran, and was stopped."""
    create_local_identity(tmp_path, now=1_800_000_000)
    write(tmp_path, damaged=False)
    return tmp_path


def write(data: Path, *, damaged: bool) -> None:
    async def run() -> None:
        async with open_store(data, map_size=MAP_SIZE, reserve=0) as store:
            if damaged:
                await store.writer.write(lambda txn: store.meta.blobs.due.put(txn, b"no key", b""))

    trio.run(run)


def test_nothing_is_wrong(run: Shell, store: Path) -> None:
    result = run("check")
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(run("check", "--json", "--deep").stdout) == {"findings": [], "counts": {}}


def test_a_finding_is_a_line(run: Shell, store: Path) -> None:
    write(store, damaged=True)
    result = run("check")
    assert result.exit_code == 1
    [kind, place, what, remedy] = result.stdout.rstrip("\n").split("\t")
    assert (kind, place, what) == ("key", f"due {b'no key'.hex()}", "is not a key of this table")
    assert remedy


def test_findings_as_json(run: Shell, store: Path) -> None:
    write(store, damaged=True)
    result = run("check", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert [(one["kind"], one["severity"]) for one in answer["findings"]] == [("key", "error")]
    assert answer["counts"] == {"due": 1}


def test_nothing_is_written(run: Shell, store: Path) -> None:
    before = contents(store)
    assert run("check", "--deep").exit_code == 0
    assert contents(store) == before


def test_there_is_no_store(run: Shell, tmp_path: Path) -> None:
    result = run("check")
    assert result.exit_code == 4
    assert "no store" in result.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_store_in_use_is_refused(run: Shell, store: Path) -> None:
    async with open_store(store, map_size=MAP_SIZE, reserve=0):
        result = run("check")
    assert result.exit_code == 5
    assert "stop it first" in result.stderr


def test_a_format_of_another_version_is_refused(run: Shell, store: Path) -> None:
    (store / "FORMAT").write_text("entrepot 99\n")
    result = run("check")
    assert result.exit_code == 5
    assert "entrepot 99" in result.stderr


@pytest.mark.parametrize("missing", ["meta", "chunks"])
def test_a_store_that_is_not_whole_is_refused(run: Shell, store: Path, missing: str) -> None:
    (store / missing / "data.mdb").unlink()
    result = run("check")
    assert result.exit_code == 5
    assert "not whole" in result.stderr


def contents(data: Path) -> dict[str, str]:
    """Every file but the table of readers, which every opening of an environment uses."""
    return {
        str(file.relative_to(data)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in data.rglob("*")
        if file.is_file() and file.name != "lock.mdb"
    }
