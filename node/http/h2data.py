"""DATA frames laid out in one buffer, so that a file is read into its frames and sent from them without a copy."""

import struct

from node.http.message import Extent
from node.http.outgoing import read_extent

BUFFER = 256 * 1024  # Bytes of body in one write, at most.
LARGEST = 64 * 1024  # Bytes in one frame; a client that would take larger ones gains nothing by them.
_HEADER = 9


class DataFrames:
    """The buffer; it is made when first needed, since most connections send nothing large."""

    def __init__(self) -> None:
        self._buffer: memoryview | None = None

    def forget(self) -> None:
        """Give the memory back."""
        self._buffer = None

    async def fill(
        self, stream_id: int, piece: bytes | Extent, at: int, size: int, frame_size: int
    ) -> tuple[memoryview, int]:
        """Lay out *size* bytes of *piece* from *at*, at most ``BUFFER``, in frames without END_STREAM.

        Returns the frames, valid until the next call, and how many bytes of *piece* they hold: a file may give less.
        """
        frame_size = min(frame_size, LARGEST)
        if self._buffer is None:
            self._buffer = memoryview(bytearray(BUFFER + _HEADER * (BUFFER // 16_384 + 1)))
        slots, start = [], _HEADER
        for offset in range(0, size, frame_size):
            length = min(frame_size, size - offset)
            slots.append(self._buffer[start : start + length])
            start += length + _HEADER
        if isinstance(piece, Extent):
            size = await read_extent(piece.fd, slots, piece.offset + at)
        else:
            for slot in slots:
                slot[:] = piece[at : at + len(slot)]
                at += len(slot)
        start = 0
        for offset in range(0, size, frame_size):
            length = min(frame_size, size - offset)
            struct.pack_into("!BHBBI", self._buffer, start, length >> 16, length & 0xFFFF, 0, 0, stream_id)
            start += _HEADER + length
        return self._buffer[:start], size
