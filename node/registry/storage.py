"""Storage classes of images: what is in the archive, what was brought back, and when.

An archived image stays where it is, with its tags, and is given to nobody: no door serves its manifest, nor a layer
that archived images alone name. What brings it back is to ask for it, or to push it again. Nothing has to be fetched
for that, so an image that is activated is active when the answer is sent; that says ``ACTIVATING``, as ECR's does.

The status is a register of the registry, under ``repository@digest``; an image without one is active and always was.
An index goes with the images under it that no other index keeps, and an image with what refers to it. What is alone
named by an index that stays cannot go.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from node.registry.commit import commit
from node.registry.imageids import ImageId, find_image
from node.registry.registers import register, register_put, registers
from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.errors import StorageClassUnsupported
from protocol.oci.digest import Digest, digest
from protocol.oci.names import RepositoryName
from protocol.sync.entries import ImagePut, Known, Setting
from protocol.sync.storage import ACTIVATED_AT, ARCHIVED_AT, GROUP, STATUS, storage_name

_ALL = 2**31
_MAX_DEPTH = 8  # Of indexes in indexes and of referrers of referrers that go along.
_PAGE = 500

Status: TypeAlias = Literal["ACTIVE", "ARCHIVED", "ACTIVATING"]
StorageClass: TypeAlias = Literal["STANDARD", "ARCHIVE"]


class Storage(msgspec.Struct, frozen=True):
    """Where an image is. Times are seconds since 1970, UTC; ``None``: never."""

    status: Status = "ACTIVE"
    archived: float | None = None  # When it went to the archive last.
    activated: float | None = None  # When it came back last.


ACTIVE = Storage()


async def update_storage_class(
    registry: Registry, caller: Caller, name: RepositoryName, wanted: ImageId, target: StorageClass
) -> tuple[Digest, Status]:
    """Send an image to the archive, or bring it back; return its digest and what is answered as its status.

    Raises:
        Denied: without ``ecr:UpdateImageStorageClass``.
        NameUnknown, ManifestUnknown: there is no such image.
        StorageClassUnsupported: it is there already, or an index decides where it is.
    """
    registry.authorize(caller, "ecr:UpdateImageStorageClass", name)
    act = Act(caller, "ecr:UpdateImageStorageClass", name)

    def run(txn: WriteTxn) -> Digest:
        found = find_image(registry, txn, name, wanted)
        is_archived = storage_of(registry, txn, name, found.digest).status == "ARCHIVED"
        if is_archived == (target == "ARCHIVE"):
            raise StorageClassUnsupported(f"The image {found.digest} is in storage class {target} already")
        if registry.store.meta.images.is_child(txn, found.repository.number, found.digest):
            raise StorageClassUnsupported(f"An index of the repository '{name}' names {found.digest}: update that")
        together = _together(registry, txn, name, found.repository.number, found.digest, is_leaving=not is_archived)
        status: Status = "ARCHIVED" if target == "ARCHIVE" else "ACTIVE"
        commit(registry, txn, act, lambda _dot, _hlc: list(_puts(registry, txn, act, name, together, status)))
        return found.digest

    found = await registry.store.writer.write(run)
    registry.changes.notify()
    return found, "ARCHIVED" if target == "ARCHIVE" else "ACTIVATING"


def storage_of(registry: Registry, txn: ReadTxn, name: RepositoryName, digest: Digest) -> Storage:
    """Return where an image is; one look-up, which mostly finds nothing."""
    fields = register(registry, txn, GROUP, storage_name(name, digest))
    return ACTIVE if fields is None else _storage(fields)


def storages_of(registry: Registry, txn: ReadTxn, name: RepositoryName) -> Mapping[Digest, Storage]:
    """Return where the images of a repository are that ever were in the archive; all others are active."""
    rows = registers(registry, txn, GROUP, prefix=f"{name}@", limit=_ALL)
    return {digest(key.rpartition("@")[2]): _storage(fields) for key, fields in rows}


def has_storages(registry: Registry, txn: ReadTxn, name: RepositoryName) -> bool:
    """Whether any image of the repository ever was in the archive; constant cost."""
    return bool(registers(registry, txn, GROUP, prefix=f"{name}@", limit=1))


def is_archived_layer(registry: Registry, txn: ReadTxn, name: RepositoryName, number: int, layer: Digest) -> bool:
    """Whether all images of the repository that name *layer* are in the archive, and there are some."""
    if not has_storages(registry, txn, name):
        return False
    link = registry.store.meta.blobs.link(txn, number, layer)
    if link is None or not link.names:
        return False
    return _archived_layers(registry, txn, name, number)[layer] >= link.names


def restored(
    registry: Registry, txn: ReadTxn, act: Act, name: RepositoryName, number: int, pushed: Iterable[Known]
) -> list[Known]:
    """Return the entries that bring back what is *pushed* again; none for what never was in the archive."""
    digests = [one.key.digest for one in pushed if isinstance(one, ImagePut)]
    found = [one for one in digests if storage_of(registry, txn, name, one).status == "ARCHIVED"]
    alive = [one for one in found if registry.store.meta.images.is_alive(txn, number, one)]
    entries = list(_puts(registry, txn, act, name, alive, "ACTIVE"))
    for one in found:
        if one not in alive:  # It was deleted, and what comes now is new.
            gone: dict[str, Setting] = {STATUS: None, ARCHIVED_AT: None, ACTIVATED_AT: None}
            entries.append(register_put(registry, txn, act, GROUP, storage_name(name, one), gone))
    return entries


def _puts(
    registry: Registry, txn: ReadTxn, act: Act, name: RepositoryName, digests: Iterable[Digest], status: Status
) -> Iterator[Known]:
    at = ARCHIVED_AT if status == "ARCHIVED" else ACTIVATED_AT
    fields: dict[str, Setting] = {STATUS: status, at: int(registry.now() * 1000)}
    for one in digests:
        yield register_put(registry, txn, act, GROUP, storage_name(name, one), fields)


def _together(
    registry: Registry, txn: ReadTxn, name: RepositoryName, number: int, first: Digest, *, is_leaving: bool
) -> list[Digest]:
    """Return what goes with an image, itself first: images under it that nothing else keeps, and what refers to it."""
    images = registry.store.meta.images

    def is_kept(one: Digest) -> bool:
        others = [parent for parent in images.naming(txn, number, one, limit=_ALL) if parent not in found]
        return is_leaving and any(storage_of(registry, txn, name, parent).status == "ACTIVE" for parent in others)

    found, waiting = {first: None}, [(first, 0)]
    while waiting:
        one, depth = waiting.pop()
        state = images.get(txn, number, one)
        value = None if state is None or state.shown is None else state.shown.value
        children = () if value is None else value.children
        referrers = images.referring(txn, number, one, after=b"", limit=_ALL)
        for other in (*children, *referrers):
            is_here = depth < _MAX_DEPTH and images.is_alive(txn, number, other)
            if is_here and other not in found and not is_kept(other):
                found[other] = None
                waiting.append((other, depth + 1))
    return list(found)


def _archived_layers(registry: Registry, txn: ReadTxn, name: RepositoryName, number: int) -> Counter[Digest]:
    """Return how many archived images name each layer. Cost: linear in the images in the archive."""
    counts = Counter[Digest]()
    for one, storage in storages_of(registry, txn, name).items():
        state = registry.store.meta.images.get(txn, number, one) if storage.status == "ARCHIVED" else None
        if state is not None and state.shown is not None:
            counts.update({blob.digest for blob in state.shown.value.blobs})
    return counts


def _storage(fields: Mapping[str, Setting]) -> Storage:
    status: Status = "ARCHIVED" if fields.get(STATUS) == "ARCHIVED" else "ACTIVE"
    return Storage(status, _seconds(fields.get(ARCHIVED_AT)), _seconds(fields.get(ACTIVATED_AT)))


def _seconds(value: Setting) -> float | None:
    return value / 1000 if isinstance(value, int) and not isinstance(value, bool) else None
