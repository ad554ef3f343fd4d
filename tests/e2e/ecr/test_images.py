"""Images of the private service, as boto3 sees them."""

import json
from typing import Any

import pytest

from tests.e2e.ecr.calls import ACCOUNT, Raw, refused
from tests.e2e.images import Blob, Image, digest, image_of, make_image, make_index
from tests.e2e.pushes import Client, expect

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
def repository(ecr: Any, name: str) -> str:
    ecr.create_repository(repositoryName=name)
    return name


def put(ecr: Any, oci: Client, repository: str, image: Image, *tags: str) -> str:
    """Push the blobs over OCI, the manifest by the API once for each tag; return its digest."""
    for blob in image.blobs:
        oci.put_blob(repository, blob)
    for tag in tags:
        ecr.put_image(repositoryName=repository, imageManifest=image.manifest.data.decode(), imageTag=tag)
    if not tags:
        ecr.put_image(repositoryName=repository, imageManifest=image.manifest.data.decode())
    return image.manifest.digest


def docker_image(seed: int) -> Image:
    """An image as docker pushes it."""
    image = make_image(seed)
    document = json.loads(image.manifest.data)
    document["mediaType"] = DOCKER
    document["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    for layer in document["layers"]:
        layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    return Image(image.architecture, Blob(DOCKER, json.dumps(document, indent=3).encode()), image.config, image.layers)


def test_an_image_is_put_and_got_byte_for_byte(ecr: Any, oci: Client, repository: str) -> None:
    image = docker_image(1)
    for blob in image.blobs:
        oci.put_blob(repository, blob)
    text = image.manifest.data.decode()
    answer = ecr.put_image(
        registryId=ACCOUNT,
        repositoryName=repository,
        imageManifest=text,
        imageManifestMediaType=DOCKER,
        imageTag="v1",
        imageDigest=image.manifest.digest,
    )["image"]
    expected = {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageId": {"imageDigest": image.manifest.digest, "imageTag": "v1"},
        "imageManifest": text,
        "imageManifestMediaType": DOCKER,
    }
    assert answer == expected
    got = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])
    assert got["images"] == [expected]
    assert got["failures"] == []
    assert oci.call("GET", f"/v2/{repository}/manifests/v1").body == image.manifest.data


def test_what_is_there_is_not_put_again_and_gets_another_tag(ecr: Any, oci: Client, repository: str) -> None:
    image = make_image(2)
    put(ecr, oci, repository, image, "a", "b")
    text = image.manifest.data.decode()
    error = refused(ecr.put_image, repositoryName=repository, imageManifest=text, imageTag="a")
    assert error["Code"] == "ImageAlreadyExistsException"
    assert error["Message"] == (
        f"Image with digest '{image.manifest.digest}' and tag 'a' already exists in the repository with name "
        f"'{repository}' in registry with id '{ACCOUNT}'"
    )
    assert (
        refused(ecr.put_image, repositoryName=repository, imageManifest=text)["Code"] == "ImageAlreadyExistsException"
    )
    [detail] = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert detail["imageTags"] == ["a", "b"]


def test_a_tag_moves_or_stays_as_the_repository_says(ecr: Any, oci: Client, repository: str) -> None:
    one, two = make_image(3), make_image(4)
    put(ecr, oci, repository, one, "v1", "dev-1")
    put(ecr, oci, repository, two, "v1")
    [got] = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["images"]
    assert got["imageId"]["imageDigest"] == two.manifest.digest
    ecr.put_image_tag_mutability(
        repositoryName=repository,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}],
    )
    text = one.manifest.data.decode()
    error = refused(ecr.put_image, repositoryName=repository, imageManifest=text, imageTag="v1")
    told = (
        f"The image tag 'v1' already exists in the '{repository}' repository and cannot be overwritten "
        "because the tag is immutable."
    )
    assert (error["Code"], error["Message"]) == ("ImageTagAlreadyExistsException", told)
    path = f"/v2/{repository}/manifests/"
    answer = expect(oci.call("PUT", f"{path}v1", one.manifest.data, Content_Type=OCI), 400)
    assert json.loads(answer.body)["errors"] == [{"code": "TAG_INVALID", "message": told}]
    expect(oci.call("PUT", f"{path}v1", two.manifest.data, Content_Type=OCI), 201)  # The same again is no move.
    put(ecr, oci, repository, two, "dev-1")


@pytest.mark.parametrize("text", ["{", "7", "[" * 9000, '{"schemaVersion":2,"mediaType":"text/html"}'])
def test_what_is_no_manifest_is_an_invalid_parameter(ecr: Any, repository: str, text: str) -> None:
    error = refused(ecr.put_image, repositoryName=repository, imageManifest=text)
    assert error["Code"] == "InvalidParameterException"
    assert error["Message"].startswith(
        "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
    )


def test_a_manifest_or_the_call_says_what_it_is(ecr: Any, oci: Client, repository: str) -> None:
    image = make_image(18)
    for blob in image.blobs:
        oci.put_blob(repository, blob)
    document = json.loads(image.manifest.data)
    del document["mediaType"]
    text = json.dumps(document)
    error = refused(ecr.put_image, repositoryName=repository, imageManifest=text, imageTag="v1")
    assert error["Code"] == "InvalidParameterException"
    assert "mediatype not provided" in error["Message"]
    put = ecr.put_image(repositoryName=repository, imageManifest=text, imageTag="v1", imageManifestMediaType=OCI)
    assert put["image"]["imageManifestMediaType"] == OCI
    assert put["image"]["imageManifest"] == text


def test_what_a_manifest_names_has_to_be_there(ecr: Any, oci: Client, repository: str) -> None:
    image = make_image(5)
    text = image.manifest.data.decode()
    error = refused(ecr.put_image, repositoryName=repository, imageManifest=text, imageTag="v1")
    assert error["Code"] == "LayersNotFoundException"
    assert all(blob.digest in error["Message"] for blob in image.blobs)
    index = make_index([image])
    error = refused(ecr.put_image, repositoryName=repository, imageManifest=index.data.decode())
    assert error["Code"] == "ReferencedImagesNotFoundException"
    assert error["Message"] == (
        f"Images with digests '[{image.manifest.digest}]' required for pushing image into repository with name "
        f"'{repository}' in the registry with id '{ACCOUNT}' do not exist"
    )
    for blob in image.blobs:
        oci.put_blob(repository, blob)
    error = refused(ecr.put_image, repositoryName=repository, imageManifest=text, imageDigest=NOWHERE)
    assert error["Code"] == "ImageDigestDoesNotMatchException"
    assert refused(ecr.put_image, repositoryName="no/such", imageManifest=text)["Code"] == "RepositoryNotFoundException"


@pytest.mark.parametrize("tag", ["a b", "-x", "x" * 129, ".x", "a/b"])
def test_what_is_no_tag_is_an_invalid_parameter(raw: Raw, repository: str, tag: str) -> None:
    given = {"repositoryName": repository, "imageManifest": "{}", "imageTag": tag}
    assert raw.call("PutImage", given).error == "InvalidParameterException"


def test_each_image_that_is_asked_for_is_answered_by_itself(ecr: Any, oci: Client, repository: str) -> None:
    one, two = put(ecr, oci, repository, make_image(6), "one", "same"), put(ecr, oci, repository, make_image(7), "two")
    asked = [
        {"imageTag": "one"},
        {"imageDigest": two},
        {"imageDigest": one, "imageTag": "same"},
        {"imageTag": "none"},
        {"imageDigest": NOWHERE},
        {"imageDigest": "sha256:xyz"},
        {"imageDigest": two, "imageTag": "one"},
        {"imageTag": "not a tag"},
        {},
    ]
    got = ecr.batch_get_image(repositoryName=repository, imageIds=asked)
    assert [one["imageId"] for one in got["images"]] == [
        {"imageDigest": one, "imageTag": "one"},
        {"imageDigest": two},
        {"imageDigest": one, "imageTag": "same"},
    ]
    assert [(one["imageId"], one["failureCode"]) for one in got["failures"]] == [
        ({"imageTag": "none"}, "ImageNotFound"),
        ({"imageDigest": NOWHERE}, "ImageNotFound"),
        ({"imageDigest": "sha256:xyz"}, "InvalidImageDigest"),
        ({"imageDigest": two, "imageTag": "one"}, "ImageTagDoesNotMatchDigest"),
        ({"imageTag": "not a tag"}, "InvalidImageTag"),
        ({}, "MissingDigestAndTag"),
    ]
    assert got["failures"][0]["failureReason"] == "Requested image not found"
    error = refused(ecr.batch_get_image, repositoryName="no/such", imageIds=asked)
    assert error["Code"] == "RepositoryNotFoundException"


def test_an_image_is_converted_for_who_asks_by_its_tag(ecr: Any, oci: Client, repository: str) -> None:
    image = docker_image(8)
    put(ecr, oci, repository, image, "v1")

    def got(accepted: list[str], **wanted: str) -> tuple[str, str]:
        [one] = ecr.batch_get_image(repositoryName=repository, imageIds=[wanted], acceptedMediaTypes=accepted)["images"]
        assert one["imageId"]["imageDigest"] == image.manifest.digest
        return one["imageManifestMediaType"], one["imageManifest"]

    stored = (DOCKER, image.manifest.data.decode())
    assert got([DOCKER, OCI], imageTag="v1") == stored
    assert got(["application/vnd.oci.image.index.v1+json"], imageTag="v1") == stored
    assert got([OCI], imageDigest=image.manifest.digest) == stored
    media_type, text = got([OCI], imageTag="v1")
    assert (media_type, json.loads(text)["mediaType"]) == (OCI, OCI)
    assert json.loads(text)["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert {one["mediaType"] for one in json.loads(text)["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert [one["digest"] for one in json.loads(text)["layers"]] == [one.digest for one in image.layers]


def test_images_go_by_tag_or_by_digest(ecr: Any, oci: Client, repository: str) -> None:
    one, two = put(ecr, oci, repository, make_image(9), "a", "b"), put(ecr, oci, repository, make_image(10), "c")
    three = put(ecr, oci, repository, make_image(11))
    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "a"}])
    assert gone["imageIds"] == [{"imageDigest": one, "imageTag": "a"}]
    assert ecr.describe_images(repositoryName=repository, imageIds=[{"imageDigest": one}])["imageDetails"]
    asked = [
        {"imageDigest": two, "imageTag": "b"},
        {"imageTag": "b"},
        {"imageDigest": three},
        {"imageDigest": two},
        {"imageDigest": two},
        {"imageDigest": "x"},
        {},
    ]
    gone = ecr.batch_delete_image(repositoryName=repository, imageIds=asked)
    assert gone["imageIds"] == [
        {"imageDigest": one, "imageTag": "b"},
        {"imageDigest": three},
        {"imageDigest": two, "imageTag": "c"},
    ]
    assert [one["failureCode"] for one in gone["failures"]] == [
        "ImageTagDoesNotMatchDigest",
        "ImageNotFound",
        "InvalidImageDigest",
        "MissingDigestAndTag",
    ]
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []


def test_what_an_index_names_stays_until_that_goes(ecr: Any, oci: Client, repository: str) -> None:
    images = [make_image(12, architecture="amd64"), make_image(13, architecture="arm64", layers=(9000,))]
    children = [put(ecr, oci, repository, image, f"part{at}") for at, image in enumerate(images)]
    index = make_index(images)
    ecr.put_image(repositoryName=repository, imageManifest=index.data.decode(), imageTag="all")
    [failure] = ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageDigest": children[0]}])["failures"]
    assert failure["failureCode"] == "ImageReferencedByManifestList"
    assert failure["failureReason"] == f"Requested image referenced by manifest list: [{index.digest}]"
    answer = expect(oci.call("DELETE", f"/v2/{repository}/manifests/{children[0]}"), 405)
    assert json.loads(answer.body)["errors"] == [{"code": "UNSUPPORTED", "message": failure["failureReason"]}]
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "part0"}])
    details = {one["imageDigest"]: one for one in ecr.describe_images(repositoryName=repository)["imageDetails"]}
    assert "imageTags" not in details[children[0]]
    sizes = [sum(len(blob.data) for blob in image.blobs) for image in images]
    assert [details[one]["imageSizeInBytes"] for one in children] == sizes
    assert details[index.digest]["imageSizeInBytes"] == max(sizes)
    assert ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "all"}])["failures"] == []
    assert {one["imageDigest"] for one in ecr.list_images(repositoryName=repository)["imageIds"]} == set(children)


def test_an_image_is_described_by_all_that_is_known(ecr: Any, oci: Client, repository: str) -> None:
    image = make_image(14)
    put(ecr, oci, repository, image, "v1", "latest")
    artifact = {
        "schemaVersion": 2,
        "mediaType": OCI,
        "artifactType": "application/vnd.example.sbom",
        "config": image.config.descriptor(),
        "layers": [],
        "subject": image.manifest.descriptor(),
        "annotations": {"a": "b"},
    }
    text = json.dumps(artifact)
    ecr.put_image(repositoryName=repository, imageManifest=text)
    details = {one["imageDigest"]: one for one in ecr.describe_images(repositoryName=repository)["imageDetails"]}
    plain, other = details[image.manifest.digest], details[digest(text.encode())]
    assert plain.pop("imagePushedAt").year >= 2024
    assert plain == {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageDigest": image.manifest.digest,
        "imageTags": ["latest", "v1"],
        "imageSizeInBytes": sum(len(blob.data) for blob in image.blobs),
        "imageManifestMediaType": OCI,
        "artifactMediaType": "application/vnd.oci.image.config.v1+json",
        "imageStatus": "ACTIVE",
    }
    assert other["artifactMediaType"] == "application/vnd.example.sbom"
    assert other["subjectManifestDigest"] == image.manifest.digest
    oci.call("GET", f"/v2/{repository}/manifests/v1")
    [plain] = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["imageDetails"]
    assert plain["lastRecordedPullTime"] >= plain["imagePushedAt"]

    for wanted, found in ((None, 1), ("application/vnd.example.sbom", 1), ("application/vnd.example.other", 0)):
        more = {} if wanted is None else {"filter": {"artifactTypes": [wanted]}}
        listed = ecr.list_image_referrers(
            repositoryName=repository, subjectId={"imageDigest": image.manifest.digest}, **more
        )["referrers"]
        assert len(listed) == found
    [referrer] = ecr.list_image_referrers(
        repositoryName=repository, subjectId={"imageDigest": image.manifest.digest}, filter={"artifactStatus": "ANY"}
    )["referrers"]
    assert referrer == {
        "digest": digest(text.encode()),
        "mediaType": OCI,
        "artifactType": "application/vnd.example.sbom",
        "size": len(text),
        "annotations": {"a": "b"},
        "artifactStatus": "ACTIVE",
    }
    assert ecr.list_image_referrers(repositoryName=repository, subjectId={"imageDigest": NOWHERE})["referrers"] == []


def test_referrers_come_page_by_page(ecr: Any, oci: Client, raw: Raw, repository: str) -> None:
    image = make_image(15)
    subject = put(ecr, oci, repository, image, "v1")
    for at in range(5):
        artifact = {
            "schemaVersion": 2,
            "mediaType": OCI,
            "artifactType": f"application/vnd.example.{at}",
            "config": image.config.descriptor(),
            "layers": [],
            "subject": image.manifest.descriptor(),
        }
        ecr.put_image(repositoryName=repository, imageManifest=json.dumps(artifact))
    found: list[str] = []
    more: dict[str, Any] = {}
    while True:
        page = ecr.list_image_referrers(
            repositoryName=repository, subjectId={"imageDigest": subject}, maxResults=2, **more
        )
        found += [one["artifactType"] for one in page["referrers"]]
        if "nextToken" not in page:
            break
        more = {"nextToken": page["nextToken"]}
    assert sorted(found) == [f"application/vnd.example.{at}" for at in range(5)]
    given = {"repositoryName": repository, "subjectId": {"imageDigest": subject}, "maxResults": 51}
    assert raw.call("ListImageReferrers", given).error == "InvalidParameterException"
    bad = {"repositoryName": repository, "subjectId": {"imageDigest": "sha256:1"}}
    assert raw.call("ListImageReferrers", bad).error in {"InvalidParameterException", "ValidationException"}
    none = {"repositoryName": "no/such", "subjectId": {"imageDigest": subject}}
    assert raw.call("ListImageReferrers", none).error == "RepositoryNotFoundException"


def test_lists_come_page_by_page_and_by_what_is_tagged(ecr: Any, oci: Client, repository: str) -> None:
    wanted: set[tuple[str, str | None]] = set()
    for at in range(7):
        tags = [f"t{at}-{which}" for which in range(at % 4)]
        one = put(ecr, oci, repository, image_of([{"x": b"%d" % at}]), *tags)
        wanted |= {(one, tag) for tag in tags} or {(one, None)}

    def listed(size: int, **more: Any) -> list[tuple[str, str | None]]:
        pages = ecr.get_paginator("list_images").paginate(
            repositoryName=repository, PaginationConfig={"PageSize": size}, **more
        )
        return [(one["imageDigest"], one.get("imageTag")) for page in pages for one in page["imageIds"]]

    for size in (1, 2, 3, 1000):
        found = listed(size)
        assert (len(found), set(found)) == (len(wanted), wanted)
        tagged = listed(size, filter={"tagStatus": "TAGGED"})
        assert sorted(tagged) == sorted(pair for pair in wanted if pair[1] is not None)
        untagged = listed(size, filter={"tagStatus": "UNTAGGED", "imageStatus": "ANY"})
        assert set(untagged) == {pair for pair in wanted if pair[1] is None}
        assert listed(size, filter={"imageStatus": "ARCHIVED"}) == []

        pages = ecr.get_paginator("describe_images").paginate(
            repositoryName=repository, PaginationConfig={"PageSize": size}
        )
        details = [one for page in pages for one in page["imageDetails"]]
        assert len(details) == 7
        assert {(one["imageDigest"], tag) for one in details for tag in one.get("imageTags", [None])} == wanted
        pages = ecr.get_paginator("describe_images").paginate(
            repositoryName=repository, filter={"tagStatus": "UNTAGGED"}, PaginationConfig={"PageSize": size}
        )
        assert sum(len(page["imageDetails"]) for page in pages) == 2


def test_an_image_that_is_not_there_fails_the_whole_description(ecr: Any, oci: Client, repository: str) -> None:
    one = put(ecr, oci, repository, make_image(16), "v1")
    asked = [{"imageTag": "v1"}, {"imageDigest": one}]
    assert len(ecr.describe_images(repositoryName=repository, imageIds=asked)["imageDetails"]) == 1
    error = refused(ecr.describe_images, repositoryName=repository, imageIds=[*asked, {"imageTag": "none"}])
    assert error["Code"] == "ImageNotFoundException"
    assert error["Message"] == (
        "The image with imageId {imageDigest:'null', imageTag:'none'} does not exist within the repository with name "
        f"'{repository}' in the registry with id '{ACCOUNT}'"
    )
    for operation in (ecr.describe_images, ecr.list_images):
        assert refused(operation, repositoryName="no/such")["Code"] == "RepositoryNotFoundException"


def test_images_are_put_beside_one_another_and_their_tags_come_to_one(ecr: Any, oci: Client, repository: str) -> None:
    """The distribution API deletes a tag alone, ECR's the image with its last tag."""
    one = put(ecr, oci, repository, make_image(17), "v1")
    expect(oci.call("DELETE", f"/v2/{repository}/manifests/v1"), 202)
    assert ecr.list_images(repositoryName=repository)["imageIds"] == [{"imageDigest": one}]
