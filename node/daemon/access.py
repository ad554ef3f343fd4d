"""Who may come in: everyone, or those who say who they are."""

from contextlib import suppress
from dataclasses import dataclass

import structlog

from node.api.login.entrance import guarded_entrance, open_entrance
from node.api.login.token import token_application
from node.config.rules import requires_authentication
from node.config.settings import Config
from node.http.entrance import Entrance
from node.http.message import Application
from node.registry.authentication.bearer import BearerTokens
from node.registry.authentication.federation import Federation, Fetch
from node.registry.authentication.logins import Logins
from node.registry.authentication.passwords import Passwords
from node.registry.authentication.tokenkeys import rotate_token_keys
from node.registry.identity.first import Administrator, make_first_administrator
from node.registry.registry import Registry
from protocol.auth.caller import Caller, root_of
from protocol.errors import Busy

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Access:
    """How the client port knows its callers."""

    entrance: Entrance
    federation: Federation
    tokens: Application | None
    """What serves ``/token``, where anyone has to log in."""


async def open_access(registry: Registry, config: Config, fetch: Fetch, logins: Logins) -> Access:
    """Return how callers are known; where they have to log in, there is a key to sign their tokens with.

    *fetch* is how issuers are asked that are trusted to know callers; *logins* counts.
    """
    federation = Federation(registry, fetch, logins)
    if not requires_authentication(config):
        return Access(open_entrance(registry), federation, None)
    with suppress(Busy):  # Nobody gets a bearer token then; the job tries again.
        await rotate_token_keys(registry, root_caller(registry))
    bearer, passwords = BearerTokens(registry, logins), Passwords(registry, logins)
    entrance = guarded_entrance(registry, bearer, passwords, logins)
    return Access(entrance, federation, token_application(registry, entrance, bearer, passwords))


async def first_administrator(registry: Registry, config: Config, *, with_key: bool) -> Administrator | None:
    """Return who was made to let others in, where callers have to log in and nobody could; else ``None``."""
    if not requires_authentication(config):
        return None
    try:
        return await make_first_administrator(registry, root_caller(registry), with_key=with_key)
    except Busy as error:
        log.warning("no administrator", reason=str(error), remedy="entrepot user create, or start the node again")
        return None


def root_caller(registry: Registry) -> Caller:
    """Return the root of the registry's account, as whom the node itself acts."""
    return Caller(root_of(registry.name.account), registry.name.account)
