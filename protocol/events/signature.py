"""What proves to a receiver who sent a request, and when: the scheme of Standard Webhooks.

    webhook-id           the event's id: the same each time that the event comes
    webhook-timestamp    seconds since 1970 at which this request was made
    webhook-signature    v1,BASE64(HMAC-SHA256(key, id "." timestamp "." body)); for each secret, with spaces between

A receiver takes a request if one signature is right and the time is within five minutes of its own, and an id once. A
secret is shown as ``whsec_`` and base64 of the key. While two are in force, both sign, so that receivers can change
from one to the other at any moment between.

Source: Standard Webhooks 1.0.0, "Signature scheme", "Secret"; RFC 2104.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from protocol.errors import RuleInvalid

PREFIX = "whsec_"
KEY_SIZE = 32  # Bytes of a key that a node makes.
_MIN_KEY, _MAX_KEY = 16, 256  # Bytes.


def format_secret(key: bytes) -> str:
    """Return the text that ``parse_secret`` reads."""
    return PREFIX + base64.b64encode(key).decode()


def parse_secret(text: str) -> bytes:
    """Return the key of a secret: decoded where it begins with ``whsec_``, else its bytes as they stand.

    Raises ``RuleInvalid``; the message does not repeat the secret.
    """
    text = text.strip()
    if text.startswith(PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise RuleInvalid(f"what follows {PREFIX} in the secret is not base64") from None
    else:
        key = text.encode()
    if not _MIN_KEY <= len(key) <= _MAX_KEY:
        raise RuleInvalid(f"a secret has {_MIN_KEY} to {_MAX_KEY} bytes, and this one has {len(key)}")
    return key


def signature(keys: Iterable[bytes], event_id: str, timestamp: int, body: bytes) -> str:
    """Return the header ``webhook-signature``."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in keys)
