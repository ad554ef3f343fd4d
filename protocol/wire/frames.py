"""Bytes to messages and back, within the bounds of each kind.

A frame is a u32 length, big-endian, and that many bytes of msgpack: a map whose key ``k`` tells the kind. The
kind is read first, so that the bounds hold before anything is decoded into objects: no frame can become more than
its typed message, whatever it nests (msgspec checks announced lengths against the input, skips what is unknown
without building it, and stops at the depth of the interpreter's stack).

Source: reliability.md 2.6, S37.
"""

from dataclasses import dataclass

import msgspec

from protocol.errors import PeerFault
from protocol.wire.messages import BOUNDS, MAX_FRAME, STALL, UNKNOWN, Bound, Message

_LENGTH = 4  # Bytes before each frame.


class _Head(msgspec.Struct):
    k: str


_head = msgspec.msgpack.Decoder(_Head)
_encoder = msgspec.msgpack.Encoder()
_kinds: dict[str, type[Message]] = {str(kind.__struct_config__.tag): kind for kind in BOUNDS}
_decoders = {kind: msgspec.msgpack.Decoder(kind) for kind in BOUNDS}


def frame(message: Message) -> bytes:
    """Return *message* as it travels; ``ValueError`` where it is larger than its kind may be."""
    packed = _encoder.encode(message)
    if len(packed) > BOUNDS[type(message)].size:
        raise ValueError(f"a {type(message).__name__} of {len(packed)} bytes")
    return len(packed).to_bytes(_LENGTH, "big") + packed


@dataclass(slots=True)
class _Bucket:
    bound: Bound
    tokens: float
    at: float

    def take(self, now: float, most: float) -> float:
        """Take one token; what is left may be negative."""
        self.tokens = min(most, self.tokens + (now - self.at) * self.bound.rate)
        self.at = now
        self.tokens -= 1
        return self.tokens


class FrameReader:
    """Reads one control stream. Holds at most one frame that is not complete."""

    def __init__(self, *, now: float) -> None:
        self._buffer = bytearray()
        self._buckets = {kind: _Bucket(bound, _most(bound), now) for kind, bound in [*BOUNDS.items(), (None, UNKNOWN)]}

    def receive(self, data: bytes, *, now: float) -> list[Message]:
        """Return the messages that *data* completes, in order.

        ``PeerFault`` where a frame is too large, too many of its kind came, or it is none. Frames of kinds that are
        not known count against ``UNKNOWN`` and are skipped.
        """
        self._buffer += data
        messages: list[Message] = []
        at = 0
        while len(self._buffer) - at >= _LENGTH:
            length = int.from_bytes(self._buffer[at : at + _LENGTH], "big")
            if length > MAX_FRAME:
                raise PeerFault(f"a frame of {length} bytes")
            if len(self._buffer) - at < _LENGTH + length:
                break
            message = self._read(bytes(self._buffer[at + _LENGTH : at + _LENGTH + length]), now)
            if message is not None:
                messages.append(message)
            at += _LENGTH + length
        del self._buffer[:at]
        return messages

    def _read(self, packed: bytes, now: float) -> Message | None:
        try:
            kind = _kinds.get(_head.decode(packed).k)
            bucket = self._buckets[kind]
            name = kind.__name__ if kind else "unknown kind"
            if len(packed) > bucket.bound.size:
                raise PeerFault(f"a frame of {len(packed)} bytes of {name}")
            if bucket.take(now, _most(bucket.bound)) < 0:
                raise PeerFault(f"too many frames of {name}")
            return _decoders[kind].decode(packed) if kind else None
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise PeerFault(f"a frame that is none: {str(error)[:128]}") from None


class Pace:
    """How fast one side may send, so that the other side's ``FrameReader`` is content even after a stall."""

    def __init__(self, *, now: float) -> None:
        self._buckets = {kind: _Bucket(bound, bound.burst, now) for kind, bound in BOUNDS.items()}

    def delay(self, message: Message, *, now: float) -> float:
        """Count *message* as sent and return the seconds to wait before it is."""
        bucket = self._buckets[type(message)]
        left = bucket.take(now, bucket.bound.burst)
        return 0.0 if left >= 0 or not bucket.bound.rate else -left / bucket.bound.rate


def _most(bound: Bound) -> float:
    return bound.burst + bound.rate * STALL
