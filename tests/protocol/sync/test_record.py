"""Records: what was signed is what is read, a chain has one next record, and nonsense is a ``PeerFault``."""

from contextlib import suppress

import msgspec
import pytest
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import PeerFault
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import (
    Blob,
    Entry,
    ImageDelete,
    ImageKey,
    ImagePut,
    ImageValue,
    RepositoryDelete,
    RepositoryKey,
    RepositoryPut,
    RepositoryValue,
    TagKey,
    TagPut,
    TagValue,
    Unknown,
    creation_id,
)
from protocol.sync.record import FIRST, MAX_RECORD, Record, encode, follows, open_record, read_record, record_hash, seal
from protocol.sync.vector import Dead, Dot, Mark, vector
from tests.protocol.sync.federation import IMAGES

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
NAME, TAG = RepositoryName("library/nginx"), TagName("1.27")
DOT = Dot("n1", bytes(16), 3)
IMAGE = ImageValue(5, "application/json", 7, b"r" * 32, (Blob(IMAGES[0], 9, b"b" * 32),), (IMAGES[1],), IMAGES[0], "x")
ENTRIES: list[Entry] = [
    RepositoryPut(RepositoryKey(NAME), RepositoryValue(1, {"mutability": "IMMUTABLE", "scan": True, "none": None})),
    RepositoryDelete(RepositoryKey(NAME), Dead(1, vector([DOT]))),
    ImagePut(ImageKey(NAME, 1, IMAGES[0]), IMAGE),
    ImageDelete(ImageKey(NAME, 1, IMAGES[0]), (Mark(DOT, 1),)),
    TagPut(TagKey(NAME, 1, TAG), TagValue(IMAGES[0], 5, "n1", True, 2, "arn", (DOT,))),
    TagPut(TagKey(NAME, 1, TAG), TagValue(None, 5, "n1", True, 2, "arn")),
]


def record(entries: list[Entry], v: int = 1) -> Record:
    return Record(v, "111111111111/eu-west-1", "n1", bytes(16), 1, FIRST, 7 << 16, tuple(entries))


def verify(record: Record, message: bytes, signature: bytes) -> bool:
    try:
        KEY.public_key().verify(signature, message)
    except InvalidSignature:
        return False
    return record.node == "n1"


def test_the_form_is_the_documented_one() -> None:
    data = seal(encode(record(ENTRIES[5:])), KEY.sign)
    body, signature = msgspec.msgpack.decode(data)
    KEY.public_key().verify(signature, b"entrepot-record-v1" + blake3(body).digest())
    key: list[object] = ["library/nginx", 1, "1.27"]
    value: list[object] = [None, 5, "n1", True, 2, "arn", []]
    fields = [1, "111111111111/eu-west-1", "n1", bytes(16), 1, bytes(32), 7 << 16, [["tag", key, value]]]
    assert msgspec.msgpack.decode(body) == fields


def test_what_was_sealed_is_read() -> None:
    data = seal(encode(record(ENTRIES)), KEY.sign)
    assert open_record(data, verify) == read_record(data) == record(ENTRIES)


@pytest.mark.parametrize("v", [1, 2])
def test_an_entry_that_is_not_known_is_kept(v: int) -> None:
    unknown = Unknown("policy", msgspec.Raw(b"\x01"), msgspec.Raw(b"\x92\x01\x02"))
    opened = open_record(seal(encode(record([unknown], v)), KEY.sign), verify)
    [entry] = opened.entries
    assert isinstance(entry, Unknown)
    assert (entry.kind, bytes(entry.key), bytes(entry.value)) == ("policy", b"\x01", b"\x92\x01\x02")
    assert encode(opened) == encode(record([unknown], v))


@pytest.mark.parametrize(
    ("kind", "key", "value", "why"),
    [
        ("tag", ["A", 1, "t"], [None, 5, "n", True, 2, "a", []], "no repository name"),
        ("tag", ["ab", 1, "-"], [None, 5, "n", True, 2, "a", []], "no tag"),
        ("tag", ["ab", 1, "t"], ["sha256:0", 5, "n", True, 2, "a", []], "no digest"),
        ("tag", ["ab", 1, "t"], [None, -5, "n", True, 2, "a", []], "a negative clock"),
        ("tag", ["ab", 1, "t"], [None, 5, "n", True, 2], "too few fields"),
        ("image", ["ab", 1, IMAGES[0]], [0, "x", 1, b"short"], "no root"),
        ("image", ["ab", 1, IMAGES[0]], [0, "x", 1, bytes(32), [["sha256:", 1, bytes(32)]]], "no digest of a blob"),
        ("image-delete", ["ab", 1, IMAGES[0]], [[["n", b"", 1], 1]], "no incarnation"),
        ("repository-delete", ["ab"], [1, [[["n", bytes(16), 1], ["n", bytes(16), 1]]]], "a writer twice"),
        ("repository", ["ab"], [1, {"a": []}], "no setting"),
    ],
)
def test_a_known_entry_that_is_malformed_is_refused(kind: str, key: object, value: object, why: str) -> None:
    head = [1, "111111111111/eu-west-1", "n1", bytes(16), 1, bytes(32), 7]
    body = msgspec.msgpack.encode([*head, [[kind, key, value]]])
    with pytest.raises(PeerFault):
        open_record(seal(body, KEY.sign), verify)


def test_no_byte_can_change() -> None:
    data = seal(encode(record(ENTRIES)), KEY.sign)
    for at in range(len(data)):
        with pytest.raises(PeerFault):
            open_record(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], verify)


@given(st.binary() | st.builds(lambda body: msgspec.msgpack.encode((body, bytes(64))), st.binary()))
def test_any_bytes_are_a_record_or_a_fault(data: bytes) -> None:
    with suppress(PeerFault):
        open_record(data, lambda *_: True)


def test_a_record_beyond_the_limit_is_neither_sealed_nor_opened() -> None:
    with pytest.raises(ValueError, match="1048"):
        seal(bytes(MAX_RECORD), KEY.sign)
    with pytest.raises(PeerFault):
        open_record(bytes(MAX_RECORD + 1), verify)


def test_a_chain_has_one_next_record() -> None:
    first = record([])
    first_hash = record_hash(seal(encode(first), KEY.sign))
    second = msgspec.structs.replace(first, seq=2, prev=first_hash, hlc=first.hlc + 1)
    assert follows(None, FIRST, first)
    assert follows(first, first_hash, second)
    replace = msgspec.structs.replace
    assert not follows(None, FIRST, second)
    assert not follows(first, first_hash, replace(second, prev=FIRST))
    assert not follows(first, first_hash, replace(second, hlc=first.hlc))
    assert not follows(first, first_hash, replace(second, seq=3))
    assert not follows(first, first_hash, replace(second, node="n2"))
    assert not follows(first, first_hash, replace(second, incarnation=b"x" * 16))


def test_each_life_of_a_repository_has_an_id_of_its_own() -> None:
    ids = {
        creation_id(account, region, name, life)
        for account in ("111111111111", "222222222222")
        for region in ("eu", "us")
        for name in (NAME, RepositoryName("ab"))
        for life in (1, 2)
    }
    assert len(ids) == 16
    assert {len(one) for one in ids} == {32}
