"""What can be wrong with a store, how much of it is told, and what to do about it."""

from collections import Counter
from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal[
    "value",
    "key",
    "index",
    "count",
    "row",
    "content",
    "map",
    "chunk",
    "upload",
    "journal",
    "audit",
    "fingerprint",
    "dangling",
    "orphan",
    "kept",
    "skipped",
]
Severity: TypeAlias = Literal["error", "note"]

MAX_OF_A_KIND = 1000  # Findings that are told; of more only the number is.

_REPORT = "report it as a fault of entrepot, with this line; a backup from before it is right: `entrepot restore`"
_DISK = "look at the disk (dmesg, SMART)"
_MEND = f"{_DISK}, then have the node mend it: `entrepot scrub --wait`, with a backup `--from BACKUP`"

REMEDIES: dict[Kind, str] = {
    "value": f"the disk gave other bytes than were written; {_MEND}",
    "key": _REPORT,
    "index": _REPORT,
    "count": _REPORT,
    "row": _REPORT,
    "content": f"{_MEND}; or push it again",
    "map": _MEND,
    "chunk": f"{_MEND}; or push it again after that",
    "upload": "cancel it, and push the blob again",
    "journal": f"{_MEND}; what stays is mended by `entrepot restore` alone",
    "audit": "somebody changed it, or the disk did; a backup from before has it as it was: `entrepot audit verify`",
    "fingerprint": _REPORT,
    "dangling": "none is needed: delete the tag, or push the image again",
    "orphan": "none is needed: the next start frees them",
    "kept": "none is needed: it goes with the blob",
    "skipped": "mend what is told of the table first, and check again",
}

NOTES: frozenset[Kind] = frozenset({"dangling", "orphan", "kept", "skipped"})
"""Kinds that are no fault."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it has to be, or that is worth a note."""

    kind: Kind
    severity: Severity
    place: str  # Which row, image or blob; may hold text that strangers chose.
    what: str
    remedy: str


class Checked(msgspec.Struct, frozen=True):
    """What a check came to."""

    findings: list[Finding]
    counts: dict[str, int]
    """Rows by table, and ``chunks`` and ``bytes`` that were looked at."""

    @property
    def faults(self) -> int:
        """How many findings are more than a note."""
        return sum(one.severity == "error" for one in self.findings)


class Report:
    """Collects findings, bounded in number."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._told: Counter[Kind] = Counter()

    def tell(self, kind: Kind, place: str, what: str) -> None:
        """Take note of a finding."""
        self._told[kind] += 1
        if self._told[kind] <= MAX_OF_A_KIND:
            self._findings.append(_finding(kind, place, what))

    def findings(self) -> list[Finding]:
        """Return what was told, in that order, and how much more there was."""
        more = [
            _finding(kind, "", f"{told - MAX_OF_A_KIND} more of this kind")
            for kind, told in self._told.items()
            if told > MAX_OF_A_KIND
        ]
        return self._findings + more


def _finding(kind: Kind, place: str, what: str) -> Finding:
    return Finding(kind, "note" if kind in NOTES else "error", place, what, REMEDIES[kind])
