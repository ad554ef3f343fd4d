"""An image as ECR's calls name it: by digest, by tag, or by both, which then have to agree."""

import msgspec

from node.registry.registry import Registry
from node.registry.repositories import repository
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn
from protocol.auth.public import told
from protocol.errors import DigestInvalid, ManifestUnknown, TagInvalid
from protocol.oci.digest import Digest
from protocol.oci.digest import digest as parse_digest
from protocol.oci.names import RepositoryName, TagName
from protocol.oci.names import tag_name as parse_tag
from protocol.rules.texts import invalid
from protocol.sync.images import ImageDot


class ImageId(msgspec.Struct, frozen=True):
    """Made by ``image_id``."""

    digest: Digest | None
    tag: TagName | None


class FoundImage(msgspec.Struct, frozen=True):
    """An image that is there."""

    repository: RepositoryRow
    digest: Digest
    image: ImageDot


def image_id(digest: str | None, tag: str | None) -> ImageId:
    """Return the id that a call gives, or raise ``ParameterInvalid`` where it is none."""
    if digest is None and tag is None:
        raise invalid("imageId", "imageDigest or imageTag has to be given")
    try:
        return ImageId(None if digest is None else parse_digest(digest), None if tag is None else parse_tag(tag))
    except DigestInvalid as error:
        raise invalid("imageDigest", "Invalid digest provided", str(error)) from None
    except TagInvalid as error:
        raise invalid("imageTag", "Invalid tag provided", str(error)) from None


def find_image(registry: Registry, txn: ReadTxn, name: RepositoryName, wanted: ImageId) -> FoundImage:
    """Return the image; who asks was allowed to before.

    Raises:
        NameUnknown: there is no such repository.
        ManifestUnknown: there is no such image, or the tag is on another one.
    """
    meta = registry.store.meta
    row = repository(registry, txn, name)
    digest = wanted.digest
    if wanted.tag is not None:
        tagged = meta.tags.digest(txn, row.number, wanted.tag)
        digest = tagged if digest in {None, tagged} else None
    state = None if digest is None else meta.images.get(txn, row.number, digest)
    if digest is None or state is None or state.shown is None:
        shown = ", ".join(
            f"{key}:'{'null' if value is None else value}'"
            for key, value in (("imageDigest", wanted.digest), ("imageTag", wanted.tag))
        )
        raise ManifestUnknown(
            f"The image with imageId {{{shown}}} does not exist within the repository with name '{told(name)}' "
            f"in the registry with id '{registry.name.account}'"
        )
    return FoundImage(row, digest, state.shown)
