"""Records: what one node changed in its registry in one transaction, signed and chained.

    [body, sig]      body: a msgpack bin that holds [v, registry, node, incarnation, seq, prev, hlc, entries]
                     sig:  Ed25519 over "entrepot-record-v1" || BLAKE3(body)

Both the signature and the hash that the next record names as ``prev`` are over bytes as they came: a record is
verified once, kept as it came and handed on as it came, and nothing is ever encoded again. So a node can keep and
relay what only a later version understands.
"""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec
from blake3 import blake3
from msgspec import Meta

from protocol.errors import PeerFault, Refusal
from protocol.sync.entries import KINDS, Entry, Known, Unknown, check_names
from protocol.sync.vector import Count, Dot, Incarnation, NodeId

VERSION = 1
MAX_RECORD = 2**20  # Bytes on the wire.
FIRST = bytes(32)
"""``prev`` of the first record of an incarnation."""

_DOMAIN = b"entrepot-record-v1"
_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Record(msgspec.Struct, frozen=True, array_like=True):
    """The *seq*-th record of a node's incarnation; sequence numbers start at 1."""

    v: Count
    registry: str  # account/region
    node: NodeId
    incarnation: Incarnation
    seq: Count
    prev: _Hash
    hlc: Count
    entries: tuple[Entry, ...]

    @property
    def dot(self) -> Dot:
        """What entries of this record are known by."""
        return Dot(self.node, self.incarnation, self.seq)


Verify: TypeAlias = Callable[[Record, bytes, bytes], bool]
"""``verify(record, message, signature)``: whether the node that *record* names signed *message*."""


class _Body(msgspec.Struct, frozen=True, array_like=True):
    v: Count
    registry: Annotated[str, Meta(max_length=128)]
    node: NodeId
    incarnation: Incarnation
    seq: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    prev: _Hash
    hlc: Count
    entries: tuple[msgspec.Raw, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode_envelope = msgspec.msgpack.Decoder(tuple[bytes, Annotated[bytes, Meta(min_length=64, max_length=64)]]).decode
_decode_body = msgspec.msgpack.Decoder(_Body).decode
_decode_known = msgspec.msgpack.Decoder(Known).decode
_decode_unknown = msgspec.msgpack.Decoder(Unknown).decode


def encode(record: Record) -> bytes:
    """Return the body of a record of our own."""
    return _encode(record)


def seal(body: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the record on the wire; ``ValueError`` beyond ``MAX_RECORD``, where the change has to be cut up."""
    data = _encode((body, sign(_message(body))))
    if len(data) > MAX_RECORD:
        raise ValueError(f"a record of {len(data)} bytes")
    return data


def open_record(data: bytes, verify: Verify) -> Record:
    """Return the record, or raise ``PeerFault`` where it is malformed or not signed by the node that it names."""
    if len(data) > MAX_RECORD:
        raise PeerFault(f"a record of {len(data)} bytes")
    try:
        body, signature = _decode_envelope(data)
        record = _read(body)
        for entry in record.entries:
            if not isinstance(entry, Unknown):
                check_names(entry)
    except (msgspec.DecodeError, Refusal, RecursionError, UnicodeError) as error:
        raise PeerFault(f"a record that is none: {error}") from error
    if not verify(record, _message(body), signature):
        raise PeerFault(f"record {record.seq} of {record.node} is not signed by it")
    return record


def read_record(data: bytes) -> Record:
    """Return a record that was verified before it was stored; ``msgspec.DecodeError`` where it is none."""
    return _read(_decode_envelope(data)[0])


def record_hash(data: bytes) -> bytes:
    """Return what the next record of the node names as ``prev``; *data* as on the wire."""
    return blake3(data).digest()


def follows(previous: Record | None, previous_hash: bytes, record: Record) -> bool:
    """Whether *record* is the next of its chain after *previous*: ``None`` and ``FIRST`` before the first.

    Where it says no for a record with the next sequence number, the chain has forked: a disk was restored, or a
    machine cloned.
    """
    if record.prev != previous_hash:
        return False
    if previous is None:
        return record.seq == 1 and record.prev == FIRST
    return (
        record.registry == previous.registry
        and record.node == previous.node
        and record.incarnation == previous.incarnation
        and record.seq == previous.seq + 1
        and record.hlc > previous.hlc
    )


def _message(body: bytes) -> bytes:
    return _DOMAIN + blake3(body).digest()


def _read(body: bytes) -> Record:
    read = _decode_body(body)
    entries = tuple(_read_entry(raw, read.v) for raw in read.entries)
    return Record(read.v, read.registry, read.node, read.incarnation, read.seq, read.prev, read.hlc, entries)


def _read_entry(raw: msgspec.Raw, version: int) -> Entry:
    if version == VERSION:
        try:
            known: Known = _decode_known(raw)
        except msgspec.ValidationError:
            if _decode_unknown(raw).kind in KINDS:
                raise
        else:
            return known
    unknown = _decode_unknown(raw)
    return Unknown(unknown.kind, unknown.key.copy(), unknown.value.copy())
