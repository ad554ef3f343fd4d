"""A manifest means one thing to every reader, or is refused with what is wrong and where."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.errors import ManifestInvalid
from protocol.oci.digest import Digest, digest_of
from protocol.oci.manifest import MAX_NAMED, Descriptor, index_of, read_manifest, referrer_descriptor
from protocol.oci.mediatype import DOCKER_IMAGE, DOCKER_LIST, OCI_ARTIFACT, OCI_IMAGE, OCI_INDEX

EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest_of(b"layer"), "size": 5}
CHILD = {"mediaType": OCI_IMAGE, "digest": digest_of(b"child"), "size": 5}
PLATFORM = {"architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "1", "os.features": ["x"]}
URLS = ["https://example.com/layer"]
FOREIGN = {**LAYER, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "urls": URLS}

IMAGE: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": EMPTY, "layers": [LAYER]}
INDEX: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{**CHILD, "platform": PLATFORM}]}


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def image(**fields: object) -> bytes:
    return encoded({**IMAGE, **fields})


def layer(**fields: object) -> bytes:
    return image(layers=[{**LAYER, **fields}])


def without(document: dict[str, Any], *names: str) -> bytes:
    return encoded({name: value for name, value in document.items() if name not in names})


def test_an_image() -> None:
    manifest = read_manifest(image(subject=CHILD, annotations={"a": "b"}), OCI_IMAGE)
    assert (manifest.media_type, manifest.is_index, manifest.children) == (OCI_IMAGE, False, ())
    assert manifest.artifact_type == EMPTY["mediaType"]
    assert manifest.config == Descriptor(**snake(EMPTY))
    assert manifest.layers == (Descriptor(**snake(LAYER)),)
    assert manifest.blobs == (manifest.config, *manifest.layers)
    assert manifest.subject == Descriptor(**snake(CHILD))
    assert manifest.annotations == {"a": "b"}


def snake(descriptor: dict[str, Any]) -> dict[str, Any]:
    return {"media_type": descriptor["mediaType"], "digest": descriptor["digest"], "size": descriptor["size"]}


def test_an_index() -> None:
    manifest = read_manifest(encoded(INDEX), OCI_INDEX)
    assert (manifest.is_index, manifest.artifact_type, manifest.config, manifest.blobs) == (True, None, None, ())
    [child] = manifest.children
    assert child.platform is not None
    assert (child.platform.os, child.platform.architecture, child.platform.variant) == ("linux", "arm64", "v8")
    assert child.platform.os_version == "1"


@pytest.mark.parametrize(
    ("data", "content_type", "why"),
    [
        (image(mediaType=DOCKER_IMAGE), DOCKER_IMAGE, "Docker's image"),
        (encoded({**INDEX, "mediaType": DOCKER_LIST}), DOCKER_LIST, "Docker's list"),
        (without(IMAGE, "mediaType"), OCI_IMAGE, "the field is optional in OCI"),
        (image(), None, "the field alone"),
        (image(), "", "an empty Content-Type is none"),
        (without(IMAGE, "mediaType"), None, "told by its fields: an image"),
        (without(INDEX, "mediaType"), None, "told by its fields: an index"),
        (image(), f"{OCI_IMAGE}; charset=utf-8", "parameters"),
        (image(), OCI_IMAGE.upper(), "case does not matter in a Content-Type"),
        (image(layers=[]), OCI_IMAGE, "no layers"),
        (image(layers=None), OCI_IMAGE, "no layers, as Go writes a nil slice"),
        (encoded({**INDEX, "manifests": []}), OCI_INDEX, "no children"),
        (image(subject=None, annotations=None), OCI_IMAGE, "null is absent"),
        (image(artifactType="application/vnd.example+json"), OCI_IMAGE, "an artifact"),
        (image(artifactType=""), OCI_IMAGE, "an artifact type that is empty is none"),
        (encoded({**INDEX, "subject": CHILD, "artifactType": "a/b"}), OCI_INDEX, "an index with a subject"),
        (encoded({**INDEX, "manifests": [{**CHILD, "mediaType": OCI_INDEX}]}), OCI_INDEX, "an index of indexes"),
        (image(**{"org.X7": "unknown"}), OCI_IMAGE, "an unknown field"),
        (image(x=1.5, y=[-0.0, {"Layers": None}]), OCI_IMAGE, "any numbers and names where nobody reads them"),
        (image(x="_").replace(b'"_"', b"[" * 31 + b"]" * 31), OCI_IMAGE, "as deep as it may be"),
        (image(annotations={"Size": "1", "digest": "x"}), OCI_IMAGE, "names of annotations are free"),
        (image(annotations={f"a{n}": "A" * 1000 for n in range(390)}), OCI_IMAGE, "large annotations"),
        (layer(data="bGF5ZXI="), OCI_IMAGE, "embedded content"),
        (layer(digest=digest_of(b"layer", "sha512")), OCI_IMAGE, "sha512"),
        (layer(digest=digest_of(b"layer", "blake3")), OCI_IMAGE, "blake3"),
        (layer(size=2**63 - 1), OCI_IMAGE, "the largest size"),
        (layer(mediaType="text/markdown; charset=utf-8"), OCI_IMAGE, "as ORAS describes files"),
        (encoded({"mediaType": OCI_ARTIFACT, "blobs": [LAYER], "subject": CHILD}), OCI_ARTIFACT, "as ORAS 1.0"),
        (b'{"anything": 1e3}', "application/vnd.example.thing+json", "an opaque type"),
        (image(annotations={"a": "\U0001f600"}), OCI_IMAGE, "a whole surrogate pair"),
    ],
)  # fmt: skip
def test_is_taken(data: bytes, content_type: str | None, why: str) -> None:
    read_manifest(data, content_type)


def test_as_many_as_may_be_named_are_not_too_much_to_read() -> None:
    children = [{**CHILD, "platform": PLATFORM, "annotations": {"a": "b", "c": "d:e"}}] * MAX_NAMED
    assert len(read_manifest(encoded({**INDEX, "manifests": children}), OCI_INDEX).children) == MAX_NAMED


def test_an_opaque_type_is_kept_as_it_is() -> None:
    manifest = read_manifest(b'{"layers": 7}', "Application/vnd.example.thing; x=y")
    assert manifest.media_type == "application/vnd.example.thing"
    assert (manifest.blobs, manifest.children, manifest.subject) == ((), (), None)


@pytest.mark.parametrize(
    ("data", "content_type", "where"),
    [
        # Two readers, two kinds: CVE-2021-41190.
        (image(manifests=[CHILD]), OCI_IMAGE, "not both"),
        (image(manifests=[]), OCI_IMAGE, "not both"),
        (encoded({**INDEX, "layers": [LAYER]}), OCI_INDEX, "not both"),
        (encoded({**INDEX, "config": EMPTY}), None, "not both"),
        (encoded({**INDEX, "Layers": [LAYER]}), OCI_INDEX, "'layers'"),
        (encoded({**INDEX, "layer\u017f": [LAYER]}), OCI_INDEX, "'layers'"),
        (b'{"manifests": [], "layers": []}', "application/vnd.example", "not both"),
        (encoded({**INDEX, "fsLayers": []}), OCI_INDEX, "schema 1"),
        (b'{"schemaVersion": 1, "name": "x"}', "application/json", "schema 1"),
        (b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        (image(), OCI_INDEX, "Content-Type"),
        (image(), f"{OCI_IMAGE}, {OCI_INDEX}", "Content-Type"),
        (without(IMAGE, "mediaType"), f"{OCI_IMAGE}, {OCI_IMAGE}", "media type"),
        (without(IMAGE, "mediaType"), OCI_INDEX, "manifests"),
        (image(mediaType=OCI_IMAGE.upper()), OCI_IMAGE, "has to be written"),
        (image(mediaType=7), OCI_IMAGE, "$.mediaType"),
        (encoded({"mediaType": OCI_ARTIFACT, "layers": [LAYER]}), OCI_ARTIFACT, "$.blobs"),
        (without(IMAGE, "mediaType", "layers"), None, "neither"),
        # What a browser would run or a header would break at.
        (image(mediaType="text/html"), "text/html", "text/html"),
        (without(IMAGE, "mediaType"), "image/svg+xml", "svg"),
        (image(mediaType="application/x\r\nx: y"), None, "media type"),
        # Names that two readers read differently.
        (b'{"layers": [], "layers": []}', OCI_IMAGE, "twice"),
        (b'{"layers": [], "Layers": []}', OCI_IMAGE, "twice"),
        (b'{"x": [{"\xe2\x84\xaaey": 1, "key": 2}]}', OCI_IMAGE, "twice"),
        (b'{"x": [{"\xc5\xbfize": 1, "size": 2}]}', OCI_IMAGE, "twice"),
        (layer(Size=5), OCI_IMAGE, "twice"),
        (layer(URLs=[]), OCI_IMAGE, "$.layers[0]"),
        (image(Subject=CHILD), OCI_IMAGE, "'subject'"),
        (encoded({**INDEX, "manifests": [{**CHILD, "platform": {"OS": ""}}]}), OCI_INDEX, "$.manifests[0].platform"),
        # Encodings.
        (b"\xef\xbb\xbf" + image(), OCI_IMAGE, "at byte 0"),
        (image().decode().encode("utf-16"), OCI_IMAGE, "UTF-8"),
        (image(annotations={"a": "é"}).replace(b"\\u00e9", b"\xe9"), OCI_IMAGE, "UTF-8 at byte"),
        (image(annotations={"a": "\ud800"}), OCI_IMAGE, "surrogate"),
        (image(annotations={"\udfff": "a"}), OCI_IMAGE, "surrogate"),
        (b"", OCI_IMAGE, "JSON"),
        (image() + b"{}", OCI_IMAGE, "JSON"),
        (b"[]", OCI_IMAGE, "object"),
        (b"[" * 30_000, OCI_IMAGE, "deep"),
        (b"[" * 100_000, OCI_IMAGE, "lists"),
        (image(x="_").replace(b'"_"', b"[" * 32 + b"]" * 32), OCI_IMAGE, "deep"),
        # Numbers.
        (layer(size=float("nan")), OCI_IMAGE, "NaN"),
        (layer(size=float("inf")), OCI_IMAGE, "Infinity"),
        (layer(size=5.0), OCI_IMAGE, "$.layers[0].size"),
        (layer(size=0).replace(b'"size": 0', b'"size": -0'), OCI_IMAGE, "$.layers[0].size"),
        (layer(size=0).replace(b'"size": 0', b'"size": 1e3'), OCI_IMAGE, "$.layers[0].size"),
        (layer(size=0).replace(b'"size": 0', b'"size": 05'), OCI_IMAGE, "JSON"),
        (layer(size=0).replace(b'"size": 0', b'"size": ' + b"9" * 5000), OCI_IMAGE, "digits"),
        (image(x=10**20), OCI_IMAGE, "digits"),
        (layer(size=-1), OCI_IMAGE, "$.layers[0].size"),
        (layer(size=2**63), OCI_IMAGE, "$.layers[0].size"),
        (layer(size="5"), OCI_IMAGE, "$.layers[0].size"),
        (layer(size=True), OCI_IMAGE, "$.layers[0].size"),
        (image(schemaVersion=2.0), OCI_IMAGE, "$.schemaVersion"),
        (image(schemaVersion=3), OCI_IMAGE, "schemaVersion"),
        # Fields.
        (without(IMAGE, "schemaVersion"), OCI_IMAGE, "schemaVersion"),
        (without(IMAGE, "config"), OCI_IMAGE, "config"),
        (without(IMAGE, "layers"), OCI_IMAGE, "layers"),
        (without(INDEX, "manifests"), OCI_INDEX, "manifests"),
        (image(layers={}), OCI_IMAGE, "$.layers"),
        (image(layers=["x"]), OCI_IMAGE, "$.layers[0]"),
        (image(annotations={"a": 1}), OCI_IMAGE, "$.annotations"),
        (image(artifactType="no type"), OCI_IMAGE, "$.artifactType"),
        (layer(digest="sha256:baddigeststring"), OCI_IMAGE, "$.layers[0]"),
        (layer(digest=digest_of(b"").upper()), OCI_IMAGE, "$.layers[0]"),
        (layer(digest="md5:" + "0" * 32), OCI_IMAGE, "$.layers[0]"),
        (layer(mediaType="text"), OCI_IMAGE, "$.layers[0]"),
        (image(layers=[LAYER, {**LAYER, "size": 6}]), OCI_IMAGE, "two sizes"),
        (image(layers=[LAYER] * MAX_NAMED), OCI_IMAGE, "more than"),
        (image(x="_").replace(b'"_"', b"[" + b"[]," * 200_000 + b"0]"), OCI_IMAGE, "names and values"),
        (image(x="_").replace(b'"_"', b"[" + b'"",' * 300_000 + b"0]"), OCI_IMAGE, "names and values"),
    ],
)  # fmt: skip
def test_is_refused(data: bytes, content_type: str | None, where: str) -> None:
    with pytest.raises(ManifestInvalid) as refusal:
        read_manifest(data, content_type)
    assert where in str(refusal.value)


@given(
    data=st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(encoded), known=st.booleans()
)
@example(data=b'{"schemaVersion": 2, "manifests": null}', known=False)
def test_any_bytes_give_a_manifest_or_a_refusal(data: bytes, known: bool) -> None:
    with suppress(ManifestInvalid):
        read_manifest(data, OCI_IMAGE if known else None)


def test_a_foreign_layer_need_not_be_here_unless_it_is_named_as_an_ordinary_one_too() -> None:
    manifest = read_manifest(image(layers=[FOREIGN]), OCI_IMAGE)
    assert [one.is_foreign for one in manifest.blobs] == [False, True]
    manifest = read_manifest(image(layers=[FOREIGN, LAYER]), OCI_IMAGE)
    assert [one.is_foreign for one in manifest.blobs] == [False, False]
    for ordinary in ({**LAYER, "urls": URLS}, {**FOREIGN, "urls": []}):
        manifest = read_manifest(image(layers=[ordinary]), OCI_IMAGE)
        assert not manifest.layers[0].is_foreign


def test_a_blob_is_listed_once() -> None:
    manifest = read_manifest(image(layers=[EMPTY, LAYER, LAYER]), OCI_IMAGE)
    assert [one.digest for one in manifest.blobs] == [EMPTY["digest"], LAYER["digest"]]


def test_referrers_are_an_index_that_can_be_read() -> None:
    data = image(subject=CHILD, artifactType="application/vnd.example", annotations={"a": "b"})
    listed = referrer_descriptor(read_manifest(data, OCI_IMAGE), digest_of(data), len(data))
    assert json.loads(index_of([listed])) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_IMAGE,
                "digest": digest_of(data),
                "size": len(data),
                "artifactType": "application/vnd.example",
                "annotations": {"a": "b"},
            }
        ],
    }
    assert read_manifest(index_of([listed]), OCI_INDEX).children == (listed,)
    assert json.loads(index_of([]))["manifests"] == []


def test_a_descriptor_cannot_be_made_of_something_else() -> None:
    with pytest.raises(ValueError, match="not a digest"):
        Descriptor("a/b", Digest("x"), 0)
