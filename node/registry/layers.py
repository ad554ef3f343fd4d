"""Whether layers are in a repository, many at once."""

from collections.abc import Sequence

import msgspec

from node.registry.blobs import is_sound
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.storage import has_storages, is_archived_layer
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Caller
from protocol.errors import DigestInvalid
from protocol.oci.digest import Digest, digest
from protocol.oci.names import RepositoryName


class CheckedLayer(msgspec.Struct, frozen=True):
    """A layer, and its size in bytes; ``None``: it is not here."""

    digest: Digest
    size: int | None
    is_archived: bool = False  # Archived images alone name it: it is here, and given to nobody.


class LayerFailure(msgspec.Struct, frozen=True):
    """Why something is no layer; the words are ECR's."""

    digest: str
    code: str
    reason: str


async def check_layers(
    registry: Registry, caller: Caller, name: RepositoryName, digests: Sequence[str]
) -> tuple[list[CheckedLayer], list[LayerFailure]]:
    """Return which layers the repository has, and which of *digests* are none.

    Who was told that one is here may count on it for 24 hours, as with ``stat_blob``.

    Raises:
        Denied: without ``ecr:BatchCheckLayerAvailability``.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr:BatchCheckLayerAvailability", name)
    wanted: list[Digest] = []
    failures: list[LayerFailure] = []
    for one in digests:
        try:
            wanted.append(digest(one))
        except DigestInvalid:
            code = "InvalidLayerDigest" if one else "MissingLayerDigest"
            failures.append(LayerFailure(one, code, f"Invalid layer digest '{one[:128]}'"))
    blobs, now = registry.store.meta.blobs, registry.now()
    with registry.store.meta.read() as txn:
        number = repository(registry, txn, name).number
        has_archive = has_storages(registry, txn, name)
        found = [
            CheckedLayer(
                one,
                _size(registry, txn, number, one),
                has_archive and is_archived_layer(registry, txn, name, number, one),
            )
            for one in wanted
        ]
        links = {one.digest: blobs.link(txn, number, one.digest) for one in found if one.size is not None}
    due = [one for one, link in links.items() if link is not None and blobs.needs_renewal(link, now=now)]
    if due:

        def renew(txn: WriteTxn) -> set[Digest]:
            return {one for one in due if not blobs.renew(txn, number, one, now=now)}

        gone = await registry.store.writer.write(renew)  # They were collected a moment ago.
        found = [CheckedLayer(one.digest, None) if one.digest in gone else one for one in found]
    return found, failures


def _size(registry: Registry, txn: ReadTxn, number: int, one: Digest) -> int | None:
    blobs = registry.store.meta.blobs
    blob, copy = blobs.visible(txn, number, one), blobs.copy(txn, number, one)
    # Who is told that it is missing pushes it, and that mends what is damaged.
    return blob.size if blob is not None and is_sound(registry, txn, copy, blob) else None
