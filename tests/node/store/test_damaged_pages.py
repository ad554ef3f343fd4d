"""Where a page of LMDB makes no sense, what only counts pages goes on: whoever reads what lies there is told."""

from pathlib import Path

import lmdb

from node.store.pages import Pages

_PAGE = 4096
_ROOT = 128  # Where a meta page has the root of the table of tables.


def test_nothing_is_known_to_be_free(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), max_dbs=4, lib_version=0) as env:
        env.open_db(b"one")
    with (tmp_path / "data.mdb").open("r+b") as file:
        for page in (0, 1):
            file.seek(page * _PAGE + _ROOT)
            file.write((10**6).to_bytes(8, "little"))
    with lmdb.open(str(tmp_path), max_dbs=4, lib_version=0) as env:
        pages = Pages(env, tmp_path, ballast=0)
        try:
            counted = pages.count()
        finally:
            pages.close()
    assert counted.free == 0
    assert counted.used == counted.size
