"""Every limit of the engine in one place, each with its reason.

A limit that is hit is counted under its name by the function ``hit`` that the server was given, and answered with
the protocol's own error. Times are seconds, sizes are bytes.
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

Hit: TypeAlias = Callable[[str], None]
"""Counts one hit of the limit that is named. The names are fixed words, never a client's text."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a stranger may cost us."""

    head: int = 16 * 1024
    """Request line and header fields: parsers take megabytes, no client of a registry sends more than 12 KiB."""
    fields: int = 100
    """Header fields of one request: many tiny ones cost far more memory than bytes on the wire."""
    target: int = 8 * 1024
    """Request target: ECR and OCI targets stay below 2 KiB, with room for long pagination cursors."""
    parameters: int = 64
    """Query parameters: a pull needs none, the widest ECR call has fewer than ten."""
    chunk_line: int = 256
    """Line before a chunk, extensions included, and each trailer line: an endless extension is endless work."""
    small_chunks: int = 2048
    """Chunks of a body that may be small; beyond them a KiB of body pays for one. Each takes 10 us."""
    trailers: int = 16
    """Trailer lines that are read and thrown away."""
    drain: int = 64 * 1024
    """Unread remainder of a request body that is read to keep a connection; a larger one closes it."""

    handshake: float = 10.0
    """For a TLS handshake as a whole."""
    receiving_head: float = 10.0
    """For a head as a whole, from its first byte; a byte now and then does not extend it."""
    idle: float = 75.0
    """For the next request on a connection kept alive, and for the first one."""
    patience: float = 30.0
    """Time spent waiting for a peer that moves fewer than ``progress`` bytes meanwhile."""
    progress: int = 30 * 1024
    """Bytes that renew the patience: together 1 KiB/s, which a phone in a tunnel still makes."""
    linger: float = 1.0
    """After we end a connection: for the client to read what we said before the reset of its unread bytes."""
    flush: float = 30.0
    """For the send queue of a closed connection to empty, while a lease depends on it; then it is aborted."""

    connections: int = 4096
    """Open connections in all: 40 KiB each when idle."""
    connections_each: int = 1024
    """Open connections of one address. A CI farm behind one NAT address is a legitimate client."""
    strangers: int = 2048
    """Connections without a request at work, of clients that nothing is known of; the one that is silent for longest
    makes room for the next."""
    strangers_each: int = 1008
    """The same of one address: a little less than all, for those that were sent away are not gone at once."""
    idle_pressed: float = 10.0
    """Instead of ``idle`` while three quarters of the connections are taken, in all or by the address."""

    heads: int = 64 * 1024 * 1024
    """Decoded heads of all requests at work."""

    streams: int = 100
    """HTTP/2 requests at once on one connection."""
    streams_unknown: int = 16
    """The same until the client is known; what comes beyond them waits."""
    streams_all: int = 2048
    """HTTP/2 requests at work on all connections, beyond which known clients get what unknown ones do, too."""
    stream_window: int = 1024 * 1024
    """HTTP/2 upload bytes in flight in one stream: the default of 64 KiB makes distant uploads slow."""
    connection_window: int = 4 * 1024 * 1024
    """HTTP/2 upload bytes in flight in one connection, which bounds the memory that unread bodies hold."""
    header_block: int = 32 * 1024
    """Compressed header block over all of its frames: HPACK work is a second for each MiB."""
    continuations: int = 4
    """CONTINUATION frames of one block."""
    header_memory: int = 256 * 1024
    """Decoded header lists of the open streams of one connection."""
    resets: float = 100.0
    """Streams that may be reset unfinished before the connection is ended (rapid reset, MadeYouReset)."""
    resets_per_second: float = 10.0
    """How fast that allowance comes back."""
    idle_frames: float = 200.0
    """Frames that carry neither a request nor body bytes (PING, SETTINGS, empty DATA ...)."""
    idle_frames_per_second: float = 20.0
    """How fast that allowance comes back."""
    work: float = 0.05
    """Seconds of processor time, in any second, for reading frames that come to no finished request and no body."""


class Allowance:
    """A token bucket: *burst* at once, refilled by *per_second*."""

    __slots__ = ("_burst", "_left", "_per_second", "_updated")

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = self._left = burst
        self._per_second = per_second
        self._updated = float("-inf")

    def spend(self, cost: float, *, now: float) -> bool:
        """Take *cost*; whether it was there. Once false, the caller ends the connection."""
        if self._updated != float("-inf"):
            self._left = min(self._burst, self._left + (now - self._updated) * self._per_second)
        self._updated = now
        self._left -= cost
        return self._left >= 0

    def earn(self, gain: float) -> None:
        """Give *gain* back."""
        self._left = min(self._burst, self._left + gain)
