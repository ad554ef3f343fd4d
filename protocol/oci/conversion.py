"""An image manifest of Docker as one of OCI, and the other way: the same image, by other names.

Only the media types of the manifest, its config and its layers change, where each has a name on the other side. What
has none (an artifact, a layer that is encrypted or compressed in a way that Docker does not know) is not converted, nor
is what Docker has no field for. The result has another digest than the image, so it is for who asked by a tag.

Source: OCI image-spec 1.1, "Compatibility Matrix"; Docker image manifest version 2, schema 2; Amazon ECR user guide,
"Container image manifest format support in Amazon ECR".
"""

from collections.abc import Collection
from typing import Any

import msgspec

from protocol.oci.mediatype import DOCKER_IMAGE, OCI_IMAGE

_PAIRS = (
    (DOCKER_IMAGE, OCI_IMAGE),
    ("application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"),
    ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
    ),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ),
)
_TO_OCI = dict(_PAIRS)
_TO_DOCKER = {oci: docker for docker, oci in _PAIRS}
_ONLY_OCI = ("subject", "artifactType", "annotations")


class Converted(msgspec.Struct, frozen=True):
    """A manifest under another media type."""

    media_type: str
    data: bytes


def convert(data: bytes, media_type: str, accepted: Collection[str]) -> Converted | None:
    """Return the image manifest *data*, which is stored as *media_type*, as one of the *accepted* kinds.

    ``None`` where it is accepted as it is, or is none of the two kinds, or cannot be said in the other one.
    """
    if not accepted or media_type in accepted:
        return None
    if media_type == DOCKER_IMAGE and OCI_IMAGE in accepted:
        return _renamed(msgspec.json.decode(data), _TO_OCI, OCI_IMAGE)
    if media_type == OCI_IMAGE and DOCKER_IMAGE in accepted:
        document = msgspec.json.decode(data)
        return None if any(name in document for name in _ONLY_OCI) else _renamed(document, _TO_DOCKER, DOCKER_IMAGE)
    return None


def _renamed(document: dict[str, Any], names: dict[str, str], media_type: str) -> Converted | None:
    layers = document.get("layers") or []
    for one in (document["config"], *layers):
        name = names.get(one["mediaType"])
        if name is None:
            return None
        one["mediaType"] = name
    converted = {"schemaVersion": 2, "mediaType": media_type, "config": document["config"], "layers": layers}
    converted |= {name: value for name, value in document.items() if name not in converted}
    return Converted(media_type, msgspec.json.encode(converted))
