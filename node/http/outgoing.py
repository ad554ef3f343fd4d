"""Sends a body made of pieces: without copying on plain TCP, through one buffer everywhere else.

Whatever is in the page cache is read on the spot; only cold pages go to a thread, since a thread costs 60
microseconds and a disk stops the loop. ``RWF_NOWAIT`` tells which. Where the file system cannot tell (tmpfs), all
reads go to a thread.
"""

import errno
import os
from collections.abc import AsyncIterator, Sequence

import trio

from node.http.failures import ClientGone, is_gone
from node.http.message import Extent, Piece, Pieces
from node.http.runs import Runs, Senders
from node.http.sendqueue import SendQueues
from node.http.transport import Pace, Transport

BUFFER = 128 * 1024  # Bytes read at once where a copy is needed: held by each slow reader over TLS.
READAHEAD = 128 * 1024  # What the kernel reads at once by default; one page of each tells about the others.
CLEANUP = 5.0  # Seconds that an iterator has to close.


async def read_extent(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
    """Fill *buffers* from *fd* at *offset*; return how many bytes, more than none.

    Raises:
        OSError: the file is shorter, or the medium failed.
    """
    try:
        count = os.preadv(fd, buffers, offset, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise
        count = await trio.to_thread.run_sync(os.preadv, fd, buffers, offset)
    if not count:
        raise OSError("the file ends before the extent")
    return count


async def warm(extent: Extent) -> None:
    """Bring *extent* into the page cache, so that ``sendfile`` does not wait for the disk on the loop."""
    probe = [bytearray(1)]
    end = extent.offset + extent.length
    try:
        for offset in (*range(extent.offset, end, READAHEAD), end - 1):
            os.preadv(extent.fd, probe, offset, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise
        await trio.to_thread.run_sync(_read_all, extent)


def _read_all(extent: Extent) -> None:
    buffer, offset, end = [bytearray(BUFFER)], extent.offset, extent.offset + extent.length
    while offset < end and (count := os.preadv(extent.fd, buffer, offset)):
        offset += count


class BodyBroken(Exception):
    """A body ended in an exception, or not where it said: the cause, if there is one, is ``__cause__``."""


async def next_piece(iterator: AsyncIterator[Piece]) -> Piece | None:
    """Return the next piece, ``None`` after the last; ``BodyBroken`` from whatever else it raises."""
    try:
        return await anext(iterator)
    except StopAsyncIteration:
        return None
    except Exception as error:
        if is_gone(error):
            raise ClientGone from error
        raise BodyBroken from error


async def close_iterator(pieces: Pieces) -> None:
    """Await the iterator's ``aclose``, even in a cancelled task, for a few seconds."""
    close = getattr(pieces.iterator, "aclose", None)
    if close is not None:
        with trio.move_on_after(CLEANUP, shield=True):
            await close()


class Outgoing:
    """Sends the bodies of one HTTP/1.1 connection."""

    def __init__(self, transport: Transport, queues: SendQueues, senders: Senders) -> None:
        self._transport = transport
        self._queues = queues
        self._runs = Runs(transport, senders)
        self._counts = senders.counts
        self._buffer: memoryview | None = None
        self.sent = 0  # Bytes of the current body, without framing.

    async def send_pieces(self, head: bytes, first: Piece | None, pieces: Pieces, pace: Pace, *, chunked: bool) -> None:
        """Send *head* and the body: *first*, if it is there already, then the rest. *pieces* is dropped in any case.

        Raises:
            BodyBroken: the connection has to be aborted, for the client must not take the body for whole.
            ClientGone: nobody receives any more.
        """
        mapped = False
        try:
            await self._transport.send(head, pace, more=first is not None)
            piece = first if first is not None else await next_piece(pieces.iterator)
            while piece is not None:
                mapped = mapped or isinstance(piece, Extent)
                if isinstance(piece, Extent) and piece.is_resident and self._transport.zero_copy and not chunked:
                    piece = await self._send_run(piece, pieces, pace)
                else:
                    self._check(piece, pieces)
                    await self._send_piece(piece, pace, chunked=chunked)
                    piece = await next_piece(pieces.iterator)
            if chunked:
                await self._transport.send(b"0\r\n\r\n", pace)
            elif pieces.length is not None and self.sent != pieces.length:
                raise BodyBroken(f"a body of {pieces.length} bytes ended after {self.sent}")
        finally:
            self._runs.end()
            await self.drop(pieces, mapped=mapped)

    async def drop(self, pieces: Pieces, *, mapped: bool = False) -> None:
        """Close *pieces* and release them; *mapped*: when the client has what was sent of them."""
        try:
            await close_iterator(pieces)
        finally:
            if pieces.release is None:
                pass
            elif mapped and self._transport.zero_copy:
                self._queues.lease(self._transport, pieces.release)
            else:
                pieces.release()

    def _check(self, piece: Piece, pieces: Pieces, gathered: int = 0) -> None:
        length = piece.length if isinstance(piece, Extent) else len(piece)
        if pieces.length is not None and self.sent + gathered + length > pieces.length:
            raise BodyBroken(f"a body of {pieces.length} bytes goes on after them")

    async def _send_run(self, piece: Extent, pieces: Pieces, pace: Pace) -> Piece | None:
        """Send *piece*, and as many behind it as may go at once; return what follows."""
        began = trio.current_time()
        wanted = self._runs.length
        run: list[Extent] = []
        gathered = 0
        following: Piece | None = piece
        while len(run) < wanted and isinstance(following, Extent) and following.is_resident:
            self._check(following, pieces, gathered)
            run.append(following)
            gathered += following.length
            if not following.is_followed:  # What is there goes first.
                break
            if len(run) < wanted:
                following = await next_piece(pieces.iterator)
        try:
            await self._runs.send(run, pace)
        except ClientGone:
            raise
        except OSError as error:
            raise BodyBroken from error
        self.sent += gathered
        if following is run[-1]:
            following = await next_piece(pieces.iterator)
        self._runs.kept_up(len(run), trio.current_time() - began)
        return following

    async def _send_piece(self, piece: Piece, pace: Pace, *, chunked: bool) -> None:
        length = piece.length if isinstance(piece, Extent) else len(piece)
        if not length:
            return
        if chunked:
            await self._transport.send(b"%x\r\n" % length, pace, more=True)
        if isinstance(piece, bytes):
            await self._transport.send(piece, pace, more=chunked)
        else:
            await self._send_extent(piece, pace)
        self.sent += length
        if chunked:
            await self._transport.send(b"\r\n", pace)

    async def _send_extent(self, extent: Extent, pace: Pace) -> None:
        try:
            if self._transport.zero_copy:
                if not extent.is_resident:
                    await warm(extent)
                await self._transport.send_file(extent.fd, extent.offset, extent.length, pace)
                self._counts.sendfile_bytes += extent.length
                return
            if self._buffer is None:
                self._buffer = memoryview(bytearray(BUFFER))
            offset, end = extent.offset, extent.offset + extent.length
            with self._transport.corked():
                while offset < end:
                    count = await read_extent(extent.fd, [self._buffer[: end - offset]], offset)
                    await self._transport.send(self._buffer[:count], pace)
                    offset += count
            self._counts.copied_bytes += extent.length
        except ClientGone:
            raise
        except OSError as error:
            raise BodyBroken from error
