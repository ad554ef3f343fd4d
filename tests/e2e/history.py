"""Whether what was read can be explained by what was written: the checker of the tests that kill a node.

Every thing that can change (a tag, a manifest, a blob in a repository) is a register. A write is an interval, from
when it was sent until it was answered or its connection died; it took effect somewhere in it, or, unacknowledged,
perhaps never. A read must return a value that was written, and that no acknowledged write replaced which began after
the first had ended and ended before the read began.

Deleting a manifest by digest takes along the tags that point at it, so for a tag it is a write that counts only if the
tag held that digest (``Write.only``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Write:
    """A value was put, or deleted (``None``)."""

    value: str | None
    start: float
    end: float
    acknowledged: bool = True
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What a read returned; ``None``: it is not there."""

    value: str | None
    start: float
    end: float = inf


NOTHING = Write(None, -inf, -inf)  # How every register begins.


def explains(writes: Sequence[Write], read: Read) -> bool:
    """Whether a register with this history can have answered *read*."""
    return any(
        write.value == read.value
        and write.start < read.end
        and not any(_replaces(later, write, read) for later in writes)
        and (write.only is None or _may_have_held(writes, write))
        for write in (NOTHING, *writes)
    )


def _replaces(later: Write, write: Write, read: Read) -> bool:
    certain = later.acknowledged and later.only in (None, write.value)
    return certain and later.start > write.end and later.end < read.start


def _may_have_held(writes: Sequence[Write], delete: Write) -> bool:
    others = [write for write in writes if write is not delete]
    return explains(others, Read(delete.only, delete.start, delete.end))
