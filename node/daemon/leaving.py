"""How a node stops: it says so, goes on for as long as balancers need to notice, then ends what is open.

A balancer asks for ``/readyz`` every few seconds and sends requests here until it has been told otherwise; a node that
stops listening at once refuses those. So with ``limits.drain_delay`` a signal first makes ``/readyz`` answer 503; then
nothing more is accepted and requests in flight get their grace. Whoever asks again does not want to wait for that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from node.registry.condition import Condition, Reason

_STOPPING = Condition(pushes=False, pulls=False, reasons=(Reason("stopping", "the node was told to stop"),))


@dataclass(frozen=True, slots=True)
class Leaving:
    """How far the node is on its way out; ``leave`` has to run."""

    told: trio.Event = field(default_factory=trio.Event)
    stopping: trio.Event = field(default_factory=trio.Event)
    at_once: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Cuts what is open."""

    def hurry(self) -> str:
        """Go a step on: say that the node stops, stop it, cut what is open. Returns what that is, for the log."""
        if not self.told.is_set():
            self.told.set()
            return "stopping"
        if not self.stopping.is_set():
            self.stopping.set()
            return "stopping without delay"
        self.at_once.cancel()
        return "stopping at once"

    async def leave(self, delay: Callable[[], float]) -> None:
        """Set ``stopping`` so many seconds after ``told``, unless somebody else does."""
        await self.told.wait()
        with trio.move_on_after(delay()):
            await self.stopping.wait()
        self.stopping.set()

    def condition(self, condition: Callable[[], Condition]) -> Condition:
        """Return that the node stops, else what *condition* says."""
        return _STOPPING if self.told.is_set() else condition()
