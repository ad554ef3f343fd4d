"""Where chunks lie is read from the pages as LMDB would say it; whatever is wrong with a page is ``Damaged``."""

import os
from pathlib import Path
from random import Random

import lmdb
import pytest

from node.store.tree import HEAD, PAGE, Tree, head_of
from protocol.errors import Damaged

VALUE = PAGE - HEAD


def key(number: int, index: int) -> bytes:
    return number.to_bytes(8, "big") + index.to_bytes(4, "big")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of several pages, in which numbers are missing."""
    path = tmp_path_factory.mktemp("tree")
    with lmdb.open(str(path), max_dbs=4, map_size=2**30, lib_version=0, sync=False) as env:
        table = env.open_db(b"chunks")
        for number in range(1, 600, 3):
            with env.begin(write=True) as txn:
                for index in range(10):
                    txn.put(key(number, index), number.to_bytes(8, "big") * (VALUE // 8), db=table)
    return path / "data.mdb"


def opened(path: Path) -> Tree:
    return Tree(os.open(path, os.O_RDONLY), b"chunks")


@pytest.mark.parametrize(("first", "expected"), [(1, 1), (2, 4), (298, 298), (598, 598)])
def test_the_first_key_that_is_not_below_is_found_with_those_behind_it(file: Path, first: int, expected: int) -> None:
    places = opened(file).places(None, key(first, 0), 10)
    assert [one for one, _ in places] == [key(expected, index) for index in range(10)]
    with file.open("rb") as pages:
        for _, offset in places:
            head, value = os.pread(pages.fileno(), HEAD, offset - HEAD), os.pread(pages.fileno(), VALUE, offset)
            assert (head, value) == (head_of(offset, VALUE), expected.to_bytes(8, "big") * (VALUE // 8))


def test_the_end_and_an_empty_table(file: Path, tmp_path: Path) -> None:
    tree = opened(file)
    assert tree.places(None, key(599, 0), 9) == []
    assert len(tree.places(None, b"", 10_000)) == 2000
    assert tree.last_key(None) == key(598, 9)
    with lmdb.open(str(tmp_path), max_dbs=4, lib_version=0) as env:
        env.open_db(b"chunks")
    empty = opened(tmp_path / "data.mdb")
    assert (empty.places(None, b"", 1), empty.last_key(None)) == ([], b"")


def test_a_file_that_is_cut_is_damaged_and_the_tree_is_found_without_its_values(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "data.mdb"
    cut.write_bytes(file.read_bytes()[: 2 * PAGE])
    with pytest.raises(Damaged):
        opened(cut).places(None, b"", 1)


def test_whatever_bit_of_a_page_flips_nothing_else_is_raised(file: Path, tmp_path: Path) -> None:
    """And what a walk by LMDB would end the process at is damaged, too: a number, a place or a length that is wrong."""
    data, random, hurt = bytearray(file.read_bytes()), Random(1), tmp_path / "data.mdb"
    leaves = [at for at in range(2 * PAGE, len(data), PAGE) if data[at + 10] in {1, 2} and data[at + 8] == 0]
    found = 0
    hurt.write_bytes(data)
    tree = opened(hurt)
    for _ in range(100):
        at = random.choice(leaves) + random.randrange(64)
        with hurt.open("r+b") as pages:
            pages.seek(at)
            pages.write(bytes([data[at] ^ 1 << random.randrange(8)]))
        try:
            tree.verify(None, b"", 2**40)
            tree.places(None, key(298, 0), 10)
        except Damaged:
            found += 1
        with hurt.open("r+b") as pages:
            pages.seek(at)
            pages.write(data[at : at + 1])
    tree.verify(None, b"", 2**40)
    assert found > 25


def test_pages_that_go_round_in_a_circle_are_damaged(file: Path, tmp_path: Path) -> None:
    data, hurt = bytearray(file.read_bytes()), tmp_path / "data.mdb"
    for at in range(2 * PAGE, len(data), PAGE):
        if data[at + 10] == 1 and data[at + 8] == 0:  # A branch: its last child is itself.
            end = int.from_bytes(data[at + 12 : at + 14], "little")
            node = at + int.from_bytes(data[at + end - 2 : at + end], "little")
            data[node : node + 6] = (at // PAGE).to_bytes(6, "little")
    hurt.write_bytes(data)
    with pytest.raises(Damaged):
        opened(hurt).verify(None, key(598, 9), 1)
    with pytest.raises(Damaged):
        opened(hurt).places(None, key(598, 9), 1)
