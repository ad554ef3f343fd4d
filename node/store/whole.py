"""What can be told of an LMDB file before it is opened: LMDB compares nothing, and a page that is not there is SIGBUS.

The first two pages of the file are its two *meta pages*; the one with the greater transaction number says where
everything else is, and how many pages there are. Each commit writes the other one. Looked at here: that both are meta
pages of this engine, and that the file has all pages of the newer one. This costs two reads, at each start.

A file may be shorter than that and whole: what a transaction takes at the end and gives back before it commits is never
written (measured, lmdb 3.0: a put and a delete of some hundred rows do it). Such pages are in the list of free ones. So
where the file is short that list is read, page by page and not through the map, and has to have all that is missing.

A meta page that is lost could be made up for by the other one, at the price of the last commit, which was acknowledged:
so that is not done. Source: mdb.c of LMDB 0.9, ``MDB_meta``, ``mdb_env_read_header``.
"""

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from node.store.layout import (
    BIG,
    BRANCH,
    LEAF,
    MAGIC,
    META,
    NO_PAGE,
    NODE,
    NUMBER,
    OVERFLOW,
    PAGE_HEAD,
    VERSION,
    page_below,
    size_of,
)
from protocol.errors import NotReady

_META = struct.Struct("=IIQQ")  # Magic, version, address, size of the map.
_DB = struct.Struct("=IHHQQQQQ")  # Padding (of the first one: bytes of a page), flags, depth, four counts, root.
_LAST = struct.Struct("=QQ")  # Last page, transaction.
_AFTER = PAGE_HEAD.size + _META.size + 2 * _DB.size
_SIZE = _AFTER + _LAST.size
_PAGES = (4096, 8192, 16_384, 32_768)  # Bytes of a page, which is the machine's that made the file.

_REMEDY = (
    "Nothing in it can be relied on: move the data directory away, then `entrepot restore` a backup into a new one"
)


def require_sound(folder: Path) -> None:
    """Raise ``NotReady`` where the LMDB environment in *folder* cannot be whole; one that is not there yet is."""
    path = folder / "data.mdb"
    try:
        with path.open("rb") as opened:
            file = _File(path, opened.fileno(), os.fstat(opened.fileno()).st_size)
            if file.size:  # Else LMDB makes a new one of it, as of none.
                _require_pages(file)
    except FileNotFoundError:
        return
    except OSError as error:
        raise NotReady(f"{path} cannot be read: {error.strerror}; run this as the user of the node") from error


class _Meta(NamedTuple):
    """What is used of a meta page, in the order in which the newer one is the greater."""

    transaction: int
    last: int  # Page.
    free: int  # Root of the tree of free pages.
    page: int  # Bytes of each.


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    fd: int
    size: int
    page: int = 0

    def read(self, number: int, kind: int) -> bytes:
        """Return a page of that kind; ``LookupError`` where it is not one, or not there."""
        data = os.pread(self.fd, self.page, number * self.page)
        if len(data) == self.page:
            found, _, flags, _, _ = PAGE_HEAD.unpack_from(data)
            if found == number and flags & kind:
                return data
        raise LookupError(number)


def _require_pages(file: _File) -> None:
    first = _read_meta(file, 0, 0)
    newest = max(first, _read_meta(file, 1, first.page))
    beyond = file.size // newest.page
    missing = newest.last + 1 - beyond
    if missing <= 0:
        return
    try:
        free = _free_pages(replace(file, page=newest.page), newest.free, beyond)
    except (LookupError, struct.error, RecursionError):
        free = set()
    if len(free) < missing:
        raise NotReady(
            f"{file.path} has {file.size} bytes, and pages up to {(newest.last + 1) * newest.page} are in use: its end "
            f"is missing. {_REMEDY}"
        )


def _read_meta(file: _File, number: int, at: int) -> _Meta:
    data = os.pread(file.fd, _SIZE, at)
    if len(data) == _SIZE:
        found, _, flags, _, _ = PAGE_HEAD.unpack_from(data)
        magic, version, _, _ = _META.unpack_from(data, PAGE_HEAD.size)
        free = _DB.unpack_from(data, PAGE_HEAD.size + _META.size)
        last, transaction = _LAST.unpack_from(data, _AFTER)
        if (found, flags & META, magic, version) == (number, META, MAGIC, VERSION) and free[0] in _PAGES:
            return _Meta(transaction, last, free[-1], free[0])
    raise NotReady(f"page {number} of {file.path}, which says where all others are, was overwritten or lost. {_REMEDY}")


def _free_pages(file: _File, number: int, beyond: int) -> set[int]:
    """Return the free pages from *beyond* on, of the tree of free pages under page *number*."""
    if number == NO_PAGE:
        return set()
    page = file.read(number, BRANCH | LEAF)
    _, _, flags, lower, _ = PAGE_HEAD.unpack_from(page)
    found: set[int] = set()
    for index in range((lower - PAGE_HEAD.size) // 2):
        [at] = struct.unpack_from("=H", page, PAGE_HEAD.size + 2 * index)
        low, high, more, key = NODE.unpack_from(page, at)
        if flags & BRANCH:
            found |= _free_pages(file, page_below(low, high, more), beyond)
            continue
        start = at + NODE.size + key
        data = page[start : start + size_of(low, high)]
        if more & BIG:
            data = _overflow(file, NUMBER.unpack_from(page, start)[0], size_of(low, high))
        [count] = NUMBER.unpack_from(data)
        found |= {one for one in struct.unpack_from(f"={count}Q", data, NUMBER.size) if one >= beyond}
    return found


def _overflow(file: _File, number: int, length: int) -> bytes:
    file.read(number, OVERFLOW)
    return os.pread(file.fd, length, number * file.page + PAGE_HEAD.size)
