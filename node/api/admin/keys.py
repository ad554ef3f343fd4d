"""Access keys."""

from typing import Annotated

import msgspec
from msgspec import Meta

from node.api.admin.answer import Admin, json, read_decoded
from node.api.admin.principals import Seconds
from node.http.message import Request, Response
from node.registry.identity import keys
from node.registry.identity.keys import NewKey, ShownKey
from protocol.auth.caller import Caller

Moment = Annotated[float, Meta(ge=0, le=253_402_300_799, description="Seconds since 1970, UTC.")]  # To the year 9999.


class Used(msgspec.Struct, frozen=True):
    """When a key was used last, at this node."""

    at: Seconds
    address: str
    service: str


class Key(msgspec.Struct, frozen=True):
    """An access key."""

    id: str
    user: str
    created: Seconds
    active: bool
    expires: Seconds | None
    last_used: Used | None
    lost: Annotated[bool, Meta(description="Good for nothing: its secret was sealed under keys that are not here.")]


class Keys(msgspec.Struct, frozen=True):
    """The access keys of a user, the oldest first."""

    keys: list[Key]


class MadeKey(msgspec.Struct, frozen=True):
    """A new access key. Its secret is shown this once."""

    id: str
    secret: str
    user: str
    created: Seconds
    expires: Seconds | None

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return f"MadeKey({self.id!r}, ***)"


class KeyAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An access key to create."""

    expires: Annotated[Moment | None, Meta(description="Without it: never.")] = None


class RotationAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long the old key is still good."""

    keep: Annotated[float, Meta(ge=0, le=366 * 86_400, description="Seconds.")] = 86_400.0


async def list_keys(admin: Admin, caller: Caller, request: Request) -> Response:
    """The access keys of a user."""
    return json(Keys([_shown(one) for one in keys.list_keys(admin.registry, caller, request.params["user"])]))


async def create_key(admin: Admin, caller: Caller, request: Request) -> Response:
    """Create an access key: 201, and its secret this once."""
    asked = await read_decoded(request, KeyAsked)
    expires = None if asked.expires is None else int(asked.expires * 1000)
    return _made(await keys.create_key(admin.registry, caller, request.params["user"], expires=expires))


async def rotate_key(admin: Admin, caller: Caller, request: Request) -> Response:
    """Create the key that follows another one: 201, and its secret this once."""
    asked = await read_decoded(request, RotationAsked)
    return _made(await keys.rotate_key(admin.registry, caller, request.params["key"], keep=asked.keep))


async def get_key(admin: Admin, caller: Caller, request: Request) -> Response:
    """One access key."""
    return json(_shown(keys.get_key(admin.registry, caller, request.params["key"])))


async def set_active(is_active: bool, admin: Admin, caller: Caller, request: Request) -> Response:
    """Let a key be used again, or not for now."""
    await keys.set_key_active(admin.registry, caller, request.params["key"], is_active=is_active)
    return Response(204)


async def delete_key(admin: Admin, caller: Caller, request: Request) -> Response:
    """Delete an access key: 204."""
    await keys.delete_key(admin.registry, caller, request.params["key"])
    return Response(204)


def _made(new: NewKey) -> Response:
    key, secret = new.key, new.secret.value.decode()
    answer = json(MadeKey(key.id, secret, new.user, key.created / 1000, _seconds(key.expires)), 201)
    return msgspec.structs.replace(answer, headers=(*answer.headers, ("cache-control", "no-store")))


def _shown(one: ShownKey) -> Key:
    key, used = one.key, None if one.used is None else Used(one.used.at, one.used.address, one.used.service)
    return Key(key.id, one.user, key.created / 1000, key.is_active, _seconds(key.expires), used, one.is_lost)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
