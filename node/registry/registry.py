"""What every use case is given. Built once, in ``node.daemon``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec
import trio

from node.registry.audit.notes import Notes
from node.registry.check.progress import Checking
from node.registry.current import Current
from node.registry.delivery import Delivery
from node.registry.elsewhere import Elsewhere
from node.registry.gate import Gate, leaves_content
from node.registry.identity.directory import Directory, DirectoryReader
from node.registry.incoming import Incoming
from node.registry.keyring import Keyring, Masters
from node.registry.kms.keys import KmsKeys, read_keys
from node.registry.previewing import Previews
from node.registry.pulls import Pulls
from node.registry.repairs import Repairs
from node.registry.scrubbing import Scrubbing
from node.registry.session import Session
from node.registry.transfers import Readings
from node.registry.transit import Transits
from node.registry.vault import Vault
from node.store.store import Store
from node.telemetry.alarms import Alarms
from node.telemetry.tracing import Tracer, no_traces
from protocol.auth.caller import Caller
from protocol.auth.conditions import Keys
from protocol.auth.keyuse import KeyUse
from protocol.auth.names import RegistryName
from protocol.auth.principals import Arn
from protocol.auth.public import PublicPlace
from protocol.errors import Denied
from protocol.events.event import Event
from protocol.oci.names import RepositoryName
from protocol.sync.clock import Clock
from protocol.sync.storage import GROUP as STORAGE

Resource: TypeAlias = RepositoryName | Arn | None
"""What an action is about: a repository, something with an ARN of its own, or the registry."""

Policies: TypeAlias = Callable[[Caller, str, Resource, Keys], None]
"""``policies(caller, "ecr:BatchDeleteImage", name, {})``: returns, or raises ``Denied``.

The last is condition keys that only the use case knows, such as ``aws:RequestTag/team``.
"""

_NO_KEYS: Keys = {}


class Quotas(msgspec.Struct, frozen=True):
    """How many there may be; ECR's own numbers, unless an operator chose others."""

    repositories: int = 100_000  # Of the registry.
    images: int = 100_000  # Of one repository.
    tags_per_image: int = 1_000
    tags_per_resource: int = 50
    creation_templates: int = 500
    pull_through_rules: int = 50
    pull_time_exclusions: int = 100


class Lifetimes(msgspec.Struct, frozen=True):
    """For how many seconds what is issued is good."""

    token: int = 900  # A bearer token of an OCI client.
    refresh: int = 30 * 86_400
    authorization: int = 12 * 3600  # A password of ECR.


class Settings(msgspec.Struct, frozen=True):
    """What an operator chose for the registry."""

    create_on_push: Literal["any", "templates", "never"] = "any"
    missing_content: Literal["refuse", "sparse-index", "allow"] = "refuse"
    manifest_limit: int = 4 * 2**20  # Bytes.
    quotas: Quotas = Quotas()
    public: PublicPlace = PublicPlace()
    encrypt_by_default: bool = False  # Repositories that nobody asked to be encrypted.
    lifetimes: Lifetimes = Lifetimes()


@dataclass(frozen=True, slots=True)
class Author:
    """As whom this node writes records. *clock* stamps on the writer's thread alone."""

    node: str
    incarnation: bytes  # 16 bytes.
    sign: Callable[[bytes], bytes]
    clock: Clock


@dataclass(slots=True)
class Counts:
    """What has gone since the start, for the metrics."""

    blobs: int = 0  # Collected.
    bytes: int = 0  # Of these blobs.
    links: int = 0  # Collected: blobs that a repository sees no more.
    set_aside: int = 0  # Looked at when due, and damaged: looked at again a day later.
    uploads: int = 0  # Expired.


class Changes:
    """Wakes those who wait for something new: first ``next``, then look, then wait for what ``next`` returned."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def notify(self) -> None:
        """Say that there is something new."""
        self._event.set()
        self._event = trio.Event()

    def next(self) -> trio.Event:
        """Return what is set at the next ``notify``."""
        return self._event


@dataclass(slots=True)
class Registry:
    """One (account, region) on this node. ``policies`` comes last; later ``settings`` alone is replaced."""

    name: RegistryName
    store: Store
    author: Author
    vault: Vault
    keyring: Keyring
    policies: Policies
    settings: Settings
    now: Callable[[], float]  # Seconds since 1970, UTC.
    random: Callable[[int], bytes]
    transits: Transits
    alarms: Alarms
    gate: Gate = field(default_factory=Gate)
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    sessions: dict[bytes, Session] = field(default_factory=dict)  # Uploads in memory, by id.
    incoming: Incoming = field(default_factory=Incoming)  # Manifests in memory, before they are stored.
    room: dict[int, int] = field(default_factory=dict)  # For images, by number of a repository: see ``quotas``.
    abandoned: set[int] = field(default_factory=set)  # Blob numbers that perhaps nothing names: see ``orphans``.
    checking: Checking = field(default_factory=Checking)
    repairs: Repairs = field(default_factory=Repairs)
    scrubbing: Scrubbing = field(default_factory=Scrubbing)
    changes: Changes = field(default_factory=Changes)  # A new record in the journal.
    freeable: Changes = field(default_factory=Changes)  # There may be something to free, before it is looked for.
    counts: Counts = field(default_factory=Counts)
    backfills: Changes = field(default_factory=Changes)  # A backfill began, or is to stop.
    wanted: Changes = field(default_factory=Changes)  # Something new is wanted at a destination.
    wanted_again: Changes = field(default_factory=Changes)  # Something old is: not behind all that was looked at.
    masters: Masters | None = None
    rewrapping: Changes = field(default_factory=Changes)  # A key was rotated, or is to go.
    webhooks: Changes = field(default_factory=Changes)  # A webhook was put, changed or deleted.
    recent_events: dict[int, list[Event]] = field(default_factory=dict)  # By position: see ``events``.
    deliveries: dict[str, Delivery] = field(default_factory=dict)  # What each webhook has come to, by name.
    tracer: Tracer = field(default_factory=no_traces)
    pulls: Pulls = field(default_factory=Pulls)
    previews: Previews = field(default_factory=Previews)
    previewed: Changes = field(default_factory=Changes)  # A preview began or ended.
    notes_of_audit: Notes = field(default_factory=Notes)  # What the audit has to be told at the next second.
    readings: Readings = field(default_factory=Readings)  # Blobs that are being read.
    hashing: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))
    """Passwords that are being set: 32 MiB and a quarter of a second of a core each."""
    key_uses: dict[str, KeyUse] = field(default_factory=dict)  # By access key: those not written down yet.
    kms_keys: Current[KmsKeys] = field(init=False)
    """KMS keys as they are now."""
    directory: Current[Directory] = field(init=False)
    """Users, groups, roles, policies and keys as they are now."""
    principals: DirectoryReader = field(init=False)
    """Reads them in any transaction."""
    has_archive: Current[bool] = field(init=False)  # Whether any image ever was in the archive.

    def __post_init__(self) -> None:
        meta = self.store.meta
        self.kms_keys = Current(self.store, lambda txn: read_keys(self.name, meta, txn))
        self.principals = DirectoryReader(self.name.account, meta)
        self.directory = Current(self.store, self.principals.read)
        self.has_archive = Current(self.store, lambda txn: bool(meta.registers.page(txn, STORAGE, limit=1)))

    def authorize(self, caller: Caller, action: str, resource: Resource, keys: Keys = _NO_KEYS) -> None:
        """Return where *caller* may do this now: the first statement of each use case.

        Raises:
            Denied: the policies do not allow it.
            ReadOnly: they do, and content must not change for now.
        """
        try:
            self.policies(caller, action, resource, keys)
        except Denied as denial:
            denial.action, denial.resource = action, str(resource or "")
            raise
        if self.gate.why and not leaves_content(action):
            self.gate.require_open()

    def allows(self, caller: Caller, action: str, resource: Resource, keys: Keys = _NO_KEYS) -> bool:
        """Whether the policies allow this: for what is shown or not, and never a refusal that somebody is told of."""
        try:
            self.policies(caller, action, resource, keys)
        except Denied:
            return False
        return True
