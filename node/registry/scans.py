"""Scans of images that somebody starts: this version has no scanner, so each fails at once and says why.

It is remembered as that: who waits for it ends, and who asks later is told the same. Again is once a day, as at ECR.
"""

import msgspec

from node.registry.imageids import FoundImage, ImageId, find_image
from node.registry.registry import Registry
from node.registry.scanning import scanning_in_force
from node.registry.storage import storage_of
from node.store.notes import ImageNote
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Caller
from protocol.errors import ImageArchived, LimitExceeded, ScanUnknown, ValidationFailed
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName

_AGAIN = 86_400  # Seconds between two scans of an image.
_STATUS = "FAILED"
_REASON = "This version of the registry has no scanner: nothing was looked at"


class Scan(msgspec.Struct, frozen=True):
    """What became of the last scan of an image."""

    digest: Digest
    status: str  # In ECR's words.
    reason: str  # For people.


async def start_scan(registry: Registry, caller: Caller, name: RepositoryName, wanted: ImageId) -> Scan:
    """Scan an image, which comes to nothing here.

    Raises:
        Denied: without ``ecr:StartImageScan``.
        NameUnknown, ManifestUnknown: there is no such image.
        ValidationFailed: scans that somebody starts are not for the kind that the registry has.
        ImageArchived: it is in the archive.
        LimitExceeded: it was scanned less than a day ago.
    """
    registry.authorize(caller, "ecr:StartImageScan", name)
    notes = registry.store.meta.notes

    def run(txn: WriteTxn) -> Scan:
        found = find_image(registry, txn, name, wanted)
        if scanning_in_force(registry, txn).scan_type == "ENHANCED":
            raise ValidationFailed("A scan cannot be started by hand under the scanType ENHANCED")
        if storage_of(registry, txn, name, found.digest).status != "ACTIVE":
            raise ImageArchived(f"The image {found.digest} in the repository '{name}' is archived")
        note, now = _note(registry, txn, name, found), registry.now()
        if note.status and now - note.scanned < _AGAIN:
            raise LimitExceeded("The scan quota per image has been exceeded. Wait and try again.")
        notes.put(txn, name, found.digest, msgspec.structs.replace(note, scanned=now, status=_STATUS, reason=_REASON))
        return Scan(found.digest, _STATUS, _REASON)

    return await registry.store.writer.write(run)


def get_scan(registry: Registry, caller: Caller, name: RepositoryName, wanted: ImageId) -> Scan:
    """Return what became of the last scan of an image.

    Raises:
        Denied: without ``ecr:DescribeImageScanFindings``.
        NameUnknown, ManifestUnknown: there is no such image.
        ScanUnknown: it was never scanned.
    """
    registry.authorize(caller, "ecr:DescribeImageScanFindings", name)
    with registry.store.meta.read() as txn:
        found = find_image(registry, txn, name, wanted)
        note = _note(registry, txn, name, found)
    if not note.status:
        shown = f"imageDigest:'{found.digest}', imageTag:'{wanted.tag or 'null'}'"
        raise ScanUnknown(
            f"Image scan does not exist for the image with '{{{shown}}}' in the repository with name '{name}' "
            f"in the registry with id '{registry.name.account}'"
        )
    return Scan(found.digest, note.status, note.reason)


def _note(registry: Registry, txn: ReadTxn, name: RepositoryName, found: FoundImage) -> ImageNote:
    """Return what is noted of an image; without its scan where it was pushed again after that."""
    note = registry.store.meta.notes.get(txn, name, found.digest)
    if note.scanned >= found.image.value.pushed / 1000:
        return note
    return msgspec.structs.replace(note, scanned=0.0, status="", reason="")
