"""Images made of nothing: deterministic layers, config, manifest and index, and the OCI layout that holds them.

The same arguments give the same bytes on every machine: tar entries without times and owners, gzip without a time,
content drawn from a seeded generator (so that it does not compress, and two layers never share a chunk by accident).
No root, no base image, no network. ``skopeo copy --all oci:DIR:TAG docker://...`` takes the layout as it is.

Source: OCI image-spec 1.1, "Image Layout".
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes with a media type, named by their digest."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        """``sha256:`` and 64 hexadecimal digits."""
        return digest(self.data)

    def descriptor(self, **more: object) -> dict[str, object]:
        """Return the descriptor of these bytes."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data), **more}


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest and all that it names."""

    architecture: str
    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The config and the layers: what has to be pushed before the manifest."""
        return (self.config, *self.layers)


def digest(data: bytes) -> str:
    """Return the sha256 digest of *data*, as OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def make_image(seed: int, *, layers: Sequence[int] = (2000, 3000), architecture: str = "amd64") -> Image:
    """Return an image with a layer of about each size of *layers*, in bytes; other seeds give other digests."""
    random = Random(f"{seed} {architecture}")
    trees = [{f"data/{number}.bin": random.randbytes(size)} for number, size in enumerate(layers)]
    return image_of(trees, architecture=architecture)


def image_of(
    trees: Iterable[Mapping[str, bytes]],
    *,
    architecture: str = "amd64",
    command: Sequence[str] = ("/bin/true",),
) -> Image:
    """Return an image with one layer for each of *trees*: path -> content of an executable file."""
    tars = [_tar(tree) for tree in trees]
    layers = tuple(Blob(LAYER, gzip.compress(tar, 1, mtime=0)) for tar in tars)
    config = Blob(
        CONFIG,
        _json(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": list(command)},
                "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in tars]},
                "history": [{"created_by": "layer"} for _ in tars],
            }
        ),
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    return Image(architecture, Blob(MANIFEST, _json(manifest)), config, layers)


def make_index(images: Iterable[Image]) -> Blob:
    """Return an index over *images*, one for each platform."""
    manifests = [
        image.manifest.descriptor(platform={"architecture": image.architecture, "os": "linux"}) for image in images
    ]
    return Blob(INDEX, _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))


def write_layout(folder: Path, tag: str, *images: Image) -> Blob:
    """Write an OCI layout that holds *images* under *tag*, several as an index; return what *tag* names."""
    top = images[0].manifest if len(images) == 1 else make_index(images)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    for blob in [top, *(part for image in images for part in (image.manifest, *image.blobs))]:
        (blobs / blob.digest.removeprefix("sha256:")).write_bytes(blob.data)
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    named = top.descriptor(annotations={"org.opencontainers.image.ref.name": tag})
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [named]}))
    return top


def read_layout(folder: Path) -> dict[str, bytes]:
    """Return digest -> bytes for everything in a layout, checked; a file under a false name is an error."""
    found = {f"sha256:{path.name}": path.read_bytes() for path in (folder / "blobs/sha256").iterdir()}
    for name, data in found.items():
        assert digest(data) == name
    return found


def _tar(tree: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in sorted({str(parent) for path in tree for parent in Path(path).parents} - {"."}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path in sorted(tree):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(tree[path]), 0o755
            tar.addfile(entry, io.BytesIO(tree[path]))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
