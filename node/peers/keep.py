"""Keeps sessions up: one task for each node that is known, and for each first address of a trusted account.

A task dials while there is no session with its node, whoever dialled it, at growing and random intervals. A session
that we dialled is renewed before it is an hour old, or before its certificate runs out: a new one is dialled beside
it, and the mesh retires the old one.
"""

import ssl
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import TypeAlias

import structlog
import trio

from node.peers.dial import Dialling, hold_session
from node.peers.home import Home
from node.peers.nodes import Known
from node.peers.session import Session
from node.peers.trust import Trusted
from protocol.auth.names import Account, NodeName
from protocol.errors import PeerFault
from protocol.wire.redial import Redial

MAX_SESSION = 3600.0  # Seconds before a session is renewed.
MIN_SESSION = 60.0  # Seconds: it is not renewed sooner, however near the end of a certificate is.
MARGIN = 300.0  # Seconds before the end of the peer's certificate.

log = structlog.get_logger()

_Target: TypeAlias = NodeName | tuple[Account, str]


class Keeper:
    """The tasks that dial."""

    def __init__(self, home: Home, context: ssl.SSLContext, random: Random, nursery: trio.Nursery) -> None:
        """*nursery* holds the tasks, and the sessions that they dialled."""
        self._home = home
        self._context = context
        self._random = random
        self._nursery = nursery
        self._addresses: dict[_Target, tuple[str, ...]] = {}
        self._scopes: dict[_Target, trio.CancelScope] = {}

    def adjust(self, nodes: Iterable[Known], trusted: dict[Account, Trusted]) -> None:
        """Begin to dial who is new, and stop with those who are not known any more."""
        self._addresses = {one.descriptor.name: one.descriptor.addresses for one in nodes}
        self._addresses |= {(name, address): (address,) for name, one in trusted.items() for address in one.addresses}
        for target in self._scopes.keys() - self._addresses.keys():
            self._scopes.pop(target).cancel()
        for target in self._addresses.keys() - self._scopes.keys():
            self._scopes[target] = trio.CancelScope()
            self._nursery.start_soon(self._keep, target, self._scopes[target])

    async def _keep(self, target: _Target, scope: trio.CancelScope) -> None:
        redial = Redial(self._random.random)
        with scope:
            while True:
                await self._until_wanted(target)
                if self._session(target) is None:
                    await trio.sleep(redial.first(has_lower_id=self._is_lower(target)))
                    if self._session(target) is not None:
                        continue  # The peer dialled us meanwhile.
                began = trio.current_time()
                if await self._dial(target):
                    await self._until_wanted(target)
                    await trio.sleep(redial.after_session(trio.current_time() - began))
                else:
                    await trio.sleep(redial.after_failure())

    async def _until_wanted(self, target: _Target) -> None:
        """Wait until there is no session with *target*, or one that has to be renewed."""
        lifetime = MAX_SESSION * (0.9 + self._random.random() / 10)
        while (session := self._session(target)) is not None:
            due = min(session.began + lifetime, max(session.began + MIN_SESSION, session.expires - MARGIN))
            with trio.CancelScope() as scope:
                if session.standing.dialled_by_us:
                    scope.deadline = due
                await self._home.wait_for_change()
            if scope.cancelled_caught:
                return

    async def _dial(self, target: _Target) -> bool:
        """Try the addresses of *target* in turn; whether there is a session now."""
        for address in self._addresses.get(target, ()):
            settled, failures = trio.Event(), list[Exception]()
            dialling = Dialling(self._home, self._context, address, partial(_is, target), settled.set)
            self._nursery.start_soon(self._hold, dialling, settled.set, failures.append)
            await settled.wait()
            if not failures:
                return True
            log.info("peer not reached", peer=_text(target), address=address, reason=str(failures[0]))
        return False

    async def _hold(self, dialling: Dialling, settle: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        try:
            await hold_session(dialling)
        except (trio.BrokenResourceError, PeerFault) as error:
            fail(error)
        except Exception as error:
            log.exception("a session failed", address=dialling.address)
            fail(error)
        finally:
            settle()

    def _session(self, target: _Target) -> Session | None:
        if isinstance(target, NodeName):
            found = self._home.find(target)
            return found[0] if found and not found[0].is_retired else None
        return self._home.find_account(target[0])

    def _is_lower(self, target: _Target) -> bool:
        return not isinstance(target, NodeName) or self._home.identity.name.node < target.node


def _is(target: _Target, name: NodeName) -> bool:
    """Whether *name*, who answers, is whom we look for."""
    return name == target if isinstance(target, NodeName) else name.registry.account == target[0]


def _text(target: _Target) -> str:
    return str(target) if isinstance(target, NodeName) else target[0]
