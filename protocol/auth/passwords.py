"""Passwords of people, as they are kept: scrypt with a salt, its costs written beside.

N = 2^15, r = 8, p = 3 takes 32 MiB and some 240 ms: a door that docker knocks on for each pull cannot spend more, and
a cache keeps most knocks from it. When the costs are raised, a password is hashed anew at its next use. Secrets of
machines are 32 random bytes and need none of this.

Source: RFC 7914; OWASP "Password Storage Cheat Sheet".
"""

import base64
import hashlib
import hmac

N_LOG2, R, P = 15, 8, 3
SALT = 16  # Bytes.
_LENGTH = 32
_MEMORY = 2 * 128 * 2**N_LOG2 * R  # Bytes that may be taken: twice what it needs.


def hash_password(password: str, salt: bytes) -> str:
    """Return what is kept: ``scrypt$15$8$3$SALT$HASH``, the last two in base64."""
    found = _scrypt(password, salt, N_LOG2, R, P)
    return f"scrypt${N_LOG2}${R}${P}${_text(salt)}${_text(found)}"


def is_password(password: str, kept: str) -> bool:
    """Whether *password* is the one that *kept* is of. Takes as long whatever the answer."""
    name, n_log2, r, p, salt, wanted = kept.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(n_log2), int(r), int(p))
    return name == "scrypt" and hmac.compare_digest(found, base64.b64decode(wanted))


def is_outdated(kept: str) -> bool:
    """Whether the costs in *kept* are not those of today."""
    return not kept.startswith(f"scrypt${N_LOG2}${R}${P}$")


def _scrypt(password: str, salt: bytes, n_log2: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**n_log2, r=r, p=p, dklen=_LENGTH, maxmem=_MEMORY)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
