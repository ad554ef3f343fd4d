"""Deleting images and tags."""

from node.registry.commit import commit
from node.registry.draft import Draft, image_delete, tag_deletes
from node.registry.manifests import REQUESTED
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.errors import ImageInUse, ManifestUnknown, TagElsewhere
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import Known
from protocol.sync.vector import Dot

_TAGS = 500  # Deleted in one transaction.
_SHOWN = 5  # Indexes that a message names.


async def delete_image(registry: Registry, caller: Caller, name: RepositoryName, digest: Digest) -> None:
    """Delete an image and every tag that points at it; where they are many, tags go first, some hundreds at a time.

    Raises:
        Denied: without ``ecr:BatchDeleteImage``.
        NameUnknown, ManifestUnknown: there is none.
        ImageInUse: an index names it, and indexes have to be whole here.
    """
    registry.authorize(caller, "ecr:BatchDeleteImage", name)
    meta = registry.store.meta

    def run(txn: WriteTxn) -> bool:
        row = repository(registry, txn, name)
        state = meta.images.get(txn, row.number, digest)
        if state is None or not state.dots:
            raise ManifestUnknown(REQUESTED)
        parents = meta.images.naming(txn, row.number, digest, limit=_SHOWN)
        if parents and registry.settings.missing_content == "refuse":
            raise ImageInUse(f"Requested image referenced by manifest list: [{', '.join(parents)}]")
        tags = meta.tags.pointing_at(txn, row.number, digest, limit=_TAGS + 1)
        is_last = len(tags) <= _TAGS

        def entries(dot: Dot, hlc: int) -> list[Known]:
            draft = Draft(registry, txn, name, row, caller.arn, dot, hlc)
            deletes = tag_deletes(draft, tags[:_TAGS])
            return [image_delete(draft, digest, state), *deletes] if is_last else deletes

        commit(registry, txn, Act(caller, "ecr:BatchDeleteImage", name), entries)
        return is_last

    while not await registry.store.writer.write(run):
        registry.changes.notify()
    registry.changes.notify()


async def delete_tag_of_image(
    registry: Registry, caller: Caller, name: RepositoryName, tag: TagName, digest: Digest | None
) -> Digest:
    """Delete *tag*, and with its last tag the image, unless an index names that; return where the tag pointed.

    Raises:
        Denied: without ``ecr:BatchDeleteImage``.
        NameUnknown, ManifestUnknown: there is none.
        TagElsewhere: the tag does not point at *digest*.
    """
    registry.authorize(caller, "ecr:BatchDeleteImage", name)
    meta = registry.store.meta

    def run(txn: WriteTxn) -> Digest:
        row = repository(registry, txn, name)
        found = meta.tags.digest(txn, row.number, tag)
        if found is None:
            raise ManifestUnknown(REQUESTED)
        if digest is not None and found != digest:
            raise TagElsewhere("Requested image digest does not match that of the image with the requested tag")
        state = meta.images.get(txn, row.number, found)
        tags = meta.tags.pointing_at(txn, row.number, found, limit=2)
        goes = state is not None and len(tags) == 1 and not meta.images.is_child(txn, row.number, found)

        def entries(dot: Dot, hlc: int) -> list[Known]:
            draft = Draft(registry, txn, name, row, caller.arn, dot, hlc)
            image = [image_delete(draft, found, state)] if goes and state is not None else []
            return [*image, *tag_deletes(draft, [tag])]

        commit(registry, txn, Act(caller, "ecr:BatchDeleteImage", name), entries)
        return found

    found = await registry.store.writer.write(run)
    registry.changes.notify()
    return found
