"""What nodes ask each other for images and blobs, each a msgpack array: the bodies of calls and of their replies.

    method       request           reply
    announce     Announcement      Acknowledgement, when it is done or will not be
    manifest     WhichManifest     ManifestSent
    map          WhichBlob         MapSent
    chunks       ChunksAsked       the bytes of the blob from that chunk on, all or of so many, and nothing else

``decode`` checks every name and digest in them.

Source: peers.md 7, 8.
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from protocol.errors import PeerFault, Refusal
from protocol.oci.digest import Digest, digest
from protocol.oci.names import RepositoryName, TagName, repository_name, tag_name
from protocol.oci.reference import reference
from protocol.sync.entries import Blob
from protocol.sync.vector import Count, NodeId

ANNOUNCE, MANIFEST, MAP, CHUNKS = "announce", "manifest", "map", "chunks"

MAX_TAGS = 1000  # Tags of one image that travel: ECR's own limit.
MAX_BLOBS = 8192  # Blobs or children that one manifest names.
MAX_MANIFEST_SENT = 64 * 2**20  # Bytes of the largest manifest any node can be set to take, and then some.
MAX_MAP = 2 * 2**20  # Bytes: 52 000 chunks, which is ECR's largest layer.
MAX_ACKNOWLEDGEMENT = 4096  # Bytes.
INLINE_MANIFEST = 32 * 1024  # Bytes of a manifest that travels in its announcement.

_Text = Annotated[str, Meta(max_length=512)]
_Registry = Annotated[str, Meta(max_length=64)]


class TagSent(msgspec.Struct, frozen=True, array_like=True):
    """A tag of the image, as it is at its source."""

    tag: TagName
    hlc: Count
    node: NodeId
    generation: Count
    frozen: bool
    by: Annotated[str, Meta(max_length=2048)]


class Announcement(msgspec.Struct, frozen=True, array_like=True):
    """A rule of *source* sends this image to the receiver."""

    source: _Registry
    repository: RepositoryName
    digest: Digest
    hlc: Count  # Of its latest push.
    media_type: _Text
    tags: Annotated[tuple[TagSent, ...], Meta(max_length=MAX_TAGS)]
    path: Annotated[tuple[_Registry, ...], Meta(max_length=16)]  # Registries that it came through, the source first.
    manifest: bytes  # Empty where it is larger than ``INLINE_MANIFEST``: then it is asked for.
    blobs: Annotated[tuple[Blob, ...], Meta(max_length=MAX_BLOBS)] = ()


class Acknowledgement(msgspec.Struct, frozen=True, array_like=True):
    """What became of an announcement."""

    outcome: Literal["done", "failed", "later"]
    failure: _Text = ""  # ECR's failure code.
    reason: _Text = ""  # For people.


class WhichManifest(msgspec.Struct, frozen=True, array_like=True):
    """A manifest of a repository, by digest or tag."""

    repository: RepositoryName
    reference: _Text


class ManifestSent(msgspec.Struct, frozen=True, array_like=True):
    """A manifest, and the roots of the blobs that it names and its registry has."""

    digest: Digest
    media_type: _Text
    data: bytes
    blobs: Annotated[tuple[Blob, ...], Meta(max_length=MAX_BLOBS)]
    hlc: Count  # Of its latest push.


class WhichBlob(msgspec.Struct, frozen=True, array_like=True):
    """A blob of a repository."""

    repository: RepositoryName
    digest: Digest


class MapSent(msgspec.Struct, frozen=True, array_like=True):
    """A blob's size, and the hash of each of its chunks."""

    size: Count
    hashes: Annotated[bytes, Meta(max_length=MAX_MAP)]


class ChunksAsked(msgspec.Struct, frozen=True, array_like=True):
    """The chunks of a blob from *first* on."""

    repository: RepositoryName
    digest: Digest
    first: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    count: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0  # How many; 0: to the end, which older nodes send in any case.


Body = TypeVar("Body", bound=msgspec.Struct)

encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes, kind: type[Body]) -> Body:
    """Return *data* as a *kind*, every name and digest in it checked, or raise ``PeerFault``."""
    try:
        body = msgspec.msgpack.decode(data, type=kind)
        _check(body)
    except (msgspec.DecodeError, Refusal, RecursionError, UnicodeError) as error:
        raise PeerFault(f"not a {kind.__name__}: {str(error)[:128]}") from error
    return body


def _check(body: msgspec.Struct) -> None:
    match body:
        case Announcement():
            repository_name(body.repository)
            _check_digests(body.digest, body.blobs)
            for one in body.tags:
                tag_name(one.tag)
        case ManifestSent():
            _check_digests(body.digest, body.blobs)
        case WhichManifest():
            repository_name(body.repository)
            reference(body.reference)
        case WhichBlob() | ChunksAsked():
            repository_name(body.repository)
            digest(body.digest)
        case _:
            pass


def _check_digests(own: Digest, blobs: tuple[Blob, ...]) -> None:
    digest(own)
    for blob in blobs:
        digest(blob.digest)
