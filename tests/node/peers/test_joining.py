"""A token lets one node join, where its authority is, within its time; nothing is trusted on first use."""

import time
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.peers.certificates import make_request, spki
from node.peers.identity import Identity, create_identity, has_identity, load_identity
from node.peers.invitations import invite, redeem
from node.peers.joining import join
from node.peers.listen import MAX_JOINING
from node.peers.tls import client_context, joining_context
from protocol.auth.invitation import format_token, parse_token, proof, verifier
from protocol.auth.names import Account, Region
from protocol.errors import InvitationRefused, NotReady, ParameterInvalid, PeerFault
from protocol.wire.joining import Join
from tests.node.peers.cluster import Cluster, connect, post

OTHERS: frozenset[Region] = frozenset()


async def test_a_replica_gets_the_key_of_the_registry(cluster: Cluster, tmp_path: Path) -> None:
    a = await cluster.init("a")
    b = await join(a.invite(), tmp_path / "b", now=time.time())
    assert (b.registry, b.registry_key) == (a.identity.registry, a.identity.registry_key)
    assert b.name.node != a.identity.name.node
    assert not b.may_invite
    with pytest.raises(NotReady, match="authority"):
        invite(b, None, (a.address,), now=time.time(), lifetime=60)


async def test_another_region_gets_a_key_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    a = await cluster.init("a")
    b = await join(a.invite("us-east-1"), tmp_path / "b", now=time.time())
    assert str(b.registry) == "111111111111/us-east-1"
    assert b.registry_key != a.identity.registry_key


async def test_a_token_is_good_for_one_node(cluster: Cluster, tmp_path: Path) -> None:
    a = await cluster.init("a")
    token = a.invite()
    await join(token, tmp_path / "b", now=time.time())
    with pytest.raises(InvitationRefused, match="used already"):
        await join(token, tmp_path / "c", now=time.time())
    assert not (tmp_path / "c").exists()


async def test_a_token_runs_out(cluster: Cluster, tmp_path: Path) -> None:
    a = await cluster.init("a")
    token = a.invite(now=time.time() - 61)
    with pytest.raises(InvitationRefused, match="run out"):
        await join(token, tmp_path / "b", now=time.time())
    with pytest.raises(InvitationRefused, match="run out"):  # Also where the joiner's clock is behind.
        await join(token, tmp_path / "b", now=time.time() - 100)


async def test_a_changed_token_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    a = await cluster.init("a")
    invitation = parse_token(a.invite())
    changes: list[tuple[dict[str, object], type[Exception], str]] = [
        ({"secret": b"x" * 16}, InvitationRefused, "not known"),
        ({"id": b"x" * 8}, InvitationRefused, "not known"),
        ({"authority": b"x" * 32}, PeerFault, "not of the account"),
        ({"account": Account("222222222222")}, PeerFault, "not of the account"),
    ]
    for change, error, says in changes:
        token = format_token(msgspec.structs.replace(invitation, **change))
        with pytest.raises(error, match=says):
            await join(token, tmp_path / "b", now=time.time())
    assert not has_identity(tmp_path / "b")


async def test_a_node_of_another_account_cannot_take_the_token(cluster: Cluster, tmp_path: Path) -> None:
    a, mallory = await cluster.init("a"), await cluster.init("m", account="222222222222")
    invitation = parse_token(a.invite())
    token = format_token(msgspec.structs.replace(invitation, addresses=(mallory.address,)))
    with pytest.raises(PeerFault, match="not of the account"):
        await join(token, tmp_path / "b", now=time.time())


async def test_an_address_that_is_not_reached_is_passed_over(cluster: Cluster, tmp_path: Path) -> None:
    a = await cluster.init("a")
    invitation = parse_token(a.invite())
    token = format_token(msgspec.structs.replace(invitation, addresses=("127.0.0.1:1", a.address)))
    assert (await join(token, tmp_path / "b", now=time.time())).registry == a.identity.registry
    alone = format_token(msgspec.structs.replace(invitation, addresses=("127.0.0.1:1",)))
    with pytest.raises(NotReady, match="is it running"):
        await join(alone, tmp_path / "c", now=time.time())


async def test_strangers_who_say_nothing_keep_nobody_from_joining(cluster: Cluster, tmp_path: Path) -> None:
    a = await cluster.init("a")
    async with connect(a.address, joining_context()) as connection:
        silent = [await connection.request("/join", body=None) for _ in range(MAX_JOINING)]
        assert (await post(connection, "/join/authority"))[0] == 200  # They have all been seen.
        b = await join(a.invite(), tmp_path / "b", now=time.time())
        for stream in silent:
            stream.close()
    assert b.registry == a.identity.registry


async def test_a_stranger_may_join_and_nothing_else(cluster: Cluster, tmp_path: Path) -> None:
    a = await cluster.init("a")
    async with connect(a.address, joining_context()) as connection:
        for path in ("/control", "/ask/hello", "/call/" + "0" * 32, "/", "/v2/", "/joining"):
            assert (await post(connection, path))[0] == 403
        assert await post(connection, "/join/authority") == (200, a.identity.authority.pem)
        assert (await post(connection, "/join", b"x" * 20_000))[0] == 400
        assert (await post(connection, "/join", b"\xdd\xff\xff\xff\xff"))[0] == 400
        assert (await post(connection, "/join", msgspec.msgpack.encode(Join(b"", b"", b"x" * 32))))[0] == 400
    other = create_identity(tmp_path / "o", Account("333333333333"), Region("eu-west-1"), now=time.time())
    with pytest.raises(BaseExceptionGroup):  # An authority that is not trusted: refused in the handshake.
        async with connect(a.address, client_context(other.folder, [a.identity.authority])) as connection:
            await post(connection, "/ask/hello")


def ask(token: str, key: Ed25519PrivateKey, server: Identity) -> Join:
    invitation = parse_token(token)
    csr, shown = make_request(key), spki(server.key.public_key())
    return Join(invitation.id, csr, proof(verifier(invitation.secret), shown, csr))


def test_who_lost_the_answer_may_ask_again_with_the_same_key(tmp_path: Path) -> None:
    a = create_identity(tmp_path / "a", Account("111111111111"), Region("eu-west-1"), now=time.time())
    token = invite(a, None, ("a:1",), now=time.time(), lifetime=60)
    request = ask(token, Ed25519PrivateKey.generate(), a)
    first = redeem(a, request, OTHERS, now=time.time())
    assert redeem(load_identity(tmp_path / "a"), request, OTHERS, now=time.time()).name == first.name


def test_a_proof_for_another_server_is_refused(tmp_path: Path) -> None:
    a, m = (
        create_identity(tmp_path / name, Account("111111111111"), Region("eu-west-1"), now=time.time()) for name in "am"
    )
    token = invite(a, None, ("a:1",), now=time.time(), lifetime=60)
    with pytest.raises(InvitationRefused, match="not known"):
        redeem(a, ask(token, Ed25519PrivateKey.generate(), m), OTHERS, now=time.time())


def test_the_second_node_of_another_region_has_to_wait(tmp_path: Path) -> None:
    """Its registry's key lies on the first, which has no authority."""
    a = create_identity(tmp_path / "a", Account("111111111111"), Region("eu-west-1"), now=time.time())
    token = invite(a, Region("us-east-1"), ("a:1",), now=time.time(), lifetime=60)
    with pytest.raises(NotReady, match="us-east-1"):
        redeem(a, ask(token, Ed25519PrivateKey.generate(), a), frozenset({Region("us-east-1")}), now=time.time())


@pytest.mark.parametrize(("lifetime", "address"), [(0, "a:1"), (86_401, "a:1"), (60, "a")])
def test_an_invitation_that_is_none(tmp_path: Path, lifetime: float, address: str) -> None:
    a = create_identity(tmp_path / "a", Account("111111111111"), Region("eu-west-1"), now=time.time())
    with pytest.raises(ParameterInvalid):
        invite(a, None, (address,), now=time.time(), lifetime=lifetime)
    with pytest.raises(NotReady):
        invite(a, None, (), now=time.time(), lifetime=60)
