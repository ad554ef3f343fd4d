"""Listing and deleting tags."""

from node.registry.commit import commit
from node.registry.draft import Draft, tag_deletes
from node.registry.manifests import REQUESTED
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.storage import ACTIVE, has_storages, storages_of
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.errors import ManifestUnknown
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import Known
from protocol.sync.vector import Dot


def list_tags(registry: Registry, caller: Caller, name: RepositoryName, *, after: str, limit: int) -> list[TagName]:
    """Return at most *limit* tags beyond *after*, in the order of their bytes; a page costs the same anywhere.

    Those of archived images are left out, which costs more.

    Raises:
        Denied: without ``ecr:ListImages``.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr:ListImages", name)
    with registry.store.meta.read() as txn:
        row = repository(registry, txn, name)
        tags = registry.store.meta.tags
        if not registry.has_archive.get() or not has_storages(registry, txn, name):
            return tags.names(txn, row.number, after=after, limit=limit)
        found: list[TagName] = []
        storages = storages_of(registry, txn, name)
        while len(found) < limit and (page := tags.names(txn, row.number, after=after, limit=limit)):
            after = page[-1]
            digests = ((tag, tags.digest(txn, row.number, tag)) for tag in page)
            found += [tag for tag, digest in digests if digest and storages.get(digest, ACTIVE).status == "ACTIVE"]
        return found[:limit]


async def delete_tag(registry: Registry, caller: Caller, name: RepositoryName, tag: TagName) -> None:
    """Delete *tag*; the manifest that it points at stays.

    Raises:
        Denied: without ``ecr:BatchDeleteImage``.
        NameUnknown, ManifestUnknown: there is none.
    """
    registry.authorize(caller, "ecr:BatchDeleteImage", name)

    def run(txn: WriteTxn) -> None:
        row = repository(registry, txn, name)

        def entries(dot: Dot, hlc: int) -> list[Known]:
            return tag_deletes(Draft(registry, txn, name, row, caller.arn, dot, hlc), [tag])

        if commit(registry, txn, Act(caller, "ecr:BatchDeleteImage", name), entries) is None:
            raise ManifestUnknown(REQUESTED)

    await registry.store.writer.write(run)
    registry.changes.notify()
