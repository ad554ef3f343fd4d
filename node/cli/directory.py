"""What concerns identity and trust, done on a data directory that no node serves.

The files are locked against a node that starts meanwhile; it reads them when it is up.
"""

import time
from pathlib import Path

from node.api.admin.control import AuthorityShown, InvitationAsked, Invited, TrustAsked, TrustedAccount
from node.peers.identity import load_identity
from node.peers.invitations import invite as make_token
from node.peers.trust import add_trust, load_trust, remove_trust
from protocol.auth.invitation import parse_token
from protocol.auth.names import account, region


def invite(data: Path, asked: InvitationAsked) -> Invited:
    """Make a token for the node in *data*."""
    token = make_token(
        load_identity(data),
        None if asked.region is None else region(asked.region),
        asked.addresses,
        now=time.time(),
        lifetime=asked.lifetime,
    )
    invitation = parse_token(token)
    return Invited(token, invitation.region, invitation.expires)


def show_authority(data: Path) -> AuthorityShown:
    """Return the authority of the account in *data*."""
    authority = load_identity(data).authority
    return AuthorityShown(authority.account, authority.fingerprint.hex(), authority.pem.decode())


def trust(data: Path, asked: TrustAsked) -> TrustedAccount:
    """Trust another account."""
    identity = load_identity(data)
    theirs = account(asked.account)
    add_trust(identity.folder, identity.registry.account, theirs, asked.certificate.encode(), asked.addresses)
    return next(one for one in list_trusted(data) if one.account == theirs)


def list_trusted(data: Path) -> list[TrustedAccount]:
    """Return the accounts that are trusted, in order."""
    return [
        TrustedAccount(name, tuple(authority.fingerprint.hex() for authority in one.authorities), one.addresses)
        for name, one in sorted(load_trust(load_identity(data).folder).items())
    ]


def distrust(data: Path, name: str) -> None:
    """Trust the account *name* no longer."""
    remove_trust(load_identity(data).folder, account(name))
