"""What commands ask of peers: invitations, the authority, trust, who is there."""

import time
from functools import partial

from node import __version__
from node.api.admin.control import (
    AuthorityShown,
    BackupControl,
    InvitationAsked,
    Invited,
    PeerControl,
    PeerSeen,
    TrustAsked,
    TrustedAccount,
)
from node.peers.identity import Identity, identity_files
from node.peers.invitations import invite
from node.peers.mesh import Mesh
from node.peers.trust import add_trust, load_trust, remove_trust
from node.registry.backup.layout import Certificates
from node.registry.backup.source import Who
from protocol.auth.invitation import parse_token
from protocol.auth.names import account, region


def backup_control(identity: Identity) -> BackupControl:
    """Return what a backup of this node needs of its identity."""
    return BackupControl(who_is(identity), identity.sign, partial(identity_files, identity))


def who_is(identity: Identity) -> Who:
    """Return what a backup says of the node that it is of."""
    certificates = Certificates(identity.certificate_pem, identity.authority.pem)
    return Who(
        str(identity.registry), identity.name.node, identity.incarnation, f"entrepot {__version__}", certificates
    )


def peer_control(identity: Identity, mesh: Mesh, advertised: tuple[str, ...]) -> PeerControl:
    """Return the functions that the admin door calls; *advertised* is what goes into tokens."""

    async def make_invitation(asked: InvitationAsked) -> Invited:
        identity.require_federation("invite")
        where = None if asked.region is None else region(asked.region)
        addresses = asked.addresses or advertised
        token = invite(identity, where, addresses, now=time.time(), lifetime=asked.lifetime)
        invitation = parse_token(token)
        return Invited(token, invitation.region, invitation.expires)

    async def trust(asked: TrustAsked) -> TrustedAccount:
        theirs = account(asked.account)
        add_trust(identity.folder, identity.registry.account, theirs, asked.certificate.encode(), asked.addresses)
        mesh.reload()
        return next(one for one in _trusted(identity) if one.account == theirs)

    async def distrust(theirs: str) -> None:
        remove_trust(identity.folder, account(theirs))
        mesh.reload()

    return PeerControl(
        make_invitation,
        lambda: AuthorityShown(
            identity.authority.account, identity.authority.fingerprint.hex(), identity.authority.pem.decode()
        ),
        trust,
        lambda: _trusted(identity),
        distrust,
        lambda: _peers(mesh),
    )


def _trusted(identity: Identity) -> list[TrustedAccount]:
    return [
        TrustedAccount(name, tuple(authority.fingerprint.hex() for authority in one.authorities), one.addresses)
        for name, one in sorted(load_trust(identity.folder).items())
    ]


def _peers(mesh: Mesh) -> list[PeerSeen]:
    sessions = {session.peer.name: session for session in mesh.sessions()}
    return [
        PeerSeen(
            one.name.node,
            str(one.name.registry),
            one.addresses,
            "up" if one.name in sessions else "down",
            mesh.wall(sessions[one.name].began) if one.name in sessions else None,
        )
        for one in (known.descriptor for known in mesh.nodes.others())
    ]
