"""Manifests and indexes, read strictly once, at PUT; what is stored and served are the bytes that came.

Two readers may choose what to see in a manifest by different rules: Content-Type, the field ``mediaType``, or the
fields that are there; what is scanned as one thing then runs as another (CVE-2021-41190). So all three have to agree
here, and ``document`` sees to it that names and numbers mean one thing.

Images and indexes, OCI's and Docker's, are understood: what they name is known and can be required. Any other
``application/...`` type is kept as it is, without a look at what it might name. Docker's schema 1 is refused: its
digest is not that of its bytes.

Source: OCI image-spec 1.1, manifest.md, image-index.md, descriptor.md; distribution-spec 1.1, "Listing Referrers".
"""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from protocol.errors import DigestInvalid, ManifestInvalid
from protocol.oci.digest import Digest, digest
from protocol.oci.document import Document, check_names, names, read_object
from protocol.oci.mediatype import (
    DOCKER_SCHEMA_1,
    FOREIGN_LAYERS,
    IMAGES,
    INDEXES,
    KNOWN,
    OCI_ARTIFACT,
    OCI_IMAGE,
    OCI_INDEX,
    can_be_manifest,
    is_content_type,
    without_parameters,
)

MAX_NAMED = 8192  # Objects that one manifest names: bounds the transaction that links them.
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Platform(msgspec.Struct, frozen=True, omit_defaults=True, rename={"os_version": "os.version"}):
    """What a child of an index runs on; ``""`` where it is not said."""

    architecture: str = ""
    os: str = ""
    os_version: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """How a manifest names an object. As JSON it is OCI's own; fields that are not here are not kept."""

    media_type: str
    digest: Digest
    size: _Size
    artifact_type: str | None = None
    platform: Platform | None = None
    annotations: dict[str, str] | None = None
    urls: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the text, also when decoding: msgspec adds the place to a ``ValueError``."""
        if not is_content_type(self.media_type):
            raise ValueError(f"not a media type: {self.media_type[:80]!r}")
        try:
            digest(self.digest)
        except DigestInvalid as error:
            raise ValueError(str(error)) from None

    @property
    def is_foreign(self) -> bool:
        """Whether clients fetch it from a URL of its own, so that it need not be here."""
        return bool(self.urls) and self.media_type in FOREIGN_LAYERS


class Manifest(msgspec.Struct, frozen=True):
    """What a manifest says, as far as a registry has to know."""

    media_type: str  # As it is to be served: harmless in a browser.
    artifact_type: str | None = None  # Its own, or the config's media type where an image has none.
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()  # The manifests that an index names.
    subject: Descriptor | None = None  # Refers to it; need not be here.
    annotations: dict[str, str] = {}

    @property
    def is_index(self) -> bool:
        """Whether it names manifests, perhaps none."""
        return self.media_type in INDEXES

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers in order, each digest once; also the foreign ones."""
        first: dict[Digest, Descriptor] = {}
        for one in self.layers if self.config is None else (self.config, *self.layers):
            if one.digest not in first or first[one.digest].is_foreign:
                first[one.digest] = one
        return tuple(first.values())


class _Image(msgspec.Struct, rename="camel"):
    """Image manifests; ``null`` for no layers is what Go writes for a nil slice."""

    schema_version: Literal[2]
    config: Descriptor
    layers: tuple[Descriptor, ...] | None
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class _Index(msgspec.Struct, rename="camel"):
    schema_version: Literal[2]
    manifests: tuple[Descriptor, ...] | None
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class _Artifact(msgspec.Struct, rename="camel"):
    blobs: tuple[Descriptor, ...] | None = None
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


_TOP = names(
    "schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations", "fsLayers",
    "blobs",
)  # fmt: skip
_DESCRIPTOR = names("mediaType", "digest", "size", "artifactType", "platform", "annotations", "urls", "data")
_PLATFORM = names("architecture", "os", "os.version", "os.features", "variant")


def read_manifest(data: bytes, content_type: str | None) -> Manifest:
    """Read *data*, which came with *content_type*, or raise ``ManifestInvalid``, saying what and where.

    Without a Content-Type the field ``mediaType`` decides, and without that the fields that are there. Cost: linear,
    some 55 microseconds for 2 KB, 0.4 s for what is made to be slow: large ones belong in a thread.
    """
    document = read_object(data, ManifestInvalid)
    media_type = _media_type(document, content_type)
    _check_shape(document, media_type)
    try:
        if media_type in IMAGES:
            manifest = _image(media_type, msgspec.convert(document, _Image))
        elif media_type in INDEXES:
            manifest = _index(media_type, msgspec.convert(document, _Index))
        elif media_type == OCI_ARTIFACT:
            manifest = _artifact(media_type, msgspec.convert(document, _Artifact))
        else:
            return Manifest(media_type)
    except msgspec.ValidationError as error:
        raise ManifestInvalid(str(error)) from None
    _check_named(manifest)
    return manifest


def referrer_descriptor(manifest: Manifest, digest: Digest, size: int) -> Descriptor:
    """Return how the referrers API lists *manifest*, whose bytes have *digest* and *size*."""
    annotations = manifest.annotations or None
    return Descriptor(manifest.media_type, digest, size, manifest.artifact_type, annotations=annotations)


def index_of(descriptors: Iterable[Descriptor]) -> bytes:
    """Return an OCI image index of *descriptors*."""
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(descriptors)})


def _media_type(document: Document, content_type: str | None) -> str:
    header = without_parameters(content_type or "")
    field = document.get("mediaType", "")
    if not isinstance(field, str):
        raise ManifestInvalid("not a string at `$.mediaType`")
    if header and field and field.lower() != header:
        raise ManifestInvalid(f"`$.mediaType` is {field[:80]!r}, but Content-Type is {header[:80]!r}")
    media_type = field or header or _guess(document)
    if media_type.lower() in DOCKER_SCHEMA_1 or "fsLayers" in document or document.get("schemaVersion") == 1:
        raise ManifestInvalid("Docker image manifests of schema 1 are not taken; push it with a newer client")
    if media_type.lower() in KNOWN and media_type not in KNOWN:
        raise ManifestInvalid(f"`$.mediaType` has to be written {media_type.lower()!r}")
    if not can_be_manifest(media_type):
        raise ManifestInvalid(f"not a media type that a manifest can have: {media_type[:80]!r}")
    return media_type


def _guess(document: Document) -> str:
    if "manifests" in document:
        return OCI_INDEX
    if "config" in document and "layers" in document:
        return OCI_IMAGE
    raise ManifestInvalid("neither a Content-Type nor `$.mediaType`, and no fields that tell what it is")


def _check_shape(document: Document, media_type: str) -> None:
    """Refuse what another reader could take for another kind of manifest, or read other values from."""
    check_names(document, _TOP, "$", ManifestInvalid)
    if "manifests" in document and not document.keys().isdisjoint(("config", "layers")):
        raise ManifestInvalid("`$.manifests` beside `$.config` or `$.layers`: an index or an image, not both")
    if media_type == OCI_ARTIFACT and not document.keys().isdisjoint(("config", "layers", "manifests")):
        raise ManifestInvalid("`$.config`, `$.layers` or `$.manifests` in an artifact, which names `$.blobs`")
    if media_type in KNOWN:
        for name in ("config", "subject"):
            _check_descriptor(document.get(name), f"$.{name}")
        for name in ("layers", "manifests", "blobs"):
            many = document.get(name)
            for at, one in enumerate(many if isinstance(many, list) else ()):
                _check_descriptor(one, f"$.{name}[{at}]")


def _check_descriptor(value: object, where: str) -> None:
    if isinstance(value, dict):
        check_names(value, _DESCRIPTOR, where, ManifestInvalid)
        if isinstance(value.get("platform"), dict):
            check_names(value["platform"], _PLATFORM, f"{where}.platform", ManifestInvalid)


def _image(media_type: str, image: _Image) -> Manifest:
    return Manifest(
        media_type,
        image.artifact_type or image.config.media_type,
        config=image.config,
        layers=image.layers or (),
        subject=image.subject,
        annotations=image.annotations or {},
    )


def _index(media_type: str, index: _Index) -> Manifest:
    return Manifest(
        media_type,
        index.artifact_type or None,
        children=index.manifests or (),
        subject=index.subject,
        annotations=index.annotations or {},
    )


def _artifact(media_type: str, artifact: _Artifact) -> Manifest:
    return Manifest(
        media_type,
        artifact.artifact_type or None,
        layers=artifact.blobs or (),
        subject=artifact.subject,
        annotations=artifact.annotations or {},
    )


def _check_named(manifest: Manifest) -> None:
    if manifest.artifact_type is not None and not is_content_type(manifest.artifact_type):
        raise ManifestInvalid(f"not a media type at `$.artifactType`: {manifest.artifact_type[:80]!r}")
    named = [*manifest.layers, *manifest.children]
    named += [one for one in (manifest.config, manifest.subject) if one is not None]
    if len(named) > MAX_NAMED:
        raise ManifestInvalid(f"{len(named)} objects are named, more than {MAX_NAMED}")
    sizes: dict[Digest, int] = {}
    for one in named:
        if sizes.setdefault(one.digest, one.size) != one.size:
            raise ManifestInvalid(f"{one.digest} is named with two sizes, {sizes[one.digest]} and {one.size}")
