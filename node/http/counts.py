"""What a server counts while it runs, in plain integers of the loop's thread; whoever shows them reads them."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Of all listeners of one server together."""

    connections: int = 0  # Open now.
    accepted: int = 0
    sendfile_bytes: int = 0  # Of extents: straight from the page cache to the socket.
    copied_bytes: int = 0  # Of extents: through a buffer, for TLS and HTTP/2.
