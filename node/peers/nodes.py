"""The nodes that are known, by their descriptors.

Kept in ``nodes.msgpack`` of the folder ``identity``, so that after a restart there is someone to dial. A descriptor
is taken when a trusted authority vouches for its certificate and its signature holds; of two, the one with the
higher (incarnation, version) counts. The key of a node is pinned with its first descriptor: another key under the
same name is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import structlog
from cryptography.exceptions import InvalidSignature

from node.peers.certificates import Authority, Certified, check_node
from node.peers.files import read_file, write_file
from node.peers.identity import NODES_FILE, Identity
from node.peers.trust import Trusted
from protocol.auth.names import Account, NodeName, Region
from protocol.errors import PeerFault
from protocol.wire.descriptor import Descriptor, SignedDescriptor, open_descriptor, sign_descriptor
from protocol.wire.messages import MAX_VERSION, MIN_VERSION

MAX_NODES = 1024

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    """One node."""

    descriptor: Descriptor
    signed: SignedDescriptor
    spki: bytes


class Nodes:
    """All that is known, our own node too. Methods are quick but for signatures, 0.2 ms each."""

    def __init__(self, identity: Identity, trusted: dict[Account, Trusted]) -> None:
        """*trusted* are the other accounts whose nodes are taken."""
        self._identity = identity
        self._trusted = trusted
        self._known: dict[NodeName, Known] = {}
        self._checked: dict[bytes, Certified] = {}  # Certificates that were good; the dates are looked at each time.

    def read(self, *, now: float) -> None:
        """Take what was written before. What does not hold any more is left out."""
        path = self._identity.folder / NODES_FILE
        if not path.exists():
            return
        try:
            stored = msgspec.msgpack.decode(read_file(path), type=tuple[SignedDescriptor, ...])
        except msgspec.MsgspecError:
            log.warning("the list of known nodes is damaged and begins anew")
            return
        for signed in stored:
            self.offer(signed, now=now)

    def write(self) -> None:
        """Write what is known, durably. Blocks: for a thread."""
        signed = tuple(one.signed for one in list(self._known.values()))
        write_file(self._identity.folder / NODES_FILE, msgspec.msgpack.encode(signed))

    def trust(self, trusted: dict[Account, Trusted]) -> None:
        """Take over who is trusted now, and forget the nodes of those who are not."""
        self._trusted = trusted
        self._checked.clear()
        ours = self._identity.registry.account
        self._known = {
            name: one
            for name, one in self._known.items()
            if name.registry.account == ours or name.registry.account in trusted
        }

    def check(self, certificate: bytes, *, now: float) -> Certified:
        """Return who *certificate* (DER) is of.

        ``PeerFault`` where no trusted authority vouches for it, or its key is not the pinned one.
        """
        certified = self._checked.get(certificate)
        if certified is None or certified.expires < now:
            certified = check_node(certificate, self._authorities(), now=now)
            if len(self._checked) >= 2 * MAX_NODES:
                self._checked.clear()
            self._checked[certificate] = certified
        known = self._known.get(certified.name)
        if known is not None and known.spki != certified.spki:
            raise PeerFault(f"{certified.name} has another key than before")
        return certified

    def offer(self, signed: SignedDescriptor, only: Account | None = None, *, now: float) -> Descriptor | None:
        """Take *signed* if it is good and newer than what is known; return what it says then, else ``None``.

        *only*: the one account whose nodes are taken from whoever sent it.
        """
        try:
            certified = self.check(signed.certificate, now=now)
            if only not in {None, certified.name.registry.account}:
                return None
            old = self._known.get(certified.name)
            if old is not None and old.signed == signed:
                return None
            descriptor = open_descriptor(signed, lambda *given: _verify(certified, *given))
        except PeerFault as fault:
            log.debug("descriptor left out", reason=str(fault))
            return None
        if old is None and len(self._known) >= MAX_NODES:
            return None
        if old is not None and old.descriptor.rank >= descriptor.rank:
            return None
        self._known[descriptor.name] = Known(descriptor, signed, certified.spki)
        return descriptor

    def describe_ourselves(self, addresses: tuple[str, ...], software: str, *, now: float) -> SignedDescriptor:
        """Make, take and return our own descriptor; the one before stays where it says the same."""
        identity = self._identity
        old = self._known.get(identity.name)
        descriptor = Descriptor(
            identity.name,
            identity.incarnation,
            old.descriptor.version if old else 0,
            addresses,
            MIN_VERSION,
            MAX_VERSION,
            software=software,
        )
        if old is not None and old.descriptor == descriptor and old.signed.certificate == identity.certificate:
            return old.signed
        # A node that lost its list must not begin at 1 again, below what others know: so not lower than the time.
        version = max(descriptor.version + 1, int(now))
        signed = sign_descriptor(
            msgspec.structs.replace(descriptor, version=version), identity.certificate, identity.sign
        )
        self.offer(signed, now=now)
        return signed

    def find(self, name: NodeName) -> Known | None:
        """Return what is known of *name*."""
        return self._known.get(name)

    def others(self) -> list[Known]:
        """Return all nodes but our own."""
        return [one for name, one in self._known.items() if name != self._identity.name]

    def for_peer(self, peer: Account) -> tuple[SignedDescriptor, ...]:
        """Return what a node of account *peer* is told: all in our own account, else our account's nodes only."""
        ours = self._identity.registry.account
        return tuple(one.signed for name, one in self._known.items() if ours in {peer, name.registry.account})

    def regions(self) -> frozenset[Region]:
        """Return the regions of our account that have a node."""
        ours = self._identity.registry.account
        return frozenset(name.registry.region for name in self._known if name.registry.account == ours)

    def _authorities(self) -> Iterable[Authority]:
        yield self._identity.authority
        for one in self._trusted.values():
            yield from one.authorities


def _verify(certified: Certified, _certificate: bytes, signature: bytes, text: bytes) -> NodeName:
    try:
        certified.key.verify(signature, text)
    except InvalidSignature:
        raise PeerFault(f"a descriptor of {certified.name} that it did not sign") from None
    return certified.name
