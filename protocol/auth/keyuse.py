"""How an access key was used last."""

import msgspec


class KeyUse(msgspec.Struct, frozen=True, array_like=True):
    """A signature or a log-in that was right."""

    at: float  # Seconds since 1970, UTC.
    address: str = ""  # Without port; empty on the control socket.
    service: str = ""  # As in a signature: ``ecr``, ``sts``, ``entrepot``; ``docker`` for a log-in.
