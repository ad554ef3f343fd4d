"""Tokens that this node's authority gave out, each good for one node.

The file ``invitations.json`` of the folder ``identity``. A token's secret is not kept, only its verifier. What ran
out is forgotten a day later, so that until then the refusal can say why. A joiner that did not get our answer may
ask again with the same key and gets the same name: single use means one key, not one packet.

Source: peers.md 2, "Join"; reliability.md 5, "Join".
"""

import hashlib
import secrets
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.peers import certificates
from node.peers.files import locked, read_file, write_file
from node.peers.identity import Identity, new_node_id
from protocol.auth import invitation as tokens
from protocol.auth.invitation import Invitation, format_token, proves
from protocol.auth.names import NodeId, NodeName, Region, RegistryName
from protocol.errors import Damaged, InvitationRefused, NotReady, ParameterInvalid
from protocol.sync.clock import is_sane
from protocol.wire.descriptor import MAX_ADDRESSES, parse_address
from protocol.wire.joining import Join

MAX_OPEN = 1000  # Invitations that have not run out.
_FILE = "invitations.json"


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verifier: str  # Hexadecimal.
    region: Region
    role: str
    expires: int
    used_by: str = ""  # Hash of the key that joined with it.
    node: NodeId = NodeId("")  # The name that this key got.


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int = 1
    invitations: dict[str, _Entry] = {}


class Joined(msgspec.Struct, frozen=True):
    """A joiner that was let in."""

    name: NodeName
    certificate: bytes  # PEM.


def invite(
    identity: Identity, region: Region | None, addresses: tuple[str, ...], *, now: float, lifetime: float
) -> str:
    """Return a token with which one new node can join within *lifetime* seconds.

    Args:
        identity: of the node that holds the authority's key.
        region: of the new node's registry; ``None``: a replica of ours.
        addresses: where this node's peer port is reached from outside.
        now: UTC, seconds since 1970.
        lifetime: at most 24 hours.

    Raises:
        NotReady: the authority's key is not here, or no address to dial is known.
        ParameterInvalid: *lifetime* or an address is not what it has to be.
    """
    _require_authority(identity, now)
    if not 0 < lifetime <= tokens.MAX_LIFETIME:
        raise ParameterInvalid("an invitation is good for at most 24 hours")
    if not addresses:
        raise NotReady("a token says where to dial: start the node with --peer-listen, and --advertise if need be")
    for address in addresses[:MAX_ADDRESSES]:
        parse_address(address)
    secret, number = secrets.token_bytes(tokens.SECRET_SIZE), secrets.token_bytes(8)
    region = region or identity.registry.region
    expires = int(now + lifetime)
    entry = _Entry(tokens.verifier(secret).hex(), region, "full", expires)
    with locked(identity.folder):
        entries = {key: one for key, one in _read(identity.folder).items() if one.expires > now - tokens.MAX_LIFETIME}
        if sum(one.expires > now and not one.used_by for one in entries.values()) >= MAX_OPEN:
            raise ParameterInvalid(f"{MAX_OPEN} invitations are open: wait until some are used or run out")
        _write(identity.folder, entries | {number.hex(): entry})
    return format_token(
        Invitation(
            tokens.VERSION,
            identity.registry.account,
            region,
            identity.authority.fingerprint,
            addresses[:MAX_ADDRESSES],
            number,
            secret,
            expires,
        )
    )


def redeem(identity: Identity, join: Join, known_regions: frozenset[Region], *, now: float) -> Joined:
    """Check the proof in *join* and sign a certificate for the name that its token allows.

    *known_regions* are those of the account that have a node already: the key of another registry is not ours to
    hand on, so only its first node can join here.

    Raises:
        InvitationRefused: the token is unknown, ran out, was used, or the proof is wrong.
        NotReady: the authority's key is not here.
        ParameterInvalid: the request is none.
    """
    authority_key = _require_authority(identity, now)
    key = certificates.parse_request(join.csr)
    key_hash = hashlib.sha256(certificates.spki(key)).hexdigest()
    own_spki = certificates.spki(identity.key.public_key())
    with locked(identity.folder):
        entries = _read(identity.folder)
        entry = entries.get(join.id.hex())
        # The proof comes first: without the secret nobody learns what became of an invitation.
        verifier = bytes.fromhex(entry.verifier) if entry else bytes(32)
        if not proves(verifier, own_spki, join.csr, join.proof) or entry is None:
            raise InvitationRefused("the token is not known here, or was changed on its way")
        if entry.used_by and entry.used_by != key_hash:
            raise InvitationRefused("the token was used already: each lets one node join")
        if entry.expires <= now:
            raise InvitationRefused("the token has run out: ask for a new one")
        if entry.region != identity.registry.region and entry.region in known_regions and not entry.used_by:
            raise NotReady(f"region {entry.region} has a node, and the key of its registry is not here")
        node = entry.node or new_node_id()
        used = msgspec.structs.replace(entry, used_by=key_hash, node=node)
        _write(identity.folder, entries | {join.id.hex(): used})
    name = NodeName(RegistryName(identity.registry.account, entry.region), node)
    return Joined(name, certificates.sign_node(identity.authority, authority_key, name, key, now=now))


def _require_authority(identity: Identity, now: float) -> Ed25519PrivateKey:
    identity.require_federation("invite")
    if identity.authority_key is None:
        raise NotReady("this node does not hold the authority's key: invite on the node where `entrepot init` ran")
    if not is_sane(now):
        raise NotReady("the clock of this node cannot be right, so nothing is signed: set it, then try again")
    return identity.authority_key


def _read(folder: Path) -> dict[str, _Entry]:
    if not (folder / _FILE).exists():
        return {}
    try:
        return msgspec.json.decode(read_file(folder / _FILE), type=_Document).invitations
    except msgspec.MsgspecError as error:
        raise Damaged(f"identity/{_FILE}: {error}") from error


def _write(folder: Path, entries: dict[str, _Entry]) -> None:
    write_file(folder / _FILE, msgspec.json.encode(_Document(invitations=entries)))
