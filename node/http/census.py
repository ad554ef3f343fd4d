"""Who is connected: how many, from where, and which of them have given no reason to be kept.

A *stranger* is a connection without a request at work, whose client nothing is known of: silent ones, half a TLS
handshake, a head that trickles, a client that was refused and stays. There may be fewer of these than of others, and a
newcomer is not turned away for them: the one that has been silent for longest goes. So who only holds connections open
loses them, and a client that comes and asks is served. A burst of clients is none of that: within their first second
all stay, as far as there is room at all.
"""

from collections import Counter, defaultdict
from collections.abc import Callable

import trio

from node.http.counts import Counts
from node.http.limits import Hit, Limits

PATIENCE = 1.0  # Seconds in which no stranger has to go.
_PRESSED = 0.75  # Share of the connections beyond which idle ones are kept for a shorter time.


class Guest:
    """One connection; made by ``Census.admit``."""

    __slots__ = ("_census", "_since", "client", "end", "is_known", "is_stranger")

    def __init__(self, census: "Census", client: str) -> None:
        self._census = census
        self._since = trio.current_time()
        self.client = client
        self.is_known = False
        self.is_stranger = True
        self.end: Callable[[], None] = lambda: None
        """Ends the connection; set by whoever serves it."""

    @property
    def silent(self) -> float:
        """Seconds since it became a stranger."""
        return trio.current_time() - self._since

    def asks(self) -> None:
        """A whole request has come."""
        if self.is_stranger:
            self._census.strange(self, is_stranger=False)

    def answered(self, *, trusted: bool) -> None:
        """A request was answered; *trusted*: the client is known now, and stays so."""
        self.is_known = self.is_known or trusted

    def rests(self) -> None:
        """No request is at work."""
        if not self.is_known and not self.is_stranger:
            self._since = trio.current_time()
            self._census.strange(self, is_stranger=True)


class Census:
    """Counts open connections, in all and for each address."""

    def __init__(self, limits: Callable[[], Limits], hit: Hit, counts: Counts) -> None:
        self.heads = 0
        """Bytes of decoded heads of all requests at work; kept by the connections."""
        self.at_work = 0
        """Requests of HTTP/2 that are served, over all connections; kept by those."""
        self.limits = limits
        self._hit = hit
        self._counts = counts
        self._each: Counter[str] = Counter()
        self._strangers: dict[Guest, None] = {}  # The one that is silent for longest first.
        self._strangers_each: defaultdict[str, dict[Guest, None]] = defaultdict(dict)

    def admit(self, client: str) -> Guest | None:
        """Count one more of *client*, unless there is no room. A Unix socket has no address."""
        limits = self.limits()
        own = self._strangers_each.get(client, {})
        self._send_away(own, limits.strangers_each if client else limits.strangers, "strangers_each")
        self._send_away(self._strangers, limits.strangers, "strangers")
        if self._counts.connections >= limits.connections:
            self._hit("connections")
            return None
        if client and self._each[client] >= limits.connections_each:
            self._hit("connections_each")
            return None
        self._counts.connections += 1
        self._counts.accepted += 1
        self._each[client] += 1
        guest = Guest(self, client)
        self.strange(guest, is_stranger=True)
        return guest

    def left(self, guest: Guest) -> None:
        """A connection that was admitted has ended."""
        self.strange(guest, is_stranger=False)
        self._counts.connections -= 1
        self._each[guest.client] -= 1
        if not self._each[guest.client]:
            del self._each[guest.client]

    def strange(self, guest: Guest, *, is_stranger: bool) -> None:
        """Count *guest* among the strangers, or no more."""
        guest.is_stranger = is_stranger
        own = self._strangers_each[guest.client]
        for some in (self._strangers, own):
            some.pop(guest, None)
            if is_stranger:
                some[guest] = None
        if not own:
            del self._strangers_each[guest.client]

    def idle(self, client: str) -> float:
        """Return for how many seconds a connection of *client* is kept without a request."""
        limits = self.limits()
        is_pressed = self._counts.connections > limits.connections * _PRESSED or (
            client and self._each[client] > limits.connections_each * _PRESSED
        )
        return min(limits.idle, limits.idle_pressed) if is_pressed else limits.idle

    def _send_away(self, some: dict[Guest, None], most: int, limit: str) -> None:
        while len(some) >= most and (oldest := next(iter(some))).silent > PATIENCE:
            self._hit(limit)
            self.strange(oldest, is_stranger=False)  # Until its task has ended it is open, and nothing else.
            oldest.end()
