"""What makes this node this node: the folder ``identity`` of the data directory.

    identity.json    version, account, region, node, incarnation
    node.key         Ed25519, PKCS #8 PEM; never leaves this machine
    node.pem         the node's certificate
    authority.pem    the authority of the account
    authority.key    only where the authority was made, or shared with on purpose
    master.key       32 random bytes, under which this node's secrets are sealed
    master.key.old   the one before, while not all of them are sealed anew
    registry.key     the registry's 32 bytes, sealed under the master key

``trust``, ``invitations`` and ``nodes`` keep their files there as well. The folder is made beside its place, filled,
synced and renamed: a crash leaves all of an identity or nothing of it. Account and region never change afterwards.
"""

import secrets
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from node.peers import certificates
from node.peers.certificates import Authority
from node.peers.files import destroy_file, locked, make_folder, read_file, replace_secret, sync_folder, write_file
from node.peers.trust import Trusted, load_trust
from protocol.auth.names import LOCAL_ACCOUNT, LOCAL_REGION, Account, NodeId, NodeName, Region, RegistryName, checked
from protocol.errors import Damaged, NotReady, ParameterInvalid
from protocol.sync.clock import is_sane
from protocol.wire.descriptor import SignedDescriptor

FOLDER = "identity"
NODES_FILE = "nodes.msgpack"
KEY_SIZE = 32  # Bytes of a master or registry key.
OLD_MASTER = "master.key.old"
_VERSION = 1
_NOT_KEPT = frozenset({"lock", "invitations.json"})  # A token is good once, also after a restore.
_ESSENTIAL = frozenset(
    {"identity.json", "node.key", "node.pem", "authority.pem", "master.key", "registry.key", NODES_FILE}
)
_IGNORED = frozenset({"lost+found"})  # In a data directory that is a file system of its own.


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    account: Account
    region: Region
    node: NodeId
    incarnation: str  # Hexadecimal.


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's identity, loaded and checked."""

    folder: Path
    name: NodeName
    incarnation: bytes
    """16 bytes: a u64 counter, big-endian, and 8 random ones."""
    key: Ed25519PrivateKey
    certificate: bytes
    """DER."""
    certificate_pem: bytes
    authority: Authority
    """The authority of this node's own account."""
    authority_key: Ed25519PrivateKey | None
    master_keys: tuple[bytes, ...]
    """The one in force, and the one before while it is being replaced."""
    registry_key: bytes
    trusted: dict[Account, Trusted]
    """Other accounts, as they were trusted when this was loaded."""

    @property
    def registry(self) -> RegistryName:
        """The registry that this node serves."""
        return self.name.registry

    @property
    def is_local(self) -> bool:
        """Whether the node initialized itself, as an account that no peer accepts."""
        return self.registry.account == LOCAL_ACCOUNT

    @property
    def may_invite(self) -> bool:
        """Whether the authority's key is here."""
        return self.authority_key is not None and not self.is_local

    def sign(self, text: bytes) -> bytes:
        """Return the 64 bytes of an Ed25519 signature over *text*, which has to begin with its purpose."""
        return self.key.sign(text)

    def require_federation(self, command: str) -> None:
        """Raise ``NotReady`` where this node has no account of its own to have peers in."""
        if self.is_local:
            raise NotReady(
                f"{command} needs a registry with an account and a region, and this one made itself up on its first "
                f"start: run `entrepot init --data DIR --account 12-DIGITS --region NAME` with an empty DIR"
            )


@dataclass(frozen=True, slots=True)
class Parts:
    """What a new identity is made of."""

    name: NodeName
    key: Ed25519PrivateKey
    certificate_pem: bytes
    authority: Authority
    authority_key: Ed25519PrivateKey | None
    registry_key: bytes
    nodes: tuple[SignedDescriptor, ...] = ()
    """Whom it knows from the start: without them a new node could not find anyone."""


def create_identity(data: Path, account: Account, region: Region, *, now: float) -> Identity:
    """Make a new account's first node in the empty or absent directory *data*: `entrepot init`."""
    if account == LOCAL_ACCOUNT:
        raise ParameterInvalid(f"account {LOCAL_ACCOUNT} is for nodes that have no peers: choose another one")
    if not is_sane(now):
        raise NotReady("the clock of this machine cannot be right, and certificates would be of no use: set it first")
    return _create(data, account, region, now)


def create_local_identity(data: Path, *, now: float) -> Identity:
    """Make a node without peers in the empty or absent directory *data*."""
    return _create(data, LOCAL_ACCOUNT, LOCAL_REGION, now)


def has_identity(data: Path) -> bool:
    """Whether *data* has been initialized."""
    return (data / FOLDER).is_dir()


def load_identity(data: Path) -> Identity:
    """Load the identity in *data*.

    Raises:
        NotReady: there is none, or others can read a secret; the message says what to do.
        Damaged: files are missing, or do not belong together.
    """
    folder = data / FOLDER
    if not folder.is_dir():
        raise NotReady(
            f"{data} is not the data directory of a node: name another with --data, or run `entrepot init` "
            "or `entrepot join`"
        )
    if folder.stat().st_mode & 0o077:
        raise NotReady("the folder identity can be entered by others: chmod 700 it, and think about who did")
    document = _read_document(folder)
    name = NodeName(RegistryName(document.account, document.region), document.node)
    try:
        key = _parse_key(read_file(folder / "node.key"))
        authority = certificates.parse_authority(read_file(folder / "authority.pem"))
        authority_file = folder / "authority.key"
        authority_key = _parse_key(read_file(authority_file)) if authority_file.exists() else None
        certificate_pem = read_file(folder / "node.pem")
        certificate = certificates.pem_to_der(certificate_pem)
        incarnation = bytes.fromhex(document.incarnation)
    except (ValueError, TypeError, ParameterInvalid) as error:
        raise Damaged(f"a file in identity is not what it has to be: {error}") from error
    old = folder / OLD_MASTER
    masters = (read_file(folder / "master.key"), *((read_file(old),) if old.exists() else ()))
    return Identity(
        folder=folder,
        name=name,
        incarnation=incarnation,
        key=key,
        certificate=certificate,
        certificate_pem=certificate_pem,
        authority=authority,
        authority_key=authority_key,
        master_keys=masters,
        registry_key=_unseal_by_any(masters, read_file(folder / "registry.key"), name.registry),
        trusted=load_trust(folder),
    )


def write_identity(data: Path, parts: Parts) -> None:
    """Write a new identity, all or nothing; the caller holds the block of ``new_data``."""
    folder = data / f"{FOLDER}.new.{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    master_key = secrets.token_bytes(KEY_SIZE)
    incarnation = struct.pack(">Q", 1) + secrets.token_bytes(8)
    registry = parts.name.registry
    document = _Document(_VERSION, registry.account, registry.region, parts.name.node, incarnation.hex())
    write_file(folder / "identity.json", msgspec.json.format(msgspec.json.encode(document)))
    write_file(folder / "node.key", _format_key(parts.key))
    write_file(folder / "node.pem", parts.certificate_pem)
    write_file(folder / "authority.pem", parts.authority.pem)
    if parts.authority_key is not None:
        write_file(folder / "authority.key", _format_key(parts.authority_key))
    write_file(folder / "master.key", master_key)
    write_file(folder / "registry.key", _seal(master_key, parts.registry_key, registry))
    write_file(folder / NODES_FILE, msgspec.msgpack.encode(parts.nodes))
    folder.rename(data / FOLDER)
    sync_folder(data)


@contextmanager
def new_data(data: Path) -> Iterator[None]:
    """Check that *data* is empty, make it, and leave nothing of ours there when the block raises."""
    made = not data.exists()
    if not made:
        _remove_unfinished(data)
        if not data.is_dir() or {one.name for one in data.iterdir()} - _IGNORED:
            raise NotReady(
                "the data directory is not empty, and account and region of a node never change: name another"
            )
    make_folder(data)
    with ExitStack() as unless_done:
        if made:
            unless_done.callback(data.rmdir)
        unless_done.callback(_remove_unfinished, data)
        yield
        unless_done.pop_all()


def identity_files(identity: Identity) -> dict[str, bytes]:
    """Return the files of an identity by name, for a backup that keeps the node's keys; they are secrets."""
    names = sorted(path.name for path in identity.folder.iterdir() if path.is_file() and path.name not in _NOT_KEPT)
    return {name: read_file(identity.folder / name) for name in names if not name.startswith(".")}


def restore_identity(data: Path, files: Mapping[str, bytes]) -> None:
    """Write the identity that ``identity_files`` returned, all or nothing; *data* has none.

    Raises:
        Damaged: a name is none of a file.
    """
    if not files.keys() >= _ESSENTIAL or any("/" in name or name.startswith(".") or not name for name in files):
        raise Damaged("the identity in the backup lacks files, or has others than an identity has")
    _remove_unfinished(data)
    folder = data / f"{FOLDER}.new.{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        write_file(folder / name, content)
    folder.rename(data / FOLDER)
    sync_folder(data)


def renew_incarnation(data: Path, *, above: int) -> bytes:
    """Let the node in *data* write its next records as a new incarnation, with a counter greater than *above*.

    For a store that is older than the node: numbers of its own records may have been given before, and be known to
    others. Source: reliability.md 3.5, "Journal identity".
    """
    folder = data / FOLDER
    document = _read_document(folder)
    counter = max(above, int.from_bytes(bytes.fromhex(document.incarnation)[:8], "big")) + 1
    incarnation = struct.pack(">Q", counter) + secrets.token_bytes(8)
    document = msgspec.structs.replace(document, incarnation=incarnation.hex())
    write_file(folder / "identity.json", msgspec.json.format(msgspec.json.encode(document)))
    return incarnation


def add_local_identity(data: Path, *, now: float) -> None:
    """Make an identity for a node without peers beside what lies in *data*."""
    _write_new(data, LOCAL_ACCOUNT, LOCAL_REGION, now)


def begin_master_rotation(folder: Path, registry: RegistryName, registry_key: bytes) -> tuple[bytes, bytes]:
    """Draw a new master key and put it in force; return it and the old one, which ``end_master_rotation`` destroys.

    Between any two steps both are there, and the registry's key is sealed under one of them.

    Raises:
        NotReady: the last rotation has not ended.
    """
    with locked(folder):
        if (folder / OLD_MASTER).exists():
            raise NotReady("the last rotation has not ended: not all keys are wrapped anew yet; try again later")
        old, new = read_file(folder / "master.key"), secrets.token_bytes(KEY_SIZE)
        write_file(folder / OLD_MASTER, old)
        replace_secret(folder / "master.key", new)
        write_file(folder / "registry.key", _seal(new, registry_key, registry))
        return new, old


def end_master_rotation(folder: Path, registry: RegistryName, registry_key: bytes) -> None:
    """Destroy the old master key: nothing is sealed under it any more."""
    with locked(folder):
        write_file(folder / "registry.key", _seal(read_file(folder / "master.key"), registry_key, registry))
        destroy_file(folder / OLD_MASTER)


def new_node_id() -> NodeId:
    """Draw the id of a new node."""
    return NodeId("".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(16)))


def _create(data: Path, account: Account, region: Region, now: float) -> Identity:
    with new_data(data):
        _write_new(data, account, region, now)
    return load_identity(data)


def _write_new(data: Path, account: Account, region: Region, now: float) -> None:
    authority_key, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    authority = certificates.make_authority(account, authority_key, now=now)
    name = NodeName(RegistryName(account, region), new_node_id())
    pem = certificates.sign_node(authority, authority_key, name, key.public_key(), now=now)
    write_identity(data, Parts(name, key, pem, authority, authority_key, secrets.token_bytes(KEY_SIZE)))


def _remove_unfinished(data: Path) -> None:
    for folder in data.glob(f"{FOLDER}.new.*"):
        shutil.rmtree(folder)


def _read_document(folder: Path) -> _Document:
    try:
        document = msgspec.json.decode(read_file(folder / "identity.json"), type=_Document)
        checked(NodeName(RegistryName(document.account, document.region), document.node))
    except (msgspec.MsgspecError, ParameterInvalid) as error:
        raise Damaged(f"identity/identity.json: {error}") from error
    if document.version != _VERSION:
        raise NotReady(f"identity/identity.json has version {document.version}, this program reads {_VERSION}")
    return document


def _format_key(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _parse_key(pem: bytes) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError("another kind of key than Ed25519")
    return key


def _seal(master_key: bytes, secret: bytes, registry: RegistryName) -> bytes:
    nonce = secrets.token_bytes(12)
    return nonce + _cipher(master_key).encrypt(nonce, secret, str(registry).encode())


def _unseal(master_key: bytes, sealed: bytes, registry: RegistryName) -> bytes:
    try:
        return _cipher(master_key).decrypt(sealed[:12], sealed[12:], str(registry).encode())
    except (InvalidTag, ValueError) as error:
        raise Damaged("identity/registry.key is not of this registry and master.key") from error


def _unseal_by_any(masters: Sequence[bytes], secret: bytes, registry: RegistryName) -> bytes:
    for master_key in masters[1:]:
        with suppress(Damaged):
            return _unseal(master_key, secret, registry)
    return _unseal(masters[0], secret, registry)


def _cipher(master_key: bytes) -> AESGCM:
    derive = HKDF(hashes.SHA256(), 32, salt=None, info=b"entrepot registry key v1")
    return AESGCM(derive.derive(master_key))
