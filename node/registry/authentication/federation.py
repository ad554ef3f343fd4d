"""Identity tokens of trusted issuers, verified by the keys that these publish.

Theory of operation
===================
An issuer is asked only if an operator named it and a token claims to be its own. What it answers is kept for an hour,
and used for a day where it cannot be asked again. A token whose key is not among those that are known may be by a new
one: then the issuer is asked again, but once a minute at most, whatever comes, and one request at a time; who waits for
that waits for its time-out. So tokens that somebody makes up cost an issuer a request a minute.

What goes out is a GET to the issuer's own configuration, and to the keys that it names at the same origin: see
``protocol.auth.openid``. No redirect is followed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import trio

from node.registry.authentication.issuers import Issuer, read_issuers
from node.registry.authentication.logins import Logins
from node.registry.current import Current
from node.registry.registry import Registry
from protocol.auth.idtoken import Identity, Unverified, keys_for, parse_id_token, verify_id_token
from protocol.auth.jwks import ProviderKey, read_keys
from protocol.auth.openid import DISCOVERY, Provider, read_provider
from protocol.errors import IdentityTokenInvalid, IssuerUnreachable

_FRESH = 3600.0  # Seconds for which keys are used without asking again.
_KEPT = 86_400.0  # Seconds for which they are used where the issuer does not answer.
_PAUSE = 60.0  # Seconds between two times that an issuer is asked.

Fetch: TypeAlias = Callable[[Issuer, str, bytes | None], Awaitable[bytes]]
"""``fetch(issuer, url, form)``: the body that *url* answers to GET, or to POST of *form*, with status 200.

Raises ``IssuerUnreachable`` where it does not, or where the body is larger than is taken."""


@dataclass(slots=True)
class _Known:
    """What an issuer has published."""

    keys: tuple[ProviderKey, ...] = ()
    fetched: float = float("-inf")  # On the clock of trio.
    tried: float = float("-inf")
    failed: str = ""  # Why the last try did.
    lock: trio.Lock = field(default_factory=trio.Lock)


class Federation:
    """Knows people and machines by tokens of others; one for each process."""

    def __init__(self, registry: Registry, fetch: Fetch, logins: Logins) -> None:
        """Trust the issuers of *registry*, and ask them by *fetch*."""
        self._registry = registry
        self._logins = logins
        self._fetch = fetch
        self._issuers = Current(registry.store, lambda txn: read_issuers(registry, txn))
        self._known: dict[Issuer, _Known] = {}

    def issuer(self, url: str) -> Issuer:
        """Return the issuer that tokens call *url*, or raise ``IdentityTokenInvalid`` where it is not trusted."""
        found = self._issuers.get().get(url)
        if found is None:
            raise IdentityTokenInvalid(f"no trusted issuer is called {url[:128]!r}")
        return found

    async def identify(self, token: str) -> Identity:
        """Return who *token* is about.

        Raises:
            IdentityTokenInvalid: no issuer that is trusted made it, or not for this registry.
            IdentityTokenExpired: its time is over.
            IssuerUnreachable: its issuer cannot be asked for its keys.
        """
        with self._logins.counted("identity-token"):
            return await self._identify(token)

    async def _identify(self, token: str) -> Identity:
        parsed = parse_id_token(token)
        issuer = self.issuer(parsed.issuer)
        keys = await self._keys(issuer, parsed)
        now = self._registry.now()
        return verify_id_token(parsed, keys, issuer=issuer.url, audiences=issuer.audiences, now=now)

    async def provider(self, issuer: Issuer) -> Provider:
        """Return where *issuer* says that it is; asked each time."""
        data = await self._fetch(issuer, issuer.url.rstrip("/") + DISCOVERY, None)
        return read_provider(data, issuer.url, allow_http=issuer.allows_http, named=issuer.endpoints)

    async def post(self, issuer: Issuer, url: str, form: bytes) -> bytes:
        """Return what *issuer* answers to *form* at *url*, which its configuration named."""
        return await self._fetch(issuer, url, form)

    async def _keys(self, issuer: Issuer, token: Unverified) -> tuple[ProviderKey, ...]:
        if issuer.keys:
            return read_keys(issuer.keys.encode())
        known = self._known_of(issuer)
        if not _is_enough(known, token):
            async with known.lock:
                if not _is_enough(known, token):
                    await self._ask(issuer, known)
        if trio.current_time() - known.fetched > _KEPT:
            raise IssuerUnreachable(f"the issuer {issuer.name} cannot be asked for its keys: {known.failed}")
        return known.keys

    def _known_of(self, issuer: Issuer) -> _Known:
        """Return what is known of an issuer as it is trusted now: one that was changed is asked anew."""
        if issuer not in self._known:
            trusted = set(self._issuers.get().values())
            self._known = {one: known for one, known in self._known.items() if one in trusted}
            self._known[issuer] = _Known()
        return self._known[issuer]

    async def _ask(self, issuer: Issuer, known: _Known) -> None:
        known.tried = trio.current_time()
        try:
            provider = await self.provider(issuer)
            known.keys = read_keys(await self._fetch(issuer, provider.keys, None))
            known.fetched, known.failed = known.tried, ""
        except (IssuerUnreachable, IdentityTokenInvalid) as error:
            known.failed = str(error)


def _is_enough(known: _Known, token: Unverified) -> bool:
    """Whether the issuer need not, or must not, be asked for *token*."""
    now = trio.current_time()
    if now - known.tried < _PAUSE:
        return True
    return now - known.fetched < _FRESH and bool(keys_for(token, known.keys))
