"""Lines to a file descriptor, without ever waiting for its reader.

The log's other end is a terminal that may be stopped, or a pipe to a collector that may hang; neither may hold up a
pull. So lines are gathered in memory and written when the descriptor takes them: ``poll`` says that a pipe or a
socket has room for at least one page, and no more than a page is then written. (``O_NONBLOCK`` would be simpler, but
it belongs to the open file, which we share with the shell that started us.) A regular file always has room and gets
everything at once. What does not fit into ``MAX_HELD`` is dropped by whole lines, and counted.
"""

import os
import select
import stat
from threading import Lock

import trio

FLUSH_AT = 32 * 1024  # Bytes held before a write is tried without waiting for the next interval.
FLUSH_INTERVAL = 0.2  # Seconds.
MAX_HELD = 8 * FLUSH_AT  # Bytes held while the reader does not read.
_PAGE = 4096  # PIPE_BUF on Linux: what a pipe that polls writable takes at once.


class Lines:
    """A buffer before a descriptor, which stays its owner's to close. Every thread may write."""

    def __init__(self, fd: int) -> None:
        self.dropped = 0
        """Lines that were lost, since the start."""
        self._fd = fd
        self._held = bytearray()
        self._lock = Lock()
        self._slice = FLUSH_AT if stat.S_ISREG(os.fstat(fd).st_mode) else _PAGE
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, line: bytes) -> None:
        """Take one *line*, which ends with a line feed, for the next flush."""
        with self._lock:
            held = self._held
            if len(held) > MAX_HELD:
                self.dropped += 1
                return
            held += line
            if len(held) >= FLUSH_AT:
                self._flush()

    def write_now(self, line: bytes) -> None:
        """Take one *line* and everything before it, and write as much as the descriptor takes at once."""
        self.write(line)
        self.flush()

    def flush(self) -> None:
        """Write as much as the descriptor takes at once; the rest waits for the next flush."""
        with self._lock:
            self._flush()

    async def flush_forever(self) -> None:
        """Flush every ``FLUSH_INTERVAL``, and a last time when cancelled."""
        try:
            while True:
                await trio.sleep(FLUSH_INTERVAL)
                self.flush()
        finally:
            self.flush()

    def _flush(self) -> None:
        held = self._held
        try:
            while held and self._poll.poll(0):
                del held[: os.write(self._fd, memoryview(held)[: self._slice].tobytes())]
        except OSError:  # Nobody reads any more, or the disk is full: the log is not worth the node.
            self.dropped += held.count(b"\n")
            held.clear()
