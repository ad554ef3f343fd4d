"""HTTP/2 frames, as far as the dialling side handles them itself.

A DATA frame is handed on in pieces as it arrives, so a large one costs no memory and no wait; any other frame is
small and kept until it is whole.

Source: RFC 9113, section 4.1.
"""

from collections.abc import Iterator

import msgspec

from protocol.errors import PeerFault

DATA, WINDOW_UPDATE = 0, 8  # Kinds.
END_STREAM, PADDED = 1, 8  # Flags of DATA.
HEADER = 9  # Bytes before each frame.
MAX_DATA = 1024 * 1024  # Bytes of DATA that the other side may put under one header.
MAX_OTHER = 65_536  # Bytes of any other frame.


class Data(msgspec.Struct, frozen=True):
    """A part of a stream's body."""

    stream: int
    piece: bytes
    ends: bool  # Nothing follows in this stream.


class Other(msgspec.Struct, frozen=True):
    """A whole frame of another kind."""

    kind: int
    stream: int
    frame: bytes  # With its header.


def frame_header(length: int, kind: int, flags: int, stream: int) -> bytes:
    """Return the 9 bytes before a frame."""
    return length.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")


class Splitter:
    """Cuts what arrives into frames. Keeps at most ``MAX_OTHER`` bytes."""

    def __init__(self) -> None:
        self._partial = bytearray()  # A header, or a frame that is not DATA.
        self._need = HEADER  # Bytes that *partial* has to have.
        self._missing = 0  # Bytes of the DATA frame under way.
        self._stream = 0
        self._ends = False

    def split(self, view: memoryview) -> Iterator[Data | Other]:
        """Yield what *view* brings, in order. ``PeerFault`` for frames that are padded or too large."""
        at = 0
        while at < len(view):
            if self._missing:
                piece = bytes(view[at : at + self._missing])
                at += len(piece)
                self._missing -= len(piece)
                yield Data(self._stream, piece, self._ends and not self._missing)
                continue
            part = view[at : at + self._need - len(self._partial)]
            self._partial += part
            at += len(part)
            if len(self._partial) == self._need:
                yield from self._on_complete()

    def _on_complete(self) -> Iterator[Data | Other]:
        length, kind = int.from_bytes(self._partial[:3], "big"), self._partial[3]
        stream = int.from_bytes(self._partial[5:9], "big") & 0x7FFF_FFFF
        if kind == DATA:
            if self._partial[4] & PADDED or length > MAX_DATA:
                raise PeerFault("a padded DATA frame, or one larger than we take")
            self._stream, self._ends = stream, bool(self._partial[4] & END_STREAM)
            self._missing = length
            if not length:
                yield Data(stream, b"", self._ends)
        elif self._need == HEADER and length:
            if length > MAX_OTHER - HEADER:
                raise PeerFault(f"a frame of {length} bytes")
            self._need += length
            return
        else:
            yield Other(kind, stream, bytes(self._partial))
        self._partial.clear()
        self._need = HEADER
