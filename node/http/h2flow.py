"""Flow control of HTTP/2, both ways: who may send how much, and when to say so.

What we may send is kept in h2's own numbers, since its frames spend them too. What the client may send of the bodies
that the guard takes out is kept here, for h2 does not see these.

Source: RFC 9113, 5.2 and 6.9.
"""

from dataclasses import dataclass

import h2.connection

from node.http.failures import ClientGone
from node.http.frameguard import FLOW_CONTROL_ERROR, MAX_WINDOW, Breach, window_update
from node.http.limits import Limits

LEAST = 1024  # Bytes in a DATA frame that is not the last: a window of one byte at a time is an attack.
SMALL_FRAMES = 16  # Smaller ones that a connection may ask for all the same, by windows that allow no larger one.
WORTH = 64 * 1024  # Bytes that are waited for if the stream's window is large.
SHARED_WORTH = 16 * 1024  # The same of the connection's window: a quarter of the smallest that a client can have.


@dataclass(slots=True)
class Window:
    """What a client may send on one stream."""

    left: int
    uncredited: int = 0  # Bytes that the handler took, and the client does not know of yet.


class FlowControl:
    """The windows of one connection."""

    def __init__(self, connection: h2.connection.H2Connection, limits: Limits) -> None:
        self._h2 = connection
        self._limits = limits
        self._inbound = Window(limits.connection_window)
        self._small_frames = SMALL_FRAMES
        self.updates = b""
        """WINDOW_UPDATE frames to be sent; the sender empties it."""

    def usable(self, stream_id: int, left: int) -> int:
        """Return how many bytes the client takes now of a body with *left* to go; 0 where it is not worth a frame.

        Waiting for a good part of the window saves the many small frames that small credits would make. A client may
        keep back the credit for half of a window, so never more than a quarter is waited for.

        Raises:
            ClientGone: the stream is closed.
        """
        stream = self._h2.streams.get(stream_id)
        if stream is None or stream.closed:
            raise ClientGone
        worth = max(LEAST, min(WORTH, self._h2.remote_settings.initial_window_size // 4))
        own, shared = stream.outbound_flow_control_window, self._h2.outbound_flow_control_window
        if self._h2.remote_settings.initial_window_size < LEAST and self._small_frames:
            return max(0, min(own, shared))
        if own < min(left, worth) or shared < min(left, SHARED_WORTH):
            return 0
        return min(own, shared)

    def spend(self, stream_id: int, size: int) -> None:
        """Note *size* bytes that are sent past h2; negative: that were not sent after all."""
        if 0 < size < LEAST and self._small_frames and self._h2.remote_settings.initial_window_size < LEAST:
            self._small_frames -= 1
        self._h2.outbound_flow_control_window -= size
        if stream := self._h2.streams.get(stream_id):
            stream.outbound_flow_control_window -= size

    def opened(self, stream_id: int, size: int) -> bool:
        """Open a window by *size*; return false for what is no plain case, which h2 has to judge."""
        if not 0 < size <= MAX_WINDOW:
            return False
        if not stream_id:
            if self._h2.outbound_flow_control_window + size > MAX_WINDOW:
                return False
            self._h2.outbound_flow_control_window += size
            return True
        stream = self._h2.streams.get(stream_id)
        if stream is None or stream.closed or stream.outbound_flow_control_window + size > MAX_WINDOW:
            return False
        stream.outbound_flow_control_window += size
        return True

    def received(self, size: int, window: Window | None) -> None:
        """Note *size* bytes for the connection and for a stream's *window*; ``Breach`` beyond what was allowed."""
        self._inbound.left -= size
        if window is not None:
            window.left -= size
        if self._inbound.left < 0 or (window is not None and window.left < 0):
            raise Breach(FLOW_CONTROL_ERROR, "flow_control")

    def credit(self, size: int) -> None:
        """Give *size* bytes back to the connection's window."""
        self._add(0, self._inbound, size, self._limits.connection_window // 4)

    def credit_stream(self, stream_id: int, window: Window, size: int) -> None:
        """Give *size* bytes back to a stream's *window*."""
        self._add(stream_id, window, size, self._limits.stream_window // 4)

    def _add(self, stream_id: int, window: Window, size: int, step: int) -> None:
        window.uncredited += size
        if window.uncredited >= step:
            self.updates += window_update(stream_id, window.uncredited)
            window.left += window.uncredited
            window.uncredited = 0
