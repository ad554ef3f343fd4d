"""The kinds of change that a record can hold, as ``[kind, key, value]``.

Keys of images and tags carry the repository's name and the life in which they were written, so that any of them
can be merged before the repository's own entry has come. A kind that this version does not know is ``Unknown``:
kept, handed on, and merged once an upgrade knows it. Fields are told apart by place: new ones go last, with a
default; a field never changes its meaning.
"""

import re
from typing import Annotated, TypeAlias

import msgspec
from blake3 import blake3
from msgspec import Meta

from protocol.errors import ParameterInvalid
from protocol.oci.digest import Digest, digest
from protocol.oci.names import RepositoryName, TagName, repository_name, tag_name
from protocol.sync.vector import Count, Dead, Dot, Mark, NodeId

Root = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""BLAKE3 root of a chunk map."""

Setting: TypeAlias = bool | int | str | None
"""The value of one field of a repository's settings; documents are JSON text."""

_GROUP = re.compile(r"[a-z][a-z-]{0,63}", re.ASCII)
_CREATION_CONTEXT = "entrepot 2026 creation id v1"


class RepositoryKey(msgspec.Struct, frozen=True, array_like=True):
    """Which repository, through all its lives."""

    repository: RepositoryName


class RepositoryValue(msgspec.Struct, frozen=True, array_like=True):
    """The repository exists in life *life*; of its settings, those that are set here, and no others."""

    life: Count
    settings: dict[str, Setting] = {}


class ImageKey(msgspec.Struct, frozen=True, array_like=True):
    """A manifest, in a repository that was in life *life* to the writer."""

    repository: RepositoryName
    life: Count
    digest: Digest


class Blob(msgspec.Struct, frozen=True, array_like=True):
    """A blob that a manifest names."""

    digest: Digest
    size: Count
    root: Root


class ImageValue(msgspec.Struct, frozen=True, array_like=True):
    """What was pushed: enough to list the image, and to fetch and verify all of it from any peer."""

    pushed: Count  # Milliseconds since 1970.
    media_type: str
    size: Count  # Bytes of the manifest.
    root: Root  # Of the manifest.
    blobs: tuple[Blob, ...] = ()
    children: tuple[Digest, ...] = ()  # The manifests that an index names.
    subject: Digest | None = None
    artifact_type: str | None = None


class TagKey(msgspec.Struct, frozen=True, array_like=True):
    """A tag, in a repository that was in life *life* to the writer."""

    repository: RepositoryName
    life: Count
    tag: TagName


class TagValue(msgspec.Struct, frozen=True, array_like=True):
    """Where a tag points. A delete has no digest, and hlc to generation of the value that it deletes."""

    digest: Digest | None
    hlc: Count
    node: NodeId
    frozen: bool  # Immutable by the settings at its writer when it was written; never looked up again.
    generation: Count
    by: str  # ARN of the caller.
    seen: tuple[Dot, ...] = ()
    """The last record of each other writer that had moved this tag, as its writer knew it."""


class RegisterKey(msgspec.Struct, frozen=True, array_like=True):
    """A document, principal or key of the registry: what kind of thing, and which."""

    group: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(min_length=1, max_length=400)]
    """In UTF-8 400 bytes at most, without NUL."""


class RegisterValue(msgspec.Struct, frozen=True, array_like=True):
    """The fields that are set here, and no others; ``None`` takes one away."""

    fields: dict[str, Setting] = {}
    ended: bool = False  # For good.
    by: str = ""  # ARN of the caller.
    seen: tuple[Dot, ...] = ()
    """The last record of each writer that had set these fields, as its writer knew it."""


# The entries themselves.


class RepositoryPut(msgspec.Struct, frozen=True, array_like=True, tag="repository"):
    """A repository is created, or some of its settings change."""

    key: RepositoryKey
    value: RepositoryValue


class RepositoryDelete(msgspec.Struct, frozen=True, array_like=True, tag="repository-delete"):
    """A repository is deleted with all that its writer knew to be in it."""

    key: RepositoryKey
    value: Dead


class ImagePut(msgspec.Struct, frozen=True, array_like=True, tag="image"):
    """An image is pushed, or an index or tag that names it is put; the record's dot is added to it."""

    key: ImageKey
    value: ImageValue


class ImageDelete(msgspec.Struct, frozen=True, array_like=True, tag="image-delete"):
    """An image is deleted: the value names the dots that its writer saw, and pushes it did not see survive."""

    key: ImageKey
    value: tuple[Mark, ...]


class TagPut(msgspec.Struct, frozen=True, array_like=True, tag="tag"):
    """A tag is pointed at an image, or deleted."""

    key: TagKey
    value: TagValue


class RegisterPut(msgspec.Struct, frozen=True, array_like=True, tag="register"):
    """A document, principal or key is put, changed or ended."""

    key: RegisterKey
    value: RegisterValue


class Unknown(msgspec.Struct, frozen=True, array_like=True):
    """An entry of a kind or version that is not known here, as it came."""

    kind: str
    key: msgspec.Raw
    value: msgspec.Raw


OfRepository: TypeAlias = RepositoryPut | RepositoryDelete | ImagePut | ImageDelete | TagPut
Known: TypeAlias = OfRepository | RegisterPut
Entry: TypeAlias = Known | Unknown

KINDS = frozenset({"repository", "repository-delete", "image", "image-delete", "tag", "register"})
"""What ``Known`` can be; hello tells peers."""


def check_names(entry: Known) -> None:
    """Raise the ``Refusal`` of whatever name or digest in an entry from outside is not one."""
    if isinstance(entry, RegisterPut):
        register_name(entry.key.group, entry.key.name)
        return
    repository_name(entry.key.repository)
    match entry:
        case ImagePut(key, value):
            for one in (key.digest, *(blob.digest for blob in value.blobs), *value.children):
                digest(one)
            if value.subject is not None:
                digest(value.subject)
        case ImageDelete(key):
            digest(key.digest)
        case TagPut(key, value):
            tag_name(key.tag)
            if value.digest is not None:
                digest(value.digest)
        case RepositoryPut() | RepositoryDelete():
            pass


def register_name(group: str, name: str) -> RegisterKey:
    """Return the key of a register, or raise ``ParameterInvalid`` where it can be none."""
    if not _GROUP.fullmatch(group) or not name or len(name.encode("utf-8", "surrogatepass")) > 400 or "\0" in name:
        raise ParameterInvalid(f"not the name of a {group[:64]!r}: {name[:80]!r}")
    return RegisterKey(group, name)


def creation_id(account: str, region: str, name: RepositoryName, life: int) -> bytes:
    """Return the 32 bytes that name one life of a repository: who creates it apart creates the same one."""
    packed = f"{account}/{region}\0{name}\0".encode() + life.to_bytes(8, "big")
    return blake3(packed, derive_key_context=_CREATION_CONTEXT).digest()
