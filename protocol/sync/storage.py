"""Registers that say in which storage class an image is: their group, names and fields.

One is named ``repository@digest``. An image without one is, and always was, in class STANDARD.
"""

from collections.abc import Mapping

import msgspec

from protocol.errors import DigestInvalid
from protocol.oci.digest import Digest, digest
from protocol.oci.names import RepositoryName
from protocol.sync.entries import Setting

GROUP = "storage"
STATUS = "status"  # ACTIVE or ARCHIVED.
ARCHIVED_AT = "archived"  # When it went to the archive last: milliseconds since 1970, as the next.
ACTIVATED_AT = "activated"


class Moved(msgspec.Struct, frozen=True):
    """An image that went to the archive, or came back."""

    repository: RepositoryName
    digest: Digest
    is_archived: bool
    at: int  # Milliseconds since 1970.


def storage_name(repository: RepositoryName, image: Digest) -> str:
    """Return the name of an image's register."""
    return f"{repository}@{image}"


def moved_by(name: str, fields: Mapping[str, Setting]) -> Moved | None:
    """Return what an entry of this group says that happened to an image; ``None`` where it only clears."""
    repository, _, text = name.rpartition("@")
    is_archived = fields.get(STATUS) == "ARCHIVED"
    at = fields.get(ARCHIVED_AT if is_archived else ACTIVATED_AT)
    try:
        image = digest(text)
    except DigestInvalid:
        return None
    return Moved(RepositoryName(repository), image, is_archived, at) if isinstance(at, int) else None
