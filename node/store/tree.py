"""Where large values lie in an environment's file, looked up by reading its pages and not through the map.

LMDB gives a large value as an address in its map, and looks at the head of its first page before it does. Where that
page cannot be read, a bad sector or a file that was cut, this ends the process. So the pages of the tree are read like
any file, which is an error that can be told; they are few and nearly always in memory. (Measured, py-lmdb 3.0: a file
cut after the tree, then ``get``: SIGBUS.)

The caller holds a read of LMDB's meanwhile. It keeps every page from being used again that was in use when it began or
was taken later, so whichever of the last commits is looked at, its pages are as they were.

Source: LMDB 0.9, mdb.c: MDB_meta, MDB_page, MDB_node, MDB_db.
"""

import os
from collections.abc import Iterator
from struct import Struct

from node.store.layout import (
    BIG,
    BRANCH,
    LEAF,
    MAGIC,
    NO_PAGE,
    NODE,
    NUMBER,
    OVERFLOW,
    PAGE_HEAD,
    TABLE,
    VERSION,
    page_below,
    size_of,
)
from protocol.errors import Damaged

PAGE = 4096  # Bytes.
HEAD = 16  # Bytes of a page before what is in it.
_META = Struct("<16x I I 16x 48x 40x Q Q Q")  # Magic, version; root of the table of tables, last page, number.
_OVERFLOW = Struct("<Q H H I")  # Number, nothing, flags, pages.
_ROOT_OF_TABLE = Struct("<40x Q")
_MAX_DEPTH = 32


class Tree:
    """One table of large values in the file *fd*."""

    def __init__(self, fd: int, table: bytes) -> None:
        self._fd = fd
        self._table = table

    def places(self, _reading: object, first: bytes, count: int) -> list[tuple[bytes, int]]:
        """Return at most *count* (key, offset of its value in the file) from the key *first* on.

        Args:
            _reading: a read of LMDB's, which keeps the pages as they are.
            first: where to begin.
            count: most that are returned.

        Raises:
            Damaged: a page of the tree cannot be read, or is none.
        """
        root, found = self._root(), list[tuple[bytes, int]]()
        if root != NO_PAGE:
            for key, flags, where in self._nodes(root, first, 0):
                if len(found) == count:
                    break
                if flags & BIG:
                    found.append((key, where * PAGE + HEAD))
        return found

    def verify(self, _reading: object, first: bytes, size: int) -> None:
        """Look at all pages that *size* bytes of keys and values from the key *first* on lie in, as LMDB will.

        It believes what a page says of places and lengths, and one that is wrong ends the process. ``Damaged``: so it
        would be here.
        """
        root, end = self._root(), os.fstat(self._fd).st_size // PAGE
        waiting, seen = [(root, 0)] if root != NO_PAGE else [], 0  # Pages, and how deep each lies.
        while waiting and seen < size:
            number, depth = waiting.pop()
            page = self._read_at(number, depth)
            flags, nodes = _opened(page, number)
            start = 0 if seen else _first(page, nodes, first, is_branch=bool(flags & BRANCH))
            if flags & BRANCH:
                for place in range(len(nodes) - 1, start - 1, -1):
                    low, high, node_flags, _, _ = _node(page, nodes[place])
                    waiting.append((page_below(low, high, node_flags), depth + 1))
                continue
            for place in range(len(nodes)):
                seen += self._verify_value(page, nodes[place], end)

    def _verify_value(self, page: bytes, at: int, end: int) -> int:
        low, high, flags, length, data = _node(page, at)
        size = size_of(low, high)
        if data > PAGE or (not flags & BIG and data + size > PAGE):
            raise Damaged("a page makes no sense")
        if flags & BIG:
            where = NUMBER.unpack_from(page, data)[0] if data + NUMBER.size <= PAGE else end
            if where >= end:
                raise Damaged("a page leads out of the file")
            own, _, kind, pages = _OVERFLOW.unpack(self._read(where, _OVERFLOW.size))
            if own != where or kind != OVERFLOW or where + pages > end or HEAD + size > pages * PAGE:
                raise Damaged(f"page {where} is not that of a value")
        return int(length + size)

    def last_key(self, _reading: object) -> bytes:
        """Return the greatest key, or nothing; as ``places``."""
        last, step = b"", self._root()
        for _ in range(_MAX_DEPTH):
            if step == NO_PAGE:
                return last
            page = self._read(step)
            flags, nodes = _opened(page, step)
            if not nodes:
                return last
            low, high, node_flags, length, data = _node(page, nodes[-1])
            last, step = page[data - length : data], NO_PAGE
            if flags & BRANCH:
                step = page_below(low, high, node_flags)
        return last

    def _root(self) -> int:
        """Return the page that the table begins with; ``NO_PAGE`` where it is empty."""
        for key, _, root in self._nodes(self._main(), self._table, 0):
            return int(root) if key == self._table else NO_PAGE
        return NO_PAGE

    def _main(self) -> int:
        """Return the page that the table of tables begins with, as of the last commit."""
        for _ in range(100):
            metas = self._metas()
            if metas and metas == self._metas():  # Else one was being written.
                return max(metas)[1]
        raise Damaged("the pages that a store begins with are none")

    def _metas(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for number in (0, 1):
            magic, version, root, _, commit = _META.unpack(self._read(number, _META.size))
            if (magic, version) == (MAGIC, VERSION):
                found.append((commit, root))
        return found

    def _nodes(self, number: int, first: bytes, depth: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield (key, flags, number of the first page of its value or table) of a leaf's nodes from *first* on."""
        page = self._read_at(number, depth)
        flags, nodes = _opened(page, number)
        for place in range(_first(page, nodes, first, is_branch=bool(flags & BRANCH)), len(nodes)):
            low, high, node_flags, length, data = _node(page, nodes[place])
            if flags & BRANCH:
                yield from self._nodes(page_below(low, high, node_flags), first, depth + 1)
            elif node_flags & (BIG | TABLE):
                kind = _ROOT_OF_TABLE if node_flags & TABLE else NUMBER
                if data + kind.size > PAGE:
                    raise Damaged(f"page {number} makes no sense")
                yield page[data - length : data], node_flags, kind.unpack_from(page, data)[0]

    def _read_at(self, number: int, depth: int) -> bytes:
        if depth > _MAX_DEPTH:
            raise Damaged("the pages of a table go round in a circle")
        return self._read(number)

    def _read(self, number: int, length: int = PAGE) -> bytes:
        try:
            page = os.pread(self._fd, length, number * PAGE)
        except (OSError, OverflowError) as error:
            raise Damaged(f"page {number} cannot be read: {error}") from error
        if len(page) != length:
            raise Damaged(f"page {number} lies beyond the end of the file")
        return page


def head_of(offset: int, length: int) -> bytes:
    """Return the head that stands before a value of *length* bytes whose own lie at *offset*."""
    return _OVERFLOW.pack(offset // PAGE, 0, OVERFLOW, -(-(HEAD + length) // PAGE))


def _opened(page: bytes, number: int) -> tuple[int, "memoryview[int]"]:
    """Return the flags of page *number* and the places of its nodes."""
    own, _, flags, end, _ = PAGE_HEAD.unpack_from(page)
    if own != number or not flags & (BRANCH | LEAF) or not HEAD <= end <= PAGE:
        raise Damaged(f"page {number} is none")
    return flags, memoryview(page)[HEAD : end - end % 2].cast("H")


def _node(page: bytes, at: int) -> tuple[int, int, int, int, int]:
    """Return the four numbers that a node begins with, and where its data are."""
    if at > PAGE - NODE.size:
        raise Damaged("a page makes no sense")
    low, high, flags, length = NODE.unpack_from(page, at)
    return low, high, flags, length, at + NODE.size + length


def _first(page: bytes, nodes: "memoryview[int]", first: bytes, *, is_branch: bool) -> int:
    """Return the first node to look at: in a branch the last not above *first*, in a leaf the first not below it."""
    low, high = int(is_branch), len(nodes)  # The first key of a branch is empty: it is below all.
    while low < high:
        middle = (low + high) // 2
        _, _, _, length, data = _node(page, nodes[middle])
        key = page[data - length : data]
        if key < first or (is_branch and key == first):
            low = middle + 1
        else:
            high = middle
    return low - 1 if is_branch else low
