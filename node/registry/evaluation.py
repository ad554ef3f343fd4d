"""A repository's images as lifecycle rules see them, all at one moment."""

from node.registry.pulltimes import last_pull
from node.registry.registry import Registry
from node.registry.storage import ACTIVE, storages_of
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn
from protocol.oci.digest import packed
from protocol.oci.names import RepositoryName
from protocol.rules.lifecycle import Image

_PAGE = 500  # Images that are read together.


def images_for_rules(registry: Registry, txn: ReadTxn, name: RepositoryName, row: RepositoryRow) -> list[Image]:
    """Return all images of a repository. Some 20 microseconds each: for a thread."""
    meta, storages, found, after = registry.store.meta, storages_of(registry, txn, name), list[Image](), b""
    while page := meta.images.page(txn, row.number, after=after, limit=_PAGE):
        after = packed(page[-1][0])
        for digest, state in page:
            shown = state.shown
            if shown is None:
                continue
            pushed, storage = shown.value.pushed / 1000, storages.get(digest, ACTIVE)
            found.append(
                Image(
                    digest=digest,
                    tags=tuple(meta.tags.pointing_at(txn, row.number, digest)),
                    pushed=pushed,
                    order=shown.hlc,
                    pulled=last_pull(registry, txn, name, digest, pushed),
                    activated=storage.activated,
                    archived=storage.archived if storage.status == "ARCHIVED" else None,
                    children=shown.value.children,
                )
            )
    return found
