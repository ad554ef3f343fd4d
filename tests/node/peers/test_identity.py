"""An identity is all there or not at all, nobody else can read it, and it never changes."""

import stat
import time
from pathlib import Path

import pytest

from node.peers.identity import create_identity, create_local_identity, has_identity, load_identity, new_data
from node.peers.invitations import invite
from node.peers.trust import add_trust, load_trust, remove_trust
from protocol.auth.names import LOCAL_ACCOUNT, Account, Region
from protocol.errors import Damaged, NotReady, ParameterInvalid

OURS, THEIRS, REGION = Account("111111111111"), Account("222222222222"), Region("eu-west-1")


def test_it_comes_back(tmp_path: Path) -> None:
    made = create_identity(tmp_path / "new" / "data", OURS, REGION, now=time.time())
    loaded = load_identity(tmp_path / "new" / "data")
    assert (loaded.name, loaded.incarnation, loaded.registry_key) == (made.name, made.incarnation, made.registry_key)
    assert loaded.incarnation[:8] == (1).to_bytes(8, "big")
    assert loaded.may_invite
    made.key.public_key().verify(loaded.sign(b"text"), b"text")


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    create_identity(tmp_path / "a", OURS, REGION, now=time.time())
    folder = tmp_path / "a" / "identity"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()} == {0o600}
    for secret in ("node.key", "master.key", "authority.key", "registry.key"):
        (folder / secret).chmod(0o640)
        with pytest.raises(NotReady, match=secret):
            load_identity(tmp_path / "a")
        (folder / secret).chmod(0o600)
    folder.chmod(0o750)
    with pytest.raises(NotReady, match="entered"):
        load_identity(tmp_path / "a")


def test_an_init_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with new_data(tmp_path / "a"):
            (tmp_path / "a" / "identity.new.0123").mkdir()
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail_half_way()
    assert not (tmp_path / "a").exists()


def test_an_init_after_one_that_was_killed_clears_up(tmp_path: Path) -> None:
    unfinished = tmp_path / "identity.new.0123"
    unfinished.mkdir(mode=0o700)
    (unfinished / "node.key").write_bytes(b"half")
    assert not has_identity(tmp_path)
    create_identity(tmp_path, OURS, REGION, now=time.time())
    assert [one.name for one in tmp_path.iterdir()] == ["identity"]


def test_it_is_made_in_an_empty_directory_only(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(NotReady, match="not empty"):
        create_identity(tmp_path, OURS, REGION, now=time.time())
    with pytest.raises(NotReady, match="init"):
        load_identity(tmp_path)


@pytest.mark.parametrize("name", ["identity.json", "node.key", "node.pem", "authority.pem", "registry.key"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    create_identity(tmp_path / "a", OURS, REGION, now=time.time())
    path = tmp_path / "a" / "identity" / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(Damaged, match="identity"):
        load_identity(tmp_path / "a")


def test_a_node_that_made_itself_up_has_no_peers(tmp_path: Path) -> None:
    local = create_local_identity(tmp_path / "a", now=time.time())
    theirs = create_identity(tmp_path / "b", THEIRS, REGION, now=time.time())
    assert local.is_local
    with pytest.raises(NotReady, match="entrepot init --data DIR --account"):
        invite(local, None, ("a:1",), now=time.time(), lifetime=60)
    with pytest.raises(NotReady, match="entrepot init --data DIR --account"):
        add_trust(local.folder, LOCAL_ACCOUNT, THEIRS, theirs.authority.pem, ())
    with pytest.raises(ParameterInvalid):
        create_identity(tmp_path / "c", LOCAL_ACCOUNT, REGION, now=time.time())


def test_trust_is_given_and_taken_back(tmp_path: Path) -> None:
    ours = create_identity(tmp_path / "a", OURS, REGION, now=time.time())
    theirs = create_identity(tmp_path / "b", THEIRS, REGION, now=time.time())
    add_trust(ours.folder, OURS, THEIRS, theirs.authority.pem, ("b.example:6001",))
    add_trust(ours.folder, OURS, THEIRS, theirs.authority.pem, ())  # Again, and the address stays.
    [(account, trusted)] = load_identity(tmp_path / "a").trusted.items()
    assert (account, trusted.addresses, len(trusted.authorities)) == (THEIRS, ("b.example:6001",), 1)
    remove_trust(ours.folder, THEIRS)
    assert not load_trust(ours.folder)
    with pytest.raises(ParameterInvalid):
        remove_trust(ours.folder, THEIRS)


def test_trust_is_not_given_by_mistake(tmp_path: Path) -> None:
    ours = create_identity(tmp_path / "a", OURS, REGION, now=time.time())
    theirs = create_identity(tmp_path / "b", THEIRS, REGION, now=time.time())
    for account, pem, says in [
        (Account("333333333333"), theirs.authority.pem, "of account 222222222222"),
        (OURS, ours.authority.pem, "join"),
        (THEIRS, theirs.certificate_pem, "authority show"),
        (THEIRS, b"-----BEGIN CERTIFICATE-----", "authority show"),
        (THEIRS, b"x" * 10_000, "too long"),
    ]:
        with pytest.raises(ParameterInvalid, match=says):
            add_trust(ours.folder, OURS, account, pem, ())
    with pytest.raises(ParameterInvalid, match="HOST:PORT"):
        add_trust(ours.folder, OURS, THEIRS, theirs.authority.pem, ("b.example",))
