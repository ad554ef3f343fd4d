"""Tables: what is read is what was put under this key, or it is ``Damaged``; pages go on where the last one ended."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.store.meta import Meta
from node.store.table import BytesTable, Table
from protocol.errors import Damaged

KEYS = st.text("ab", max_size=3).map(str.encode)  # Few letters, so that they often begin alike.


class Row(msgspec.Struct, frozen=True, array_like=True):
    name: str
    size: int = 0


def test_a_bit_that_flips_anywhere_is_found(meta: Meta) -> None:
    table = BytesTable(meta.env, "test")
    with meta.env.begin(write=True) as txn:
        table.put(txn, b"key", b"some bytes")
        sealed = bytes(txn.get(b"key", db=table.db) or b"")
        for at in range(len(sealed)):
            for bit in range(8):
                flipped = sealed[:at] + bytes([sealed[at] ^ 1 << bit]) + sealed[at + 1 :]
                txn.put(b"key", flipped, db=table.db)
                with pytest.raises(Damaged, match="test"):
                    table.get(txn, b"key")
                with pytest.raises(Damaged):
                    table.items(txn, b"", limit=1)


@pytest.mark.parametrize("value", [b"", b"\x01", bytes(8), bytes(9)])
def test_what_is_too_short_for_a_seal_is_damaged(meta: Meta, value: bytes) -> None:
    table = BytesTable(meta.env, "test")
    with meta.env.begin(write=True) as txn:
        txn.put(b"key", value, db=table.db)
        with pytest.raises(Damaged):
            table.get(txn, b"key")


def test_a_good_value_under_another_key_is_damaged(meta: Meta) -> None:
    table = BytesTable(meta.env, "test")
    with meta.env.begin(write=True) as txn:
        table.put(txn, b"key", b"some bytes")
        txn.put(b"other", bytes(txn.get(b"key", db=table.db) or b""), db=table.db)
        with pytest.raises(Damaged):
            table.get(txn, b"other")


def test_a_record_comes_back_and_an_old_one_without_the_new_field_does_too(meta: Meta) -> None:
    table = Table(meta.env, "test", Row)
    with meta.env.begin(write=True) as txn:
        table.put(txn, b"new", Row("a", 1))
        table.bytes.put(txn, b"old", msgspec.msgpack.encode(["b"]))
        assert [table.get(txn, key) for key in (b"new", b"old", b"none")] == [Row("a", 1), Row("b"), None]
        assert table.items(txn, b"", limit=9) == [(b"new", Row("a", 1)), (b"old", Row("b"))]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.sets(KEYS.filter(bool)), prefix=KEYS, after=KEYS, limit=st.integers(0, 5))
def test_a_page_is_what_lies_beyond_its_place(
    meta: Meta, keys: set[bytes], prefix: bytes, after: bytes, limit: int
) -> None:
    table = BytesTable(meta.env, "test")
    with meta.env.begin(write=True) as txn:
        for key in keys:
            table.put(txn, key, key * 2)
        place = prefix + after
        beyond = sorted(key for key in keys if key.startswith(prefix) and (key > place or not after))
        assert table.keys(txn, prefix, after=after, limit=limit) == beyond[:limit]
        assert table.items(txn, prefix, after=after, limit=limit) == [(key, key * 2) for key in beyond[:limit]]
        assert table.last_key(txn) == max(keys, default=None)
        assert table.count(txn) == len(keys)
        txn.abort()
