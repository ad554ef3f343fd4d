"""Tells each destination what it should have, until it says that it does.

One task for each destination of the rules keeps up to ``AT_ONCE`` announcements under way. What to announce is read
from the store each time, so there is nothing to restore after a crash. An image that fails is tried again later and
holds up nothing; when a session comes up, or a backfill wants what lay here before, everything is tried again at once.

A destination may refuse every image, and then a hundred thousand are not done and wait for their next try. So the rows
are not looked at from the start each time: a *pass* goes on where it stopped, new rows come at its end, and the next
pass begins when a try is due, the later the longer the last one was.
"""

from collections.abc import Awaitable, Callable
from math import inf
from random import Random

import structlog
import trio

from node.peers.fetch import ask
from node.peers.mesh import Mesh
from node.registry.announcing import Due, acknowledge, announcement, due_images, note_delay
from node.registry.registry import Registry
from node.registry.replication import destinations
from protocol.auth.names import RegistryName
from protocol.errors import Damaged, PeerFault, Refusal
from protocol.oci.digest import Digest
from protocol.wire.transfer import ANNOUNCE, MAX_ACKNOWLEDGEMENT, Acknowledgement, decode, encode

AT_ONCE = 8  # Announcements under way to one destination.
_PAGE = 256  # Images that are looked at together.
_FIRST_RETRY = 1.0  # Seconds; it doubles up to
_LAST_RETRY = 300.0
_FAILED_RETRY = 3600.0  # Seconds after which a refused image is announced again.
_PASS_PAUSE = 0.5  # Seconds between the beginnings of two passes, and
_ROW_PAUSE = 0.001  # for each row of the last one, which took some 10 microseconds.

log = structlog.get_logger()


async def announce_forever(registry: Registry, mesh: Mesh, random: Random) -> None:
    """Keep one task for each destination that a rule names, for ever."""
    running: dict[RegistryName, trio.CancelScope] = {}
    async with trio.open_nursery() as nursery:
        while True:
            changed = registry.wanted.next()
            try:
                wanted = destinations(registry)
            except Damaged:  # The rules cannot be read: who was told before is told still.
                wanted = set(running)
            for one in running.keys() - wanted:
                running.pop(one).cancel()
            for one in wanted - running.keys():
                running[one] = trio.CancelScope()
                nursery.start_soon(_Destination(registry, mesh, one, random).run, running[one])
            await changed.wait()


class _Destination:
    """What is under way to one destination."""

    def __init__(self, registry: Registry, mesh: Mesh, name: RegistryName, random: Random) -> None:
        self._registry = registry
        self._mesh = mesh
        self._name = name
        self._random = random
        self._under_way: set[tuple[int, Digest]] = set()
        self._not_before: dict[tuple[int, Digest], float] = {}
        self._tries: dict[tuple[int, Digest], int] = {}
        self._wake = trio.Event()
        self._again: set[tuple[int, Digest]] = set()  # Wanted anew while they were under way.
        self._place = b""  # Where the pass goes on.
        self._rows = 0  # That it has looked at.
        self._next_pass = -inf

    async def run(self, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_registry)
                nursery.start_soon(self._watch, self._mesh.wait_for_change)
                nursery.start_soon(self._watch, self._wait_for_old)
                while True:
                    self._wake = trio.Event()
                    until = trio.current_time() + _LAST_RETRY
                    if self._mesh.sessions_to(self._name):  # Else a session that comes up wakes us.
                        self._begin_pass_if_due()
                        for due in self._next():
                            self._under_way.add((due.repository, due.digest))
                            nursery.start_soon(self._announce, due)
                        until = min(until, max(self._next_pass, min(self._not_before.values(), default=inf)))
                    with trio.move_on_at(until):
                        await self._wake.wait()

    def _begin_pass_if_due(self) -> None:
        now = trio.current_time()
        if now >= self._next_pass and any(at <= now for at in self._not_before.values()):
            self._not_before = {key: at for key, at in self._not_before.items() if at > now}
            self._next_pass = now + _PASS_PAUSE + _ROW_PAUSE * self._rows
            self._place, self._rows = b"", 0

    def _next(self) -> list[Due]:
        """Return what to announce now, from where the pass stopped."""
        found: list[Due] = []
        while len(self._under_way) + len(found) < AT_ONCE:
            page = due_images(self._registry, self._name, after=self._place, limit=_PAGE)
            for due in page:
                if len(self._under_way) + len(found) >= AT_ONCE:
                    return found
                key = due.repository, due.digest
                self._place, self._rows = due.place, self._rows + 1
                if key in self._under_way:
                    self._again.add(key)
                elif key not in self._not_before:
                    found.append(due)
            if not page:
                break
        return found

    async def _announce(self, due: Due) -> None:
        """Announce one image. Nothing that goes wrong here leaves this function: it would end the node."""
        key = due.repository, due.digest
        delay = 0.0
        try:
            with self._registry.tracer.root("announce", image=due.digest, destination=str(self._name)):
                delay = await self._tell(due)
        except (Refusal, PeerFault, Damaged) as error:
            delay = self._back_off(key)
            log.info("not replicated yet", image=due.digest, destination=str(self._name), reason=str(error))
        except Exception:  # The root of this task.
            delay = _LAST_RETRY
            log.exception("bug")
        finally:
            self._under_way.discard(key)
            if delay or key in self._again:
                self._not_before[key] = trio.current_time() + delay
            if not delay:
                self._tries.pop(key, None)
            self._again.discard(key)
            self._wake.set()

    async def _tell(self, due: Due) -> float:
        """Announce, and note the answer; return after how many seconds to try again, 0 for not."""
        said = await announcement(self._registry, due)
        if said is None:
            await acknowledge(self._registry, self._name, due, None)
            return 0.0
        session = self._mesh.sessions_to(self._name)
        if not session:
            return self._back_off((due.repository, due.digest))
        data = await ask(session[0], ANNOUNCE, encode(said), MAX_ACKNOWLEDGEMENT, patience=inf)
        answer = decode(data, Acknowledgement)
        if answer.outcome == "later":
            log.info("not replicated yet", image=due.digest, destination=str(self._name), reason=answer.reason)
            await note_delay(self._registry, self._name, due, answer.reason)
            return self._back_off((due.repository, due.digest))
        await acknowledge(self._registry, self._name, due, answer)
        return _FAILED_RETRY if answer.outcome == "failed" else 0.0

    def _back_off(self, key: tuple[int, Digest]) -> float:
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        return min(_LAST_RETRY, _FIRST_RETRY * 2.0 ** min(tries - 1, 16)) * self._random.uniform(0.75, 1.25)

    async def _watch_registry(self) -> None:
        while True:
            changed = self._registry.wanted.next()
            self._wake.set()
            await changed.wait()

    async def _wait_for_old(self) -> None:
        await self._registry.wanted_again.next().wait()

    async def _watch(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Try everything again, from the start, each time that *wait* returns."""
        while True:
            await wait()
            self._not_before.clear()
            self._place, self._rows = b"", 0
            self._wake.set()
