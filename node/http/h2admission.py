"""Which requests of one HTTP/2 connection are served, and how many its client may have open.

What is beyond the limit of an unknown client waits instead of being refused: a client begins with up to 100 before it
has read our settings, and may guess until it has acknowledged them. One that has taken a good answer is known, and gets
more. Where many requests are at work on all connections, every one gets what strangers do.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from node.http.census import Census
from node.http.h2stream import Stream
from node.http.limits import Limits


class Admission:
    """The requests of one connection that wait, and the numbers that decide."""

    def __init__(self, limits: Limits, census: Census, *, is_known: bool) -> None:
        self._limits = limits
        self._census = census
        self.allowed = limits.streams if is_known else min(limits.streams, limits.streams_unknown)
        """Requests that may be at work at once."""
        self._advertised = self.allowed  # At the beginning.
        self._told: int | None = None  # Streams that the client knows it may open.
        self._waiting: deque[Stream] = deque()
        self._is_starting = False

    def acknowledged(self, new: int | None) -> None:
        """The client knows our settings; *new*: how many streams these allow, where they change that."""
        self._told = self._advertised if new is None else new

    def is_full(self, streams: int) -> bool:
        """Whether a client that has *streams* open has to know that there are too many."""
        return streams >= (self._limits.streams if self._told is None else self._told)

    def raise_allowed(self) -> bool:
        """Give the client what known ones get; return whether that is more."""
        more = self.allowed < self._limits.streams
        self.allowed = self._limits.streams
        return more

    def wait(self, stream: Stream) -> None:
        """Put *stream* behind those that wait."""
        self._waiting.append(stream)

    def next(self, streams: int) -> Stream | None:
        """Return one that is to be served now, of a connection with *streams* open; the next one a turn later.

        The loop runs all that is ready before it looks who else is: 200 connections with 100 requests each would be ten
        seconds of that.
        """
        limits = self._limits
        # Each costs 19 KB while it waits for its client.
        is_pressed = self._census.at_work >= limits.streams_all
        most = min(self.allowed, limits.streams_unknown) if is_pressed else self.allowed
        if not self._waiting or self._is_starting or streams - len(self._waiting) >= most:
            return None
        self._is_starting = True
        return self._waiting.popleft()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve in the block what ``next`` returned."""
        self._is_starting = False
        self._census.at_work += 1
        try:
            yield
        finally:
            self._census.at_work -= 1

    def close(self) -> Iterator[Stream]:
        """Let nobody begin any more, and yield those that waited."""
        self.allowed = 0
        while self._waiting:
            yield self._waiting.popleft()
