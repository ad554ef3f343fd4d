"""Puts principals into the store of a node that is stopped, by the use cases that a running one has for them."""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio

from node.daemon.main import _registry
from node.peers.identity import load_identity
from node.registry.elsewhere import Elsewhere
from node.registry.identity.granting import put_inline_policy, set_attached
from node.registry.identity.keys import create_key
from node.registry.identity.passwords import choose_password
from node.registry.identity.principals import create_principal
from node.registry.registry import Registry
from node.registry.transit import Transits
from node.store.space import map_size_for
from node.store.store import open_store
from node.telemetry.tracing import no_traces
from protocol.auth.caller import Caller, root_of
from protocol.auth.secret import Secret

T = TypeVar("T")
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
PASSWORD = "correct horse battery"  # noqa: S105 - nobody else has it.
"""Of every user that has one."""


@dataclass(frozen=True, slots=True)
class Key:
    """An access key."""

    id: str
    secret: str


def in_store(data: Path, work: Callable[[Registry, Caller], Awaitable[T]]) -> T:
    """Return what *work* does to the registry in *data*, whose node does not run, as its root."""

    async def run() -> T:
        identity = load_identity(data)
        async with open_store(data, map_size=map_size_for(data)) as store:
            registry = _registry(identity, store, Transits(store, time.time), Elsewhere(), no_traces())
            return await work(registry, Caller(root_of(registry.name.account), registry.name.account))

    return trio.run(run)


async def make_user(registry: Registry, root: Caller, name: str, *statements: object, password: bool = False) -> Key:
    """Make a user with a key, and a policy of *statements*; without any it may do everything."""
    await create_principal(registry, root, "user", name)
    if statements:
        await put_inline_policy(registry, root, "user", name, "own", policy(*statements))
    else:
        await set_attached(registry, root, "user", name, ADMINISTRATOR, is_attached=True)
    if password:
        await choose_password(registry, root, name, Secret(PASSWORD.encode()))
    key = await create_key(registry, root, name)
    return Key(key.key.id, key.secret.value.decode())


async def make_role(registry: Registry, root: Caller, name: str, trust: str, *statements: object) -> None:
    """Make a role that *trust* says who may assume."""
    await create_principal(registry, root, "role", name, trust=trust)
    await put_inline_policy(registry, root, "role", name, "own", policy(*statements))


def policy(*statements: object) -> str:
    """Return a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, resource: str = "*") -> dict[str, object]:
    """Return a statement that allows *actions*."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}
