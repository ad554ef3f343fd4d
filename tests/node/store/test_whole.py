"""A file that cannot be whole is refused before it is opened, with what to do; one that can is not."""

import os
from pathlib import Path
from random import Random

import lmdb
import pytest

from node.store.meta import open_meta
from node.store.store import open_stopped, open_store
from node.store.whole import require_sound
from protocol.errors import NotReady


def fill(path: Path, seed: int) -> None:
    """Put and delete rows, some of them in one transaction: the file ends before the last page then, now and again."""
    random = Random(seed)
    with lmdb.open(str(path), map_size=2**30, max_dbs=2, lib_version=0, sync=False) as env:
        table = env.open_db(b"a")
        for number in range(8):
            with env.begin(write=True, db=table) as txn:
                keys = [b"%06d %d" % (one, number) for one in range(random.choice((1, 10, 100, 1000)))]
                for key in keys:
                    txn.put(key, random.randbytes(random.choice((10, 500, 1900, 20_000))))
                random.shuffle(keys)
                for key in keys[: random.choice((0, len(keys), len(keys) // 2))]:
                    txn.delete(key)


def pages(path: Path) -> int:
    with lmdb.open(str(path), max_dbs=2, lib_version=0, readonly=True, lock=False) as env:
        return int(env.info()["last_pgno"]) + 1


def test_what_lmdb_wrote_is_sound(tmp_path: Path) -> None:
    short = 0
    for seed in range(40):
        path = tmp_path / str(seed)
        path.mkdir()
        fill(path, seed)
        require_sound(path)
        short += (path / "data.mdb").stat().st_size < pages(path) * 4096
    assert short, "else this shows little"


def test_a_file_without_its_end_is_refused(tmp_path: Path) -> None:
    refused = 0
    for seed in range(20):
        path = tmp_path / str(seed)
        path.mkdir()
        fill(path, seed)
        file = path / "data.mdb"
        whole = file.read_bytes()
        for kept in (len(whole) // 4096 * 4096 // 2, len(whole) - 4096):
            file.write_bytes(whole[:kept])
            try:
                require_sound(path)
            except NotReady:
                refused += 1
                continue
            read_all(path)  # What is cut off was free: nothing is missed. Else this is SIGBUS.
    assert refused > 20


def read_all(path: Path) -> None:
    with lmdb.open(str(path), max_dbs=2, lib_version=0, readonly=True, lock=False) as env:
        table = env.open_db(b"a", create=False)
        with env.begin(db=table) as txn:
            assert sum(len(value) for _, value in txn.cursor()) >= 0


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("at", [0, 512])
async def test_a_meta_page_that_is_lost_is_refused(tmp_path: Path, page: int, at: int) -> None:
    async with open_store(tmp_path, map_size=2**26):
        pass
    file = tmp_path / "meta" / "data.mdb"
    with file.open("r+b") as opened:
        os.pwrite(opened.fileno(), bytes(512), page * 4096 + at)
    if at:
        require_sound(tmp_path / "meta")  # Nothing is there.
        return
    with pytest.raises(NotReady, match=f"page {page} of .*entrepot restore"):
        async with open_store(tmp_path, map_size=2**26):
            pass
    with pytest.raises(NotReady, match="entrepot restore"), open_stopped(tmp_path):
        pass


def test_what_is_not_there_yet_is_sound(tmp_path: Path) -> None:
    require_sound(tmp_path)
    (tmp_path / "data.mdb").touch()
    require_sound(tmp_path)
    with open_meta(tmp_path, map_size=2**22):
        require_sound(tmp_path)
