"""Tokens that lead to the next page.

A token says where the page before it ended. It carries a code by a key of the registry over that place, the operation
and everything that was asked for, so that one that was made up, or came from another list, is refused: what a place
means only the list knows that gave it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hmac import compare_digest

import msgspec
from blake3 import blake3

from node.api.ecr.door import Door
from protocol.errors import ParameterInvalid

DEFAULT = 100  # Elements of a page where the client names no number.
_CODE = 16  # Bytes.
_LABEL = "pages of lists"
_UNBOUND = frozenset({"nextToken", "maxResults", "registryId"})  # These may change from page to page.
_INVALID = "Invalid parameter at 'NextToken' failed to satisfy constraint: 'Invalid next token provided'"


class Page(msgspec.Struct, frozen=True):
    """The part of a list that a call asks for."""

    after: str  # What ``next_token`` was given; empty for the beginning.
    limit: int  # Elements at most.


def page_of(door: Door, *, default: int = DEFAULT) -> Page:
    """Return the page that is asked for; its greatest length was checked with the shape of the input.

    Raises:
        ParameterInvalid: the token is none of this list.
    """
    token = door.given.get("nextToken")
    return Page("" if token is None else _opened(door, token), door.given.get("maxResults", default))


def no_page_with(door: Door, name: str) -> None:
    """Raise ``ParameterInvalid`` where the call names what it wants by *name*, and a page of it as well."""
    if name not in door.given:
        return
    for one in ("nextToken", "maxResults"):
        if one in door.given:
            raise ParameterInvalid(
                f"Invalid parameter at '{one}' failed to satisfy constraint: '{one} may not be given with {name}'"
            )


def next_token(door: Door, after: str) -> str:
    """Return the token for the page that goes on *after* this place."""
    place = after.encode()
    return urlsafe_b64encode(_code(door, place) + place).decode()


def _opened(door: Door, token: str) -> str:
    try:
        data = urlsafe_b64decode(token.encode("ascii"))
        place = data[_CODE:].decode()
    except ValueError:
        raise ParameterInvalid(_INVALID) from None
    if not place or not compare_digest(data[:_CODE], _code(door, place.encode())):
        raise ParameterInvalid(_INVALID)
    return place


def _code(door: Door, place: bytes) -> bytes:
    asked = {name: value for name, value in sorted(door.given.items()) if name not in _UNBOUND}
    bound = msgspec.msgpack.encode([door.service, door.operation, asked, place], order="sorted")
    return blake3(bound, key=door.registry.vault.derive(_LABEL)).digest(length=_CODE)
