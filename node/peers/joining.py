"""A new node gets its identity: `entrepot join TOKEN`.

Nothing is trusted on first use. The joiner fetches the authority's certificate and compares its key with the token;
then the certificate that the server showed in the handshake must be signed by that authority, for a node of the
account that the token names. Only after that the proof of the token is sent, bound to the key that the server
showed. The key of the new node is made here and never leaves.

Source: peers.md 2, "Join".
"""

from pathlib import Path
from secrets import token_bytes

import msgspec
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.peers import certificates
from node.peers.calls import read_all
from node.peers.certificates import Authority
from node.peers.connection import Connection
from node.peers.identity import KEY_SIZE, Identity, Parts, load_identity, new_data, write_identity
from node.peers.tls import dial, joining_context
from protocol.auth.invitation import Invitation, parse_token, proof, verifier
from protocol.auth.names import NodeName, RegistryName, node_id, region
from protocol.errors import InvitationRefused, NotReady, ParameterInvalid, PeerFault
from protocol.wire.descriptor import parse_address
from protocol.wire.joining import MAX_WELCOME, Join, Welcome

JOIN_PATIENCE = 20.0  # Seconds for each address.
_MAX_REASON = 1024  # Bytes of a refusal.


async def join(token: str, data: Path, *, now: float) -> Identity:
    """Make the identity of a new node in the empty or absent directory *data* with *token*.

    Raises:
        ParameterInvalid: *token* is none.
        NotReady: *data* is not empty, or no address in the token was reached.
        InvitationRefused: the token ran out or was used, or the server refused it.
        PeerFault: who answered is not who the token says.
    """
    invitation = parse_token(token)
    if invitation.expires <= now:
        raise InvitationRefused("the token has run out: ask for a new one")
    with new_data(data):
        key = Ed25519PrivateKey.generate()
        welcome, authority = await _ask(invitation, key, now)
        registry_key = welcome.registry_key or token_bytes(KEY_SIZE)
        name = NodeName(RegistryName(invitation.account, welcome.region), welcome.node)
        _check(welcome, authority, name, key, now)
        write_identity(data, Parts(name, key, welcome.certificate, authority, None, registry_key, welcome.nodes))
    return load_identity(data)


async def _ask(invitation: Invitation, key: Ed25519PrivateKey, now: float) -> tuple[Welcome, Authority]:
    """Try the addresses of the token in turn; a refusal is final, an address that is not reached is not."""
    failures = []
    for address in invitation.addresses:
        try:
            with trio.fail_after(JOIN_PATIENCE):
                return await _ask_at(address, invitation, key, now)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            failures.append(f"{address}: {str(error) or 'no answer'}")
    raise NotReady(f"no node of the token was reached ({'; '.join(failures)}): is it running, with --peer-listen?")


async def _ask_at(
    address: str, invitation: Invitation, key: Ed25519PrivateKey, now: float
) -> tuple[Welcome, Authority]:
    tls, shown = await dial(*parse_address(address), joining_context())
    connection = Connection(tls)
    outcome: tuple[Welcome, Authority] | Exception
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        try:
            authority = await _verified(connection, invitation, shown, now)
            outcome = await _welcome(connection, invitation, key, shown), authority
        except (trio.BrokenResourceError, PeerFault, InvitationRefused) as error:
            outcome = error  # Raised below: in the nursery it would be wrapped in a group.
        nursery.cancel_scope.cancel()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _verified(connection: Connection, invitation: Invitation, shown: bytes, now: float) -> Authority:
    status, pem = await _post(connection, "/join/authority", b"")
    if status != 200:
        raise InvitationRefused(pem[:_MAX_REASON].decode(errors="replace"))
    try:
        authority = certificates.parse_authority(pem)
    except ParameterInvalid as error:
        raise PeerFault(f"the node at the token's address sent no authority: {error}") from None
    if authority.fingerprint != invitation.authority or authority.account != invitation.account:
        raise PeerFault("the node at the token's address is not of the account that the token is for")
    certified = certificates.check_node(shown, [authority], now=now)
    if certified.name.registry.account != invitation.account:
        raise PeerFault(f"the node at the token's address is {certified.name}")
    return authority


async def _welcome(connection: Connection, invitation: Invitation, key: Ed25519PrivateKey, shown: bytes) -> Welcome:
    csr = certificates.make_request(key)
    server_spki = certificates.spki(x509.load_der_x509_certificate(shown).public_key())
    request = Join(invitation.id, csr, proof(verifier(invitation.secret), server_spki, csr))
    status, body = await _post(connection, "/join", msgspec.msgpack.encode(request))
    if status != 200:
        raise InvitationRefused(body[:_MAX_REASON].decode(errors="replace"))
    try:
        return msgspec.msgpack.decode(body, type=Welcome)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PeerFault(f"a welcome that is none: {error}") from None


async def _post(connection: Connection, path: str, body: bytes) -> tuple[int, bytes]:
    stream = await connection.request(path, body=body)
    try:
        return await stream.response(), await read_all(stream, MAX_WELCOME)
    finally:
        stream.close()


def _check(welcome: Welcome, authority: Authority, name: NodeName, key: Ed25519PrivateKey, now: float) -> None:
    """The certificate must be for our key and for the name that came with it, or it would never work."""
    try:
        region(welcome.region)
        node_id(welcome.node)
        certified = certificates.check_node(certificates.pem_to_der(welcome.certificate), [authority], now=now)
    except (ValueError, ParameterInvalid) as error:
        raise PeerFault(f"a welcome that is none: {error}") from None
    if certified.name != name or certified.spki != certificates.spki(key.public_key()):
        raise PeerFault(f"the certificate that came is for {certified.name} or another key")
