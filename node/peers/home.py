"""What a session, on either side, needs of the node that it belongs to. ``mesh`` is it."""

from typing import Protocol

from node.peers.calls import Answer
from node.peers.certificates import Certified
from node.peers.identity import Identity
from node.peers.session import Session
from node.telemetry.tracing import Tracer
from protocol.auth.names import Account, NodeName, Region
from protocol.wire.descriptor import SignedDescriptor
from protocol.wire.messages import Descriptors, Hello


class Home(Protocol):
    """The node at this end of all its sessions."""

    @property
    def identity(self) -> Identity:
        """Who we are."""

    @property
    def answer(self) -> Answer:
        """Answers the calls of peers."""

    @property
    def tracer(self) -> Tracer:
        """Goes on with the traces that calls of peers belong to."""

    def hello(self) -> Hello:
        """Return what we say first."""

    def check(self, certificate: bytes) -> Certified:
        """Return who the DER *certificate* is of, or raise ``PeerFault`` where we do not talk to it."""

    def until(self, expires: float) -> float:
        """Return on trio's clock what *expires* is in UTC."""

    def register(self, session: Session) -> bool:
        """Take up *session*; ``False`` where another one with this peer stays."""

    def unregister(self, session: Session) -> None:
        """*session* has ended."""

    def find(self, name: NodeName) -> list[Session]:
        """Return the sessions with *name*, the current one first, then those that are being replaced."""

    def find_account(self, account: Account) -> Session | None:
        """Return a session with any node of *account*."""

    async def wait_for_change(self) -> None:
        """Wait until a session begins or ends, or another node is known."""

    async def deliver(self, session: Session, message: Descriptors) -> None:
        """Take what a peer says of nodes."""

    def known_regions(self) -> frozenset[Region]:
        """Return the regions of our account that have a node."""

    def introductions(self) -> tuple[SignedDescriptor, ...]:
        """Return the descriptors that a node which has just joined begins with."""

    def now(self) -> float:
        """Return the wall time, UTC, seconds since 1970."""
