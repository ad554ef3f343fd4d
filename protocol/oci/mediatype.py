"""Media types: which ones are manifests, and what text may be one at all.

Source: RFC 6838, 4.2 (the grammar); OCI image-spec 1.1, media-types.md; Docker image manifest version 2, schema 2.
"""

import re

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"  # Of 1.1's release candidates; ORAS 1.0 pushes it.
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

IMAGES = frozenset((OCI_IMAGE, DOCKER_IMAGE))
INDEXES = frozenset((OCI_INDEX, DOCKER_LIST))
KNOWN = IMAGES | INDEXES | {OCI_ARTIFACT}

DOCKER_SCHEMA_1 = frozenset(
    (
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    )
)

FOREIGN_LAYERS = frozenset(
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    )
)
"""Layers that the licence keeps away from registries: where they name a URL, clients fetch them from there."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)
_WITH_PARAMETERS = re.compile(rf"{_NAME}/{_NAME}(?: ?;[ -~]{{0,200}})?", re.ASCII)


def is_media_type(text: str) -> bool:
    """Whether *text* is ``type/subtype`` and nothing more."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def is_content_type(text: str) -> bool:
    """Whether *text* is ``type/subtype``, perhaps with parameters, as some tools describe layers."""
    return _WITH_PARAMETERS.fullmatch(text) is not None


def can_be_manifest(text: str) -> bool:
    """Whether what is served under *text* is harmless in a browser: ``text/html`` as a manifest is a script."""
    return text.lower().startswith("application/") and is_media_type(text)


def without_parameters(header: str) -> str:
    """Return the media type of a Content-Type field in lower case; not checked."""
    return header.partition(";")[0].strip(" \t").lower()
