"""One accepted socket, plain or TLS, for tasks that wait.

Each operation is tried first and waits only if the kernel says so: a wait costs 20 microseconds, as much as the rest
of a small answer. Since an operation that never waits never lets others run, every ``TURN`` bytes a checkpoint is
passed. A non-blocking ``SSLSocket`` moves 16 KiB records between OpenSSL and the socket without the copies that a
memory BIO makes.

Whatever the kernel or OpenSSL says went wrong comes out as ``ClientGone``; the end of what the client sends is
``b""`` or 0. A cancelled send leaves an unknown part of its bytes sent: the connection is of no use after it.
"""

import errno
import fcntl
import os
import socket
import ssl
import struct
import termios
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf

import trio
from trio.lowlevel import checkpoint, notify_closing, wait_readable, wait_writable

from node.http.failures import ClientGone
from node.http.limits import Limits

TURN = 1024 * 1024  # Bytes moved between two checkpoints: a third of a millisecond.

RECORD = 16 * 1024  # Bytes in the largest record of TLS.

_WANT_READ = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)


class Pace:
    """Cancels *scope* when a peer moves less than ``limits.progress`` bytes in ``limits.patience`` of our waiting.

    Only the time in ``wait`` counts: what we do ourselves is not the peer's fault.
    """

    __slots__ = ("_left", "_limits", "_moved", "_scope")

    def __init__(self, scope: trio.CancelScope, limits: Limits) -> None:
        self._scope = scope
        self._limits = limits
        self._left = limits.patience
        self._moved = 0

    def moved(self, count: int) -> None:
        """Note *count* bytes of progress."""
        self._moved += count
        if self._moved >= self._limits.progress:
            self._moved = 0
            self._left = self._limits.patience

    async def wait(self, ready: Callable[[int], Awaitable[None]], fd: int = -1) -> None:
        """Await ``ready(fd)`` on the peer's time."""
        began = trio.current_time()
        self._scope.deadline = began + self._left
        await ready(fd)
        self._scope.deadline = inf
        self._left -= trio.current_time() - began


class Transport:
    """A connected socket; ``pace=None`` means that the caller has set a deadline of its own."""

    __slots__ = ("_fd", "_sock", "_turn", "certificate", "client", "protocol", "queued", "scheme", "zero_copy")

    def __init__(self, sock: socket.socket, client: str) -> None:
        """Take over *sock*; *client* is its peer's address, empty where it has none."""
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._turn = TURN
        self.client = client
        self.certificate: bytes | None = None
        self.protocol = ""  # As ALPN agreed; empty on plain connections.
        self.scheme = "http"
        self.queued = 0  # Bytes ever handed to the kernel.
        self.zero_copy = sock.family in (socket.AF_INET, socket.AF_INET6)
        """Whether ``send_file`` works, and ``unsent`` counts exactly."""

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands as the server; the caller sets the deadline."""
        try:
            sock = context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
        except OSError as error:
            raise ClientGone from error
        self._sock, self.scheme, self.zero_copy = sock, "https", False
        await self._shake_hands(sock)
        self.protocol = sock.selected_alpn_protocol() or ""
        self.certificate = sock.getpeercert(binary_form=True)

    async def _shake_hands(self, sock: ssl.SSLSocket) -> None:
        while True:
            try:
                return sock.do_handshake()
            except ssl.SSLWantReadError:
                await wait_readable(self._fd)
            except ssl.SSLWantWriteError:
                await wait_writable(self._fd)
            except (OSError, ValueError) as error:  # ValueError: the peer closed before the first byte.
                raise ClientGone from error

    async def receive(self, size: int, pace: Pace | None = None, *, wait_first: bool = False) -> bytes:
        """Return at most *size* bytes. *wait_first* saves a call that would find nothing, on a plain socket."""
        if wait_first and self.scheme == "http":
            await self._wait(wait_readable, pace)
        while True:
            try:
                data = self._sock.recv(size)
            except _WANT_READ:
                await self._wait(wait_readable, pace)
            except ssl.SSLWantWriteError:
                await self._wait(wait_writable, pace)
            except OSError as error:
                raise ClientGone from error
            else:
                if size > RECORD and data and isinstance(self._sock, ssl.SSLSocket):
                    data = self._more_records(data, size - len(data))
                await self._moved(len(data), pace)
                return data

    def _more_records(self, data: bytes, left: int) -> bytes:
        """Return *data* with what else is there on a TLS connection, which gives one record at a time."""
        parts = [data]
        with suppress(OSError):  # Whatever it is, it comes again with the next call.
            while left >= RECORD and (data := self._sock.recv(left)):
                parts.append(data)
                left -= len(data)
        return b"".join(parts) if len(parts) > 1 else parts[0]

    async def receive_into(self, buffer: memoryview, pace: Pace) -> int:
        """Put what is there into *buffer*; return how much, 0 at the end."""
        while True:
            try:
                count = self._sock.recv_into(buffer)
            except _WANT_READ:
                await self._wait(wait_readable, pace)
            except ssl.SSLWantWriteError:
                await self._wait(wait_writable, pace)
            except OSError as error:
                raise ClientGone from error
            else:
                await self._moved(count, pace)
                return count

    def send_nowait(self, data: bytes | memoryview, flags: int = 0) -> int:
        """Send what fits at once; return how much. Non-zero *flags* only where ``zero_copy``."""
        try:
            count = self._sock.send(data, flags)
        except (*_WANT_READ, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise ClientGone from error
        self.queued += count
        return count

    async def send(self, data: bytes | memoryview, pace: Pace, *, more: bool = False) -> None:
        """Send all of *data*; *more* says that the rest of a message follows at once."""
        flags = socket.MSG_MORE if more and self.zero_copy else 0
        view = memoryview(data)
        while view:
            count = self.send_nowait(view, flags)
            await self._moved(count, pace)
            view = view[count:]
            if not view:
                return
            if not count or self.zero_copy:
                await self._wait(wait_writable, pace)

    async def send_file(self, fd: int, offset: int, length: int, pace: Pace) -> None:
        """Send *length* bytes of the open file *fd* without copying. ``OSError`` where the file is shorter."""
        end = offset + length
        while offset < end:
            try:
                count = os.sendfile(self._fd, fd, offset, end - offset)
            except BlockingIOError:
                await self._wait(wait_writable, pace)
                continue
            except OSError as error:
                if error.errno == errno.EIO:
                    raise
                raise ClientGone from error
            if not count:
                raise OSError(f"the file ends {end - offset} bytes early")
            offset += count
            self.queued += count
            await self._moved(count, pace)

    def set_low_water(self, size: int) -> None:
        """Have the client waited for while *size* unsent bytes are queued."""
        with suppress(OSError):  # It is gone.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)

    def fileno(self) -> int:
        """The descriptor, for a thread that sends past this object; then ``sent`` has to be told."""
        return self._fd

    async def sent(self, count: int, pace: Pace) -> None:
        """Note *count* bytes that a thread handed to the kernel."""
        self.queued += count
        await self._moved(count, pace)

    @contextmanager
    def corked(self) -> Iterator[None]:
        """Let the kernel gather what is sent within the block.

        TLS writes a record of 16 KiB at a time, and each would be a segment of its own: a fifth of the throughput.
        """
        self._cork(1)
        try:
            yield
        finally:
            self._cork(0)

    def _cork(self, value: int) -> None:
        with suppress(OSError):  # A Unix socket has none.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, value)

    def unsent(self) -> int:
        """Return how many bytes the client has not acknowledged; 0 on a socket that is gone."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._fd, termios.TIOCOUTQ, b"\0" * 4))[0])
        except OSError:
            return 0

    def end(self) -> None:
        """Say that nothing more will be sent, as far as it can be said without waiting."""
        if isinstance(self._sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):  # It has said so when it wants to hear the same from the client.
                self._sock.unwrap()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    async def discard(self) -> None:
        """Receive and throw away until the client ends; the caller sets the deadline."""
        with suppress(ClientGone):
            while await self.receive(65536):
                pass

    def close(self) -> None:
        """Close; the kernel still sends what is queued."""
        if self._fd >= 0:
            notify_closing(self._fd)
            self._fd = -1
            self._sock.close()

    def abort(self) -> None:
        """Close, and throw away what is queued: the client sees a reset, never a short answer that looks whole."""
        if self._fd >= 0:
            with suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    async def _moved(self, count: int, pace: Pace | None) -> None:
        if pace is not None:
            pace.moved(count)
        self._turn -= count
        if self._turn <= 0:
            self._turn = TURN
            await checkpoint()

    async def _wait(self, ready: Callable[[int], Awaitable[None]], pace: Pace | None) -> None:
        try:
            if pace is None:
                await ready(self._fd)
            else:
                await pace.wait(ready, self._fd)
        except (trio.ClosedResourceError, trio.BusyResourceError) as error:
            # Busy: a client's TLS key update wants to write while a full send queue is waited for.
            raise ClientGone from error
        self._turn = TURN
