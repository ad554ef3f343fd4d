"""How repositories keep their bytes: which domain one is in, and the keys by which it reads and writes.

What a repository's settings say when it is made decides, and never changes: without ``encryption`` it keeps its bytes
plain, and with it sealed under a key of its own, which goes with it. Of each copy that it sees it keeps the data key,
wrapped under that key. So within a domain a blob is stored once, and with a repository goes its view of it, whoever
else has one.

A key that may not be used is no damage: ``KeyUnusable`` says so to who asks, and jobs leave alone what it keeps.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from node.registry.check.walk import KeyOf
from node.registry.commit import commit_rules
from node.registry.content import opened_content
from node.registry.keyring import Keyring, kms_key_name, repository_key_name
from node.registry.kms.keys import DEFAULT_ALIAS, GROUP, KmsKey, kms_key
from node.registry.registers import register_put, registers
from node.registry.registry import Registry
from node.store.blobs import BlobRow, Chunked, DomainRow
from node.store.copies import copy_in, domain_of
from node.store.meta import Meta
from node.store.rows import RepositoryRow
from node.store.sealedmap import opened_map
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.arn import default_key_arn
from protocol.auth.caller import Act
from protocol.blobs.sealing import ID, KEY, NONCE, DataKey, seal_part, unwrap, wrap
from protocol.errors import Damaged, ParameterInvalid
from protocol.oci.digest import Digest
from protocol.sync.entries import Setting

KINDS = ("AES256", "KMS", "KMS_DSSE")


# What settings say.


def encryption_settings(kind: str | None, key: str | None) -> dict[str, Setting]:
    """Return the settings of a repository that is asked to be encrypted as *kind* under *key*; none for no *kind*.

    Raises:
        ParameterInvalid: they do not go together.
    """
    if kind is None:
        return {}
    if kind == "AES256" and key:
        raise ParameterInvalid(
            "Invalid parameter at 'encryptionConfiguration' failed to satisfy constraint: 'AES256 takes no kmsKey'"
        )
    return {"encryption": kind} if kind == "AES256" else {"encryption": kind, "kms-key": key or DEFAULT_ALIAS}


def settled_encryption(
    registry: Registry, txn: WriteTxn, act: Act, settings: Mapping[str, Setting]
) -> dict[str, Setting]:
    """Return the settings of a repository that is being made, with what it gets by default and its key by its ARN.

    Raises:
        KeyUnusable: the key is not there, or may not be used.
    """
    kind = settings.get("encryption") or ("AES256" if registry.settings.encrypt_by_default else None)
    if kind is None or kind == "AES256":
        rest = {name: value for name, value in settings.items() if name != "kms-key"}
        return rest if kind is None else {**rest, "encryption": kind}
    name = str(settings.get("kms-key") or DEFAULT_ALIAS)
    keys = registry.kms_keys.get()
    if keys.find(name) is None and name in {DEFAULT_ALIAS, default_key_arn(registry.name)}:
        return {**settings, "kms-key": _default_key(registry, txn, act).arn}
    return {**settings, "kms-key": keys.require(name).arn}


def _default_key(registry: Registry, txn: WriteTxn, act: Act) -> KmsKey:
    """Return the key of repositories that name none, made where it is not there yet."""
    for id_, fields in registers(registry, txn, GROUP, limit=2**31):  # Perhaps by an earlier write of this group.
        if fields.get("alias") == DEFAULT_ALIAS:
            return kms_key(registry.name, id_, fields)
    return make_kms_key(registry, txn, act, alias=DEFAULT_ALIAS, description="Default key of encrypted repositories")


def make_kms_key(registry: Registry, txn: WriteTxn, act: Act, *, alias: str, description: str) -> KmsKey:
    """Say that there is a key; its first version is made when it is needed."""
    raw = registry.random(16)
    id_ = f"{raw[:4].hex()}-{raw[4:6].hex()}-{raw[6:8].hex()}-{raw[8:10].hex()}-{raw[10:].hex()}"
    fields: dict[str, Setting] = {"created": int(registry.now() * 1000), "version": 1, "description": description}
    if alias:
        fields["alias"] = alias
    entry = register_put(registry, txn, act, GROUP, id_, fields)
    commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])
    return kms_key(registry.name, id_, fields)


def begin_domain(registry: Registry, txn: WriteTxn, row: RepositoryRow) -> None:
    """Give a repository that was just made its domain and its key, if its settings say so; on the writer's thread.

    Raises:
        StoreReadOnly: the disk does not take the key.
    """
    settings, blobs = row.state.settings(), registry.store.meta.blobs
    kind, key = settings.get("encryption"), str(settings.get("kms-key") or "")
    if kind not in KINDS:
        return
    number = row.number.to_bytes(8, "big")
    old = blobs.domains.get(txn, number)
    domain = domain_of(str(kind), key) if old is None else old.domain
    under = registry.keyring.master if kind == "AES256" else usable_kms_key(registry, key)
    id_ = registry.random(ID)
    registry.keyring.make(repository_key_name(id_), under)
    blobs.put_domain(txn, row.number, DomainRow(domain, id_, 2 if kind == "KMS_DSSE" else 1))


def usable_kms_key(registry: Registry, arn: str) -> str:
    """Return the name of the version of a KMS key that is in force, made if this node has none yet."""
    id_ = arn.rpartition("/")[2]
    found = registry.kms_keys.get().find(id_)
    name = kms_key_name(id_, 1 if found is None else found.version)
    if not registry.keyring.has(name):
        registry.keyring.make(name, registry.keyring.master)
    return name


# Keys in use.


def repository_key(registry: Registry, txn: ReadTxn, repository: int) -> bytes | None:
    """Return the key of a sealed repository, ``None`` where it keeps its bytes plain or its key was destroyed.

    Raises:
        KeyUnusable: the KMS key that keeps it may not be used.
        Damaged: it is not here, or cannot be opened.
    """
    row = registry.store.meta.blobs.domains.get(txn, repository.to_bytes(8, "big"))
    if row is None or not row.key:
        return None
    name = repository_key_name(row.key)
    key = registry.keyring.key(name)
    under = registry.keyring.kms_of(name)
    if under:
        registry.kms_keys.get().require(under)
    return key


def data_key(registry: Registry, txn: ReadTxn, repository: int, copy: Digest, row: BlobRow) -> DataKey | None:
    """Return the data key by which a repository reads a copy; ``None`` where the copy is plain.

    Raises:
        KeyUnusable: the KMS key that keeps it may not be used.
        Damaged: the repository has none that opens it.
    """
    if not row.key:
        return None
    key = repository_key(registry, txn, repository)
    wrapped = registry.store.meta.blobs.wrapped_key(txn, repository, copy)
    if key is None or wrapped is None:
        raise Damaged(f"{copy} without its data key")
    return unwrap(key, row.key, wrapped)


def any_data_key(registry: Registry, txn: ReadTxn, copy: Digest, row: BlobRow) -> DataKey | None:
    """Return the data key of a copy by whichever repository sees it; ``None`` where the copy is plain.

    Raises:
        KeyUnusable: the KMS key that keeps it may not be used.
        Damaged: nobody has one that opens it.
    """
    if not row.key:
        return None
    for repository in registry.store.meta.blobs.wrapping(txn, copy):
        try:
            return data_key(registry, txn, repository, copy, row)
        except Damaged:
            continue
    raise Damaged(f"{copy} without its data key")


def key_finder(meta: Meta, keyring: Keyring) -> KeyOf:
    """Return what finds data keys for a check of the store, which shows nobody what it reads.

    So it opens what lies under a KMS key that is disabled as well.
    """

    def key_of(txn: ReadTxn, copy: Digest, row: BlobRow) -> DataKey | None:
        for repository in meta.blobs.wrapping(txn, copy):
            with suppress(Damaged):
                domain = meta.blobs.domains.get(txn, repository.to_bytes(8, "big"))
                wrapped = meta.blobs.wrapped_key(txn, repository, copy)
                if domain is not None and domain.key and wrapped is not None:
                    return unwrap(keyring.key(repository_key_name(domain.key)), row.key, wrapped)
        return None

    return key_of


def new_data_key(registry: Registry, txn: ReadTxn, repository: int) -> DataKey | None:
    """Return a new data key for what is written to a repository; ``None`` where it keeps its bytes plain.

    Raises:
        KeyUnusable: its KMS key may not be used.
        Damaged: its key is not here.
    """
    row = registry.store.meta.blobs.domains.get(txn, repository.to_bytes(8, "big"))
    if row is None:
        return None
    if repository_key(registry, txn, repository) is None:
        raise Damaged(f"repository {repository} without its key")
    return DataKey(registry.random(ID), registry.random(KEY * row.layers))


def grant(registry: Registry, txn: WriteTxn, repository: int, digest: Digest) -> None:
    """Let a repository that sees a copy read it: keep the copy's data key for it, where it has none yet.

    Raises:
        KeyUnusable: the KMS key that keeps it may not be used.
        Damaged: nobody has a data key that opens it.
    """
    blobs = registry.store.meta.blobs
    domain = blobs.domain(txn, repository)
    if not domain:
        return
    copy = copy_in(digest, domain)
    row = blobs.get(txn, copy)
    if row is None or not row.key:
        return
    own, key = blobs.wrapped_key(txn, repository, copy), repository_key(registry, txn, repository)
    if key is None:
        raise Damaged(f"repository {repository} without its key")
    if own is None or not _opens(key, row, own):
        found = any_data_key(registry, txn, copy, row)
        assert found is not None  # It is sealed.
        blobs.put_wrapped(txn, repository, copy, wrap(key, found, registry.random(NONCE)))


def _opens(key: bytes, row: BlobRow, wrapped: bytes) -> bool:
    try:
        unwrap(key, row.key, wrapped)
    except Damaged:
        return False
    return True


@dataclass(frozen=True, slots=True)
class SealedFor:
    """For whom a copy is sealed that is being written, and under which data key."""

    registry: Registry
    repository: int
    key: DataKey

    def can_share(self, txn: ReadTxn, copy: Digest, row: BlobRow) -> bool:
        """Whether the copy that is here is sound as far as is known, and can be read by this repository as well."""
        blobs, store = self.registry.store.meta.blobs, self.registry.store
        if row.number in store.verified.bad:
            return False
        try:
            key = any_data_key(self.registry, txn, copy, row)
            if not row.number:
                opened_content(key, row.size, blobs.content(txn, copy))
        except Damaged:
            return False
        return True

    def put_keys(self, txn: WriteTxn, copy: Digest, others: Sequence[int]) -> None:
        """Keep the data key for this repository, and for *others* that saw the copy before it got these bytes."""
        blobs = self.registry.store.meta.blobs
        for number in {self.repository, *others}:
            key = repository_key(self.registry, txn, number)
            if key is not None:
                blobs.put_wrapped(txn, number, copy, wrap(key, self.key, self.registry.random(NONCE)))


# Content.


def sealed_content(registry: Registry, key: DataKey | None, data: bytes) -> bytes:
    """Return small content as it is kept."""
    return data if key is None else seal_part(key, "content", 0, len(data), data, registry.random(NONCE))


def chunked(registry: Registry, txn: ReadTxn, row: BlobRow, key: DataKey | None) -> Chunked:
    """Return a large copy with its chunk map."""
    blobs = registry.store.meta.blobs
    if key is None:
        return Chunked(row, blobs.hashes(txn, row))
    return Chunked(row, *opened_map(key, row.size, blobs.map_parts(txn, row)), key)
