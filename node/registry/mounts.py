"""A blob of one repository seen in another, without its bytes being sent again."""

from node.registry.accountsettings import BLOB_MOUNTING, account_setting
from node.registry.blobs import is_sound
from node.registry.registry import Registry
from node.registry.repositories import repository_for_push
from node.registry.sealing import grant
from node.store.copies import copy_in
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Caller
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName

_MAX_SOURCES = 32  # Repositories that are asked about where the client names none.


async def mount_blob(
    registry: Registry, caller: Caller, name: RepositoryName, digest: Digest, source: RepositoryName | None
) -> bool:
    """Link the blob into *name*, if a repository that the caller may pull from has it: *source*, or any without one.

    ``False``: there is none, or none that the caller may know of, or only in repositories that are encrypted in another
    way, or the account setting says that nothing is mounted; the client uploads then, and learns nothing.

    Raises:
        Denied: without ``ecr:InitiateLayerUpload`` on *name*.
        NameUnknown: *name* does not exist and a push may not create it.
        KeyUnusable: both are encrypted under a KMS key that may not be used.
    """
    registry.authorize(caller, "ecr:InitiateLayerUpload", name)
    meta, now = registry.store.meta, registry.now()
    with meta.read() as txn:
        is_off = account_setting(registry, txn, BLOB_MOUNTING) == "DISABLED"
        if is_off or not _is_visible(registry, txn, caller, digest, source):
            return False

    def run(txn: WriteTxn) -> bool:
        if not _is_visible(registry, txn, caller, digest, source):
            return False
        row = repository_for_push(registry, txn, caller, name)
        if not _is_visible(registry, txn, caller, digest, source, domain=meta.blobs.domain(txn, row.number)):
            return False
        meta.blobs.show(txn, row.number, digest, now=now)
        grant(registry, txn, row.number, digest)
        return True

    mounted = await registry.store.writer.write(run)
    registry.changes.notify()
    return mounted


def _is_visible(
    registry: Registry,
    txn: ReadTxn,
    caller: Caller,
    digest: Digest,
    source: RepositoryName | None,
    *,
    domain: bytes | None = None,
) -> bool:
    """Whether a repository has it that the caller may pull from; with *domain*, one of those in it."""
    meta = registry.store.meta
    if source is not None:
        row = meta.repositories.get(txn, source)
        numbers = [] if row is None else [row.number]
    else:
        numbers = meta.blobs.repositories(txn, digest, limit=_MAX_SOURCES)
    for number in numbers:
        name = meta.repositories.name(txn, number)
        own = meta.blobs.domain(txn, number)
        if name is None or own != (own if domain is None else domain):
            continue
        if not registry.allows(caller, "ecr:GetDownloadUrlForLayer", name):
            continue
        blob = meta.blobs.visible(txn, number, digest)
        if blob is not None and is_sound(registry, txn, copy_in(digest, own), blob):
            return True
    return False
