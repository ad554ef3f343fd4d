"""Scrubs the store in the background, at its leisure.

A pass begins a random time around the interval after the last one, so that the nodes of a registry do not all scrub at
once. Between two steps it rests: as long as the rate asks for, and twice as long as the step took, so that it gives way
to others the more, the busier disk and processor are; each time by chance a little more or less.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import msgspec
import trio

from node.registry.damage import untried_count
from node.registry.registry import Registry
from node.registry.scrub import load_scrub, open_files, put_scrub, scrub_step
from node.registry.scrubbing import Pass
from protocol.errors import Busy

DAY = 86_400.0  # Seconds.
_REST = 2.0  # Times as long as a step took.
_SAVED = 10.0  # Seconds between two notes of how far it is.
_LOOK = 60.0  # Seconds between two looks at the clock.
_MENDED, _MENDING = 60.0, 0.25  # Seconds to mend what a phase found; and between two looks at it.
_SPREAD = 1 / 6  # Of the interval: 25 to 35 days for 30.


@dataclass(frozen=True, slots=True)
class Pace:
    """What an operator chose."""

    is_enabled: bool
    interval: float  # Seconds between the beginnings of two passes.
    rate: int  # Bytes a second.


async def scrub_forever(registry: Registry, pace: Callable[[], Pace], random: Random) -> None:
    """Scrub when it is due or asked for, for ever."""
    scrubbing = registry.scrubbing
    load_scrub(registry)
    while True:
        asked = scrubbing.asked
        _schedule(registry, pace(), random)
        if scrubbing.state.is_running:
            await _scrub(registry, pace, random)
            continue
        with trio.move_on_after(_LOOK):
            await asked.wait()


def _schedule(registry: Registry, pace: Pace, random: Random) -> None:
    """Say when the next pass begins, and begin it when that has come."""
    scrubbing, state, now = registry.scrubbing, registry.scrubbing.state, registry.now()
    if not pace.is_enabled:
        scrubbing.state = msgspec.structs.replace(state, next=0.0)
        return
    latest = now + pace.interval * (1 + _SPREAD)  # The interval may have been made shorter.
    if not state.next or state.next > latest:
        first = random.uniform(0, 1) if not state.now.began else random.uniform(1 - _SPREAD, 1 + _SPREAD)
        state = msgspec.structs.replace(state, next=now + pace.interval * first)
    if now >= state.next and not state.is_running:
        state = msgspec.structs.replace(
            state, now=Pass(now), next=now + pace.interval * random.uniform(1 - _SPREAD, 1 + _SPREAD)
        )
    scrubbing.state = state


async def _scrub(registry: Registry, pace: Callable[[], Pace], random: Random) -> None:
    """Go through one pass, to its end."""
    saved, scrubbing = trio.current_time(), registry.scrubbing
    with open_files(registry) as files:
        while scrubbing.state.is_running:
            began = trio.current_time()
            phase = scrubbing.state.now.phase
            read = await scrub_step(registry, files)
            took = trio.current_time() - began
            if trio.current_time() - saved > _SAVED:
                saved = trio.current_time()
                await _save(registry)
            if scrubbing.state.now.phase != phase:
                await _mended(registry)
            rate = scrubbing.state.now.rate or pace().rate
            await trio.sleep(max(read / rate - took, _REST * took) * random.uniform(0.75, 1.25))
    await _save(registry)


async def _mended(registry: Registry) -> None:
    """Wait until what was found was tried to be mended: where a row is damaged its chunks cannot be compared."""
    with trio.move_on_after(_MENDED):
        while untried_count(registry):
            registry.repairs.hurry()
            await trio.sleep(_MENDING)


async def _save(registry: Registry) -> None:
    try:
        await put_scrub(registry)
    except Busy:
        return  # A restart begins where it was noted last.
