"""How the pages of an LMDB file are laid out, for those who look at one without LMDB.

A page begins with ``PAGE_HEAD``; in a branch or leaf the places of its nodes follow, u16 each, up to ``lower``. A node
begins with ``NODE``: the low and high half of the size of its value, or of the number of the page below it; flags, or
the rest of that number; the size of its key, which follows. A value that is too large for a page has ``BIG``, and the
number of its first page in its place. Numbers are in the machine's order, which is the file's.

Source: mdb.c of LMDB 0.9, ``MDB_page``, ``MDB_meta``, ``MDB_db``, ``MDB_node``.
"""

from struct import Struct

PAGE_HEAD = Struct("=QHHHH")  # Its own number, padding, flags, end of the places of its nodes, upper.
NODE = Struct("=HHHH")
NUMBER = Struct("=Q")  # Of a page.
BRANCH, LEAF, OVERFLOW, META = 0x01, 0x02, 0x04, 0x08
"""Flags of a page."""
BIG, TABLE = 0x01, 0x02
"""Flags of a node in a leaf."""
NO_PAGE = 2**64 - 1
"""In place of a root: the tree is empty."""
MAGIC, VERSION = 0xBEEFC0DE, 1
"""What a meta page begins with after its head."""


def page_below(low: int, high: int, rest: int) -> int:
    """Return the number of the page that a node of a branch leads to."""
    return low | high << 16 | rest << 32


def size_of(low: int, high: int) -> int:
    """Return the bytes of a value that a node of a leaf has or leads to."""
    return low | high << 16
