"""Whose password is hashed next. A hash takes a quarter of a second of a core and 32 MiB, and strangers ask for them.

Theory of operation
===================
Two are hashed at once; the others wait, few of them and not long, and who finds no room is told to come again (429).
Among those that wait, a name and password that were right before go first: whoever guesses does not know them. Then
come those whose name and address have not failed lately, then the others; of equals the newest, so that a heap of wrong
ones is not in the way of who comes after it. When there is no room, the oldest of the last class gives way.

A name that failed a few times from one address gets one turn a second from there. Nobody is locked out, and guessing
is slow: some 80 000 guesses a day for one name from one address, 700 000 in all, at passwords of twelve characters.

Source: reliability.md S16.
"""

import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import trio

from protocol.errors import TooManyAttempts

AT_ONCE = 2
WAITING = 32  # In all.
_WAITING_EACH = 4  # Of one name from one address.
_PATIENCE = 5.0  # Seconds.
_FEW = 5  # Failures that make nobody suspicious.
_PAUSE = 1.0  # Seconds between turns of a name and address with more.
_FORGOTTEN = 300.0  # Seconds after the last failure.
_MOST = 10_000  # Names and addresses that failed and are remembered.

_Pair: TypeAlias = tuple[str, str]
"""An address, or its network, and a name. Either may be empty, for all of them."""


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0


@dataclass(eq=False, slots=True)
class _Waiting:
    pair: _Pair
    rank: int  # 0 goes first.
    has_turn: bool = False
    is_out: bool = False
    woken: trio.Event = field(default_factory=trio.Event)

    def wake(self) -> None:
        self.woken.set()
        self.woken = trio.Event()


class Turns:
    """Gives turns, one for each password to hash; one for each process."""

    def __init__(self) -> None:
        self._taken = 0
        self._waiting: list[_Waiting] = []  # The oldest first.
        self._failures: dict[_Pair, _Failures] = {}

    @asynccontextmanager
    async def turn(self, address: str, name: str, *, was_right: bool) -> AsyncIterator[Callable[[], None]]:
        """Wait for a turn and hold it for the block, which gets what to call where the password was wrong.

        Raises:
            TooManyAttempts: too many others wait, or one of them longer.
        """
        pair = network_of(address), name
        waiting = _Waiting(pair, 0 if was_right else 1 + self._is_suspicious(pair))
        self._waiting.append(waiting)
        self._make_room(pair)
        await self._wait(waiting)
        try:
            yield lambda: self._note_failure(pair)
        finally:
            self._taken -= 1
            self._give()

    async def _wait(self, waiting: _Waiting) -> None:
        deadline = trio.current_time() + _PATIENCE
        is_held = False
        try:
            self._give()
            while not (waiting.has_turn or waiting.is_out or trio.current_time() >= deadline):
                held, woken = self._held_until(waiting), waiting.woken
                with trio.move_on_at(min(deadline, held if held > trio.current_time() else deadline)):
                    await woken.wait()
                self._give()
            is_held = waiting.has_turn
        finally:
            if not is_held:
                self._leave(waiting)
        if not is_held:
            raise TooManyAttempts("too many log-ins are waiting; try again in a moment")

    def _leave(self, waiting: _Waiting) -> None:
        """Take back what who stops waiting has."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        if waiting.has_turn:
            self._taken -= 1
            self._give()

    def _give(self) -> None:
        """Give turns to who is next, as long as there are any."""
        now = trio.current_time()
        while self._taken < AT_ONCE:
            ready = [one for one in self._waiting if self._held_until(one) <= now]
            if not ready:
                return
            best = min(one.rank for one in ready)
            chosen = next(one for one in reversed(ready) if one.rank == best)
            self._waiting.remove(chosen)
            self._taken += 1
            chosen.has_turn = True
            failures = self._failures.get(chosen.pair)
            if failures is not None and chosen.rank:
                failures.last = now
            chosen.wake()

    def _make_room(self, pair: _Pair) -> None:
        same = [one for one in self._waiting if one.pair == pair and one.rank]
        if len(same) > _WAITING_EACH:
            self._put_out(same[0])
        if len(self._waiting) > WAITING:
            worst = max(one.rank for one in self._waiting)
            self._put_out(next(one for one in self._waiting if one.rank == worst))

    def _put_out(self, waiting: _Waiting) -> None:
        self._waiting.remove(waiting)
        waiting.is_out = True
        waiting.wake()

    def _held_until(self, waiting: _Waiting) -> float:
        failures = self._failures.get(waiting.pair)
        if waiting.rank == 0 or failures is None or failures.count < _FEW:
            return 0.0
        return failures.last + _PAUSE

    def _is_suspicious(self, pair: _Pair) -> bool:
        now = trio.current_time()
        found = (self._failures.get(one) for one in ((pair[0], ""), ("", pair[1])))
        return any(one is not None and one.count >= _FEW and now - one.last < _FORGOTTEN for one in found)

    def _note_failure(self, pair: _Pair) -> None:
        now = trio.current_time()
        if len(self._failures) >= _MOST:
            self._failures = {one: kept for one, kept in self._failures.items() if now - kept.last < _FORGOTTEN}
        if len(self._failures) >= _MOST:
            self._failures.clear()
        for one in (pair, (pair[0], ""), ("", pair[1])):
            failures = self._failures.setdefault(one, _Failures())
            failures.count = 1 if now - failures.last >= _FORGOTTEN else failures.count + 1
            failures.last = now


def network_of(address: str) -> str:
    """Return whose failures those of *address* are: of IPv6 the network of 64 bits, which one client has all of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
