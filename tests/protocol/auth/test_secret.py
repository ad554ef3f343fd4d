"""Secrets are printed nowhere, and sign for as long as they are in force."""

import msgspec

from protocol.auth.secret import Secret, StoredSecret, in_force


def test_nothing_prints_a_secret() -> None:
    stored = StoredSecret("plain", Secret(b"ossifrage"), 5.0)
    for text in (repr(stored), str(stored), f"{stored.secret}", repr([stored]), repr(msgspec.structs.asdict(stored))):
        assert "ossifrage" not in text
        assert "***" in text
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(stored), type=StoredSecret)
    assert kept.secret.value == b"ossifrage"


def test_secrets_sign_until_they_run_out() -> None:
    secrets = (StoredSecret("plain", Secret(b"new"), 5), StoredSecret("plain", Secret(b"old"), 0, until=10))
    assert [one.secret.value for one in in_force(secrets, 9.9)] == [b"new", b"old"]
    assert [one.secret.value for one in in_force(secrets, 10)] == [b"new"]
