"""Secrets as values that no log line, traceback or message shows."""

import msgspec


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """Bytes that are printed as ``***``."""

    value: bytes

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return "***"


class StoredSecret(msgspec.Struct, frozen=True, array_like=True):
    """A secret as it is kept: *scheme* says how it is sealed."""

    scheme: str  # ``sealed``: see ``protocol.auth.envelope``. ``plain``: it is not, as early versions had it.
    secret: Secret
    since: float  # Seconds since 1970, UTC.
    until: float = 0.0  # When it is in force no longer; 0: until it is replaced.


def in_force(secrets: tuple[StoredSecret, ...], now: float) -> tuple[StoredSecret, ...]:
    """Return those that sign at *now*, the newest first."""
    return tuple(one for one in secrets if not one.until or one.until > now)
