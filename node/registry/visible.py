"""Which repositories a caller is shown where he lists them: all, or those that he may describe one by one.

Whoever may describe none is refused rather than shown an empty list. A page looks at a few hundred rows at a time and
lets others run between them: who may see the last of a hundred thousand repositories alone waits a second for it, and
nobody else does.
"""

import msgspec
import trio

from node.registry.registry import Registry
from node.registry.repositories import exists
from node.store.rows import RepositoryRow
from protocol.auth.caller import Caller
from protocol.auth.public import PREFIX
from protocol.errors import ScopeInsufficient
from protocol.oci.names import RepositoryName

_ACTION = "ecr:DescribeRepositories"
_PAGE = 200  # Rows that are looked at together.


async def visible_repositories(
    registry: Registry, caller: Caller, *, after: str, limit: int, public: bool
) -> list[tuple[RepositoryName, RepositoryRow]]:
    """Return at most *limit* repositories beyond *after* that *caller* may describe, by name; those *public*, or not.

    Raises:
        Denied: he may describe none, be it one by one.
        ScopeInsufficient: nor may his token be used for that, and another one may.
    """
    sees_all = registry.allows(caller, _ACTION, None)
    if not sees_all and not caller.account:
        registry.authorize(caller, _ACTION, None)
    asking = _for_each(caller)
    found: list[tuple[RepositoryName, RepositoryRow]] = []
    last = after
    while len(found) < limit:
        with registry.store.meta.read() as txn:
            page = registry.store.meta.repositories.page(txn, after=last, limit=_PAGE)
            there = [(name, row) for name, row in page if exists(registry, txn, row)]
        found += [
            (name, row)
            for name, row in there
            if (public or not name.startswith(PREFIX)) and (sees_all or registry.allows(asking, _ACTION, name))
        ]
        if len(page) < _PAGE:
            break
        last = page[-1][0]
        if not public and last.startswith(PREFIX):
            last = PREFIX + "\x7f"  # Without a look at the public ones, which may be many.
        await trio.lowlevel.checkpoint()
    if not found and not after and not sees_all:
        if asking.access is not None:
            raise ScopeInsufficient("the token is not for the catalog")
        registry.authorize(caller, _ACTION, None)
    return found[:limit]


def _for_each(caller: Caller) -> Caller:
    """Return who asks for each: a token for the catalog is one for all that is in it."""
    is_for_catalog = any(one.repository == "*" and _ACTION in one.actions for one in caller.access or ())
    return msgspec.structs.replace(caller, access=None) if is_for_catalog else caller
