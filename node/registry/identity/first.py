"""The first administrator: made once, where nobody else could let anyone in."""

import msgspec

from node.registry.identity.granting import set_attached
from node.registry.identity.keys import NewKey, create_key
from node.registry.identity.principals import create_principal
from node.registry.registry import Registry
from protocol.auth.caller import Caller

NAME = "admin"
_ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


class Administrator(msgspec.Struct, frozen=True):
    """Who was made."""

    name: str
    key: NewKey | None  # None: nobody would have seen it; root makes one.


async def make_first_administrator(registry: Registry, root: Caller, *, with_key: bool) -> Administrator | None:
    """Make the user ``admin`` with every right where there is no user yet, else return ``None``.

    To be called before anyone is served. Where it is cut short between its steps the next start goes on.

    Args:
        registry: that has no user.
        root: who makes it.
        with_key: whether somebody will see the secret of a key, which is shown once.
    """
    directory = registry.directory.get()
    admin = directory.by_name("user", NAME)
    if directory.principals("user") and (admin is None or admin.attached or directory.access_keys(admin.id)):
        return None
    if admin is None:
        await create_principal(registry, root, "user", NAME)
    await set_attached(registry, root, "user", NAME, _ADMINISTRATOR, is_attached=True)
    return Administrator(NAME, await create_key(registry, root, NAME) if with_key else None)
