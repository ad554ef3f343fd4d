"""What the admin door is handed for what concerns peers and the node as a whole, and what these functions return.

``node.peers`` is a sister room and ``node.daemon`` above, so what they do comes in as functions. The structs are the
JSON that the command line prints.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from node.api.admin.activity import Activity
from node.registry.backup.source import Who
from protocol.auth.caller import Caller


class InvitationAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /admin/v1/invitations``."""

    region: str | None = None  # None: a replica of this registry.
    lifetime: float = 86_400.0  # Seconds.
    addresses: tuple[str, ...] = ()  # ``HOST:PORT`` for the joiner to dial; none: what the node advertises.


class Invited(msgspec.Struct, frozen=True):
    """A token, shown this once."""

    token: str
    region: str
    expires: float  # UTC, seconds since 1970.


class AuthorityShown(msgspec.Struct, frozen=True):
    """The authority of this node's account."""

    account: str
    fingerprint: str  # SHA-256 of its public key, hexadecimal.
    certificate: str  # PEM.


class TrustAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /admin/v1/trust``."""

    account: str
    certificate: str  # PEM.
    addresses: tuple[str, ...] = ()  # ``HOST:PORT``


class TrustedAccount(msgspec.Struct, frozen=True):
    """Another account that this one trusts."""

    account: str
    fingerprints: tuple[str, ...]
    addresses: tuple[str, ...]


class PeerSeen(msgspec.Struct, frozen=True):
    """Another node, as this one knows it."""

    node: str
    registry: str  # ``account/region``
    addresses: tuple[str, ...]
    state: str  # ``up`` or ``down``: whether there is a session with it.
    since: float | None = None  # UTC, seconds since 1970; None: never seen.


class PeersSeen(msgspec.Struct, frozen=True):
    """All other nodes that this one knows."""

    peers: tuple[PeerSeen, ...]


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload came to."""

    applied: tuple[str, ...]  # Dotted keys of the configuration.
    restart: tuple[str, ...]  # Those that have changed and need a restart.
    certificate: bool  # Whether clients are shown another one from now on.


@dataclass(frozen=True, slots=True)
class NodeControl:
    """What the node as a whole can be asked to do."""

    reload: Callable[[], Awaitable[Reloaded]]
    activity: Callable[[Caller], Activity]
    examine: Callable[[], Awaitable[Sequence[msgspec.Struct]]]
    """What ``entrepot doctor`` shows: a struct for each check."""


@dataclass(frozen=True, slots=True)
class BackupControl:
    """What a backup needs of the node's identity."""

    who: Who
    sign: Callable[[bytes], bytes]
    """The node's signature; what is signed begins with its purpose."""
    identity: Callable[[], dict[str, bytes]]
    """The files of the identity by name: secrets."""


@dataclass(frozen=True, slots=True)
class PeerControl:
    """Each raises what ``protocol.errors`` names."""

    invite: Callable[[InvitationAsked], Awaitable[Invited]]
    authority: Callable[[], AuthorityShown]
    trust_add: Callable[[TrustAsked], Awaitable[TrustedAccount]]
    trust_list: Callable[[], Sequence[TrustedAccount]]
    trust_remove: Callable[[str], Awaitable[None]]
    """By account."""
    peers: Callable[[], Sequence[PeerSeen]]
