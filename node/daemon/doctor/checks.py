"""What a check says."""

from typing import Literal, TypeAlias

import msgspec

Verdict: TypeAlias = Literal["ok", "warn", "fail"]


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    area: str  # ``disk``, ``clock`` ...
    name: str
    verdict: Verdict
    found: str
    remedy: str = ""  # What to do, where it is not well.


def ok(area: str, name: str, found: str) -> Check:
    """It is well."""
    return Check(area, name, "ok", found)


def warn(area: str, name: str, found: str, remedy: str) -> Check:
    """It works, and may not for long, or not as well as it could."""
    return Check(area, name, "warn", found, remedy)


def fail(area: str, name: str, found: str, remedy: str) -> Check:
    """Something does not work."""
    return Check(area, name, "fail", found, remedy)


def size(count: float) -> str:
    """Return bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
