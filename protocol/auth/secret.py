"""Secrets as values that no log line, traceback or message shows."""

import msgspec

from protocol.errors import Damaged


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """Bytes that are printed as ``***``."""

    value: bytes

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return "***"


class StoredSecret(msgspec.Struct, frozen=True, array_like=True):
    """A secret as it is kept: *scheme* says how it is sealed, and today that it is not."""

    scheme: str  # ``plain``
    secret: Secret
    since: float  # Seconds since 1970, UTC.
    until: float = 0.0  # When it is in force no longer; 0: until it is replaced.


def in_force(secrets: tuple[StoredSecret, ...], now: float) -> tuple[bytes, ...]:
    """Return the keys that sign at *now*, the newest first; ``Damaged`` where a later version sealed them."""
    if any(one.scheme != "plain" for one in secrets):
        raise Damaged("a secret that is sealed in a way that this version does not know")
    return tuple(one.secret.value for one in secrets if not one.until or one.until > now)
