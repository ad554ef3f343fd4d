"""The public service, as boto3 sees it."""

import base64
import hashlib
import http.client
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e import images
from tests.e2e.ecr.calls import ACCOUNT, Raw, refused
from tests.e2e.ecr.conftest import EcrNode
from tests.e2e.pushes import Client

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
POLICY = """{"Version": "2012-10-17",  "Statement": [{"Effect": "Deny", "Principal": "*", "Action":
    ["ecr-public:Batch*", "ecr-public:GetDownload*", "ecr-public:List*", "ecr-public:PutImage"]}]}"""


@pytest.fixture
def public(ecr_node: EcrNode, ecr: Any) -> Any:
    """The boto3 client of the public service."""
    return ecr_node.public


@pytest.fixture
def raw_public(ecr_node: EcrNode) -> Iterator[Raw]:
    """Calls of the public service as bytes."""
    with closing(Raw(ecr_node.server, "ecr-public")) as raw:
        yield raw


@pytest.fixture
def made(public: Any, name: str) -> Any:
    """A public repository of the test's own."""
    return public.create_repository(repositoryName=name)["repository"]


def unknown(name: str, account: str = ACCOUNT) -> str:
    return f"The repository with name '{name}' does not exist in the registry with id '{account}'"


def test_a_new_repository_is_described_by_its_own_name(ecr_node: EcrNode, public: Any, made: Any, name: str) -> None:
    created = made.pop("createdAt")
    assert made == {
        "repositoryArn": f"arn:aws:ecr-public::{ACCOUNT}:repository/{name}",
        "registryId": ACCOUNT,
        "repositoryName": name,
        "repositoryUri": f"{ecr_node.server.address}/public/{ACCOUNT}/{name}",
    }
    [described] = public.describe_repositories(registryId=ACCOUNT, repositoryNames=[name])["repositories"]
    assert described.pop("createdAt") == created
    assert described == made


def test_one_name_is_two_repositories_in_two_services(ecr: Any, public: Any, made: Any, name: str) -> None:
    assert refused(ecr.describe_repositories, repositoryNames=[name])["Message"] == unknown(name)
    ecr.create_repository(repositoryName=name)
    ecr.delete_repository(repositoryName=name)
    assert public.describe_repositories(repositoryNames=[name])["repositories"]
    inside = f"public/{ACCOUNT}/{name}"
    assert refused(ecr.describe_repositories, repositoryNames=[inside])["Code"] == "RepositoryNotFoundException"
    assert refused(ecr.delete_repository, repositoryName=inside, force=True)["Code"] == "RepositoryNotFoundException"
    assert refused(ecr.create_repository, repositoryName=inside)["Code"] == "InvalidParameterException"
    arn = f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/{inside}"
    assert refused(ecr.list_tags_for_resource, resourceArn=arn)["Code"] == "RepositoryNotFoundException"


def test_lists_are_of_their_own_service_and_page_by_page(ecr: Any, public: Any) -> None:
    prefix = uuid.uuid4().hex[:12]
    names = [f"{prefix}/{one}" for one in "abcde"]
    for one in names:
        public.create_repository(repositoryName=one)
    pages = public.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2})
    found = [one["repositoryName"] for page in pages for one in page["repositories"]]
    assert [one for one in found if one.startswith(prefix)] == names
    assert found == sorted(found)
    private = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2})
    assert not [one for page in private for one in page["repositories"] if one["repositoryName"].startswith("public/")]
    token = public.describe_repositories(maxResults=1)["nextToken"]
    assert refused(ecr.describe_repositories, nextToken=token)["Code"] == "InvalidParameterException"
    for one in names:
        public.delete_repository(repositoryName=one)


def test_a_name_is_taken_once_and_free_again(public: Any, made: Any, name: str) -> None:
    error = refused(public.create_repository, repositoryName=name)
    assert error["Code"] == "RepositoryAlreadyExistsException"
    assert error["Message"] == f"The repository with name '{name}' already exists in the registry with id '{ACCOUNT}'"
    gone = public.delete_repository(repositoryName=name)["repository"]
    assert gone == made
    assert refused(public.describe_repositories, repositoryNames=[name])["Message"] == unknown(name)
    assert refused(public.delete_repository, repositoryName=name)["Message"] == unknown(name)
    public.create_repository(repositoryName=name)


def test_a_repository_with_images_goes_by_force(public: Any, oci: Client, made: Any, name: str) -> None:
    oci.put_image(f"public/{ACCOUNT}/{name}", "1", images.make_image(61))
    error = refused(public.delete_repository, repositoryName=name)
    assert error["Code"] == "RepositoryNotEmptyException"
    assert f"'{name}'" in error["Message"]
    public.delete_repository(repositoryName=name, force=True)
    assert oci.call("GET", f"/v2/public/{ACCOUNT}/{name}/manifests/1").status == 404


@pytest.mark.parametrize("bad", ["A/b", "a--b/c", "a__b", "a", "a" * 206, "a/", "a//b"])
def test_what_is_no_name_is_an_invalid_parameter(raw_public: Raw, bad: str) -> None:
    result = raw_public.call("CreateRepository", {"repositoryName": bad})
    assert result.error == "InvalidParameterException"
    assert "'repositoryName'" in result.body["message"]


@pytest.mark.parametrize("registry", ["999999999999", "acme"])
def test_another_registry_is_not_here(raw_public: Raw, made: Any, name: str, registry: str) -> None:
    given = {"registryId": registry, "repositoryName": name}
    result = raw_public.call("InitiateLayerUpload", given)
    assert result.error == "RegistryNotFoundException"
    if registry.isdigit():
        result = raw_public.call("DeleteRepository", given)
        assert result.error == "RepositoryNotFoundException"


def test_tags_of_the_resource_go_by_its_arn(public: Any, name: str) -> None:
    made = public.create_repository(repositoryName=name, tags=[{"Key": "team", "Value": "a"}])["repository"]
    arn = made["repositoryArn"]
    public.tag_resource(resourceArn=arn, tags=[{"Key": "cost", "Value": "7"}, {"Key": "bare"}])
    public.untag_resource(resourceArn=arn, tagKeys=["team", "none"])
    tags = public.list_tags_for_resource(resourceArn=arn)["tags"]
    assert tags == [{"Key": "bare", "Value": ""}, {"Key": "cost", "Value": "7"}]
    assert refused(public.list_tags_for_resource, resourceArn=arn + "x")["Message"] == unknown(name + "x")
    for wrong in (f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/{name}", "arn:aws:s3:::bucket"):
        assert refused(public.list_tags_for_resource, resourceArn=wrong)["Code"] == "InvalidParameterException"
    assert (
        refused(public.tag_resource, resourceArn=arn, tags=[{"Value": "x"}])["Code"] == "InvalidTagParameterException"
    )


def test_a_policy_is_kept_to_the_byte_and_takes_no_pull_away(public: Any, oci: Client, made: Any, name: str) -> None:
    inside = f"public/{ACCOUNT}/{name}"
    oci.put_image(inside, "1", images.make_image(61))
    error = refused(public.get_repository_policy, repositoryName=name)
    assert error["Code"] == "RepositoryPolicyNotFoundException"
    assert f"'{name}'" in error["Message"]
    public.set_repository_policy(repositoryName=name, policyText=POLICY, force=True)
    assert public.get_repository_policy(repositoryName=name)["policyText"] == POLICY
    for path in ("manifests/1", "tags/list"):
        assert oci.call("GET", f"/v2/{inside}/{path}").status == 200
    denied = oci.call("PUT", f"/v2/{inside}/manifests/2", images.make_image(61).manifest.data)
    assert denied.status == 403
    assert b"ecr-public:PutImage" in denied.body
    assert public.delete_repository_policy(repositoryName=name)["policyText"] == POLICY


def test_the_registry_is_one_and_has_a_name_for_people(ecr_node: EcrNode, public: Any) -> None:
    [registry] = public.describe_registries()["registries"]
    assert registry["registryId"] == ACCOUNT
    assert registry["registryArn"] == f"arn:aws:ecr-public::{ACCOUNT}:registry/{ACCOUNT}"
    assert registry["registryUri"] == f"{ecr_node.server.address}/public/{ACCOUNT}"
    assert registry["verified"] is False
    assert public.put_registry_catalog_data(displayName="Äcme & <b>")["registryCatalogData"] == {
        "displayName": "Äcme & <b>"
    }
    assert public.get_registry_catalog_data()["registryCatalogData"] == {"displayName": "Äcme & <b>"}


def test_what_a_repository_says_comes_back_as_it_was_said(public: Any, made: Any, name: str) -> None:
    assert public.get_repository_catalog_data(repositoryName=name)["catalogData"] == {"marketplaceCertified": False}
    said = {
        "description": "An <img src=x onerror=alert(1)> app",
        "architectures": ["x86-64", "ARM 64", "riscv"],
        "operatingSystems": ["Linux", "Plan 9"],
        "aboutText": "# About\n\n[x](javascript:alert(1)) " + "ä" * 25_000,
        "usageText": "😀" * 12_000,
    }
    put = public.put_repository_catalog_data(repositoryName=name, catalogData=said)["catalogData"]
    assert put == said | {"marketplaceCertified": False}
    assert public.get_repository_catalog_data(repositoryName=name)["catalogData"] == put
    less = public.put_repository_catalog_data(repositoryName=name, catalogData={"usageText": "u"})["catalogData"]
    assert less == {"usageText": "u", "marketplaceCertified": False}
    assert public.get_repository_catalog_data(repositoryName=name)["catalogData"] == less


def test_what_a_deleted_repository_said_its_successor_does_not(public: Any, name: str) -> None:
    catalog = {"description": "old", "logoImageBlob": PNG}
    made = public.create_repository(repositoryName=name, catalogData=catalog)["catalogData"]
    assert (made["description"], fetched(made["logoUrl"]).status) == ("old", 200)
    public.delete_repository(repositoryName=name)
    assert fetched(made["logoUrl"]).status == 404
    assert public.create_repository(repositoryName=name)["catalogData"] == {}
    assert fetched(made["logoUrl"]).status == 404
    assert public.get_repository_catalog_data(repositoryName=name)["catalogData"] == {"marketplaceCertified": False}
    assert refused(public.get_repository_catalog_data, repositoryName=f"{name}/none")["Code"] == (
        "RepositoryNotFoundException"
    )


def test_a_logo_is_served_as_a_picture_and_nothing_else(public: Any, made: Any, name: str) -> None:
    big = PNG + bytes(512_000 - len(PNG))
    urls = []
    for data in (PNG, big):
        said = public.put_repository_catalog_data(repositoryName=name, catalogData={"logoImageBlob": data})
        url = said["catalogData"]["logoUrl"]
        urls.append(url)
        got = fetched(url)
        assert got.status == 200
        assert got.headers["content-type"] == "image/png"
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert hashlib.sha256(got.body).digest() == hashlib.sha256(data).digest()
        assert fetched(url, If_None_Match=got.headers["etag"]).status == 304
        assert public.get_repository_catalog_data(repositoryName=name)["catalogData"]["logoUrl"] == url
    assert len(set(urls)) == 2  # A browser that has the one asks for the other.
    public.put_repository_catalog_data(repositoryName=name, catalogData={"description": "no logo any more"})
    assert fetched(urls[1]).status == 404


@pytest.mark.parametrize("data", [b"<svg onload='alert(1)'/>", b"<html>", b"\x89PNG", b"RIFF0000WAVE"])
def test_what_is_no_picture_is_no_logo(public: Any, made: Any, name: str, data: bytes) -> None:
    error = refused(public.put_repository_catalog_data, repositoryName=name, catalogData={"logoImageBlob": data})
    assert error["Code"] == "InvalidParameterException"
    assert "'logoImageBlob'" in error["Message"]
    other = f"{name}/other"
    assert refused(public.create_repository, repositoryName=other, catalogData={"logoImageBlob": data})
    assert refused(public.describe_repositories, repositoryNames=[other])["Code"] == "RepositoryNotFoundException"


@pytest.mark.parametrize(
    "catalog",
    [
        {"description": "x" * 1025},
        {"aboutText": "x" * 25_601},
        {"usageText": "x" * 25_601},
        {"architectures": ["x"] * 51},
        {"operatingSystems": ["x" * 51]},
        {"operatingSystems": [""]},
        {"logoImageBlob": "A" * 682_672},
        {"logoImageBlob": "not base64!"},
        {"logoImageBlob": 5},
        {"description": ["x"]},
    ],
)
def test_what_is_too_much_to_say_is_refused(raw_public: Raw, made: Any, name: str, catalog: Any) -> None:
    result = raw_public.call("PutRepositoryCatalogData", {"repositoryName": name, "catalogData": catalog})
    assert (result.status, result.error) == (400, "InvalidParameterException"), result.body


def test_an_image_that_is_put_by_calls_is_pulled_by_anyone(public: Any, oci: Client, made: Any, name: str) -> None:
    image = images.make_image(62)
    for blob in image.blobs:
        upload = public.initiate_layer_upload(registryId=ACCOUNT, repositoryName=name)["uploadId"]
        part = {"partFirstByte": 0, "partLastByte": len(blob.data) - 1, "layerPartBlob": blob.data}
        public.upload_layer_part(repositoryName=name, uploadId=upload, **part)
        public.complete_layer_upload(repositoryName=name, uploadId=upload, layerDigests=[blob.digest])
    digests = [blob.digest for blob in image.blobs]
    found = public.batch_check_layer_availability(repositoryName=name, layerDigests=digests)["layers"]
    assert [one["layerAvailability"] for one in found] == ["AVAILABLE"] * len(digests)
    text = image.manifest.data.decode()
    put = public.put_image(repositoryName=name, imageManifest=text, imageTag="1")["image"]
    assert put["repositoryName"] == name
    assert put["imageId"] == {"imageDigest": image.manifest.digest, "imageTag": "1"}
    inside = f"public/{ACCOUNT}/{name}"
    assert oci.call("GET", f"/v2/{inside}/manifests/1").body == image.manifest.data
    for blob in image.blobs:
        assert oci.call("GET", f"/v2/{inside}/blobs/{blob.digest}").body == blob.data
    [detail] = public.describe_images(repositoryName=name)["imageDetails"]
    assert (detail["imageDigest"], detail["imageTags"]) == (image.manifest.digest, ["1"])
    assert detail["imageSizeInBytes"] == sum(len(blob.data) for blob in image.blobs)
    error = refused(public.put_image, repositoryName=name, imageManifest=text, imageTag="1")
    assert error["Code"] == "ImageAlreadyExistsException"
    assert f"'{name}'" in error["Message"]
    gone = public.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": "1"}, {"imageTag": "2"}])
    assert gone["imageIds"] == [{"imageDigest": image.manifest.digest, "imageTag": "1"}]
    assert [one["failureCode"] for one in gone["failures"]] == ["ImageNotFound"]
    assert refused(public.describe_images, repositoryName=name, imageIds=[{"imageTag": "1"}])["Code"] == (
        "ImageNotFoundException"
    )


def test_a_tag_has_a_time_of_its_own_and_the_image_its(public: Any, oci: Client, made: Any, name: str) -> None:
    inside = f"public/{ACCOUNT}/{name}"
    old, new = images.make_image(63), images.make_image(64)
    for tag, image in (("a", old), ("b", new), ("c", old)):
        oci.put_image(inside, tag, image)
    text = new.manifest.data.decode()
    public.put_image(repositoryName=name, imageManifest=text, imageTag="a")  # It moves, and the image stays.
    pages = public.get_paginator("describe_image_tags").paginate(repositoryName=name, PaginationConfig={"PageSize": 2})
    tags = {one["imageTag"]: one for page in pages for one in page["imageTagDetails"]}
    assert [*tags] == ["a", "b", "c"]
    for tag, image in (("a", new), ("b", new), ("c", old)):
        detail = tags[tag]["imageDetail"]
        assert detail["imageDigest"] == image.manifest.digest
        assert detail["imageManifestMediaType"] == image.manifest.media_type
        assert detail["imageSizeInBytes"] == sum(len(blob.data) for blob in image.blobs)
        [described] = public.describe_images(repositoryName=name, imageIds=[{"imageDigest": image.manifest.digest}])[
            "imageDetails"
        ]
        assert detail["imagePushedAt"] == described["imagePushedAt"]
    assert tags["a"]["createdAt"] > tags["c"]["createdAt"] > tags["b"]["createdAt"]
    assert refused(public.describe_image_tags, repositoryName=f"{name}/none")["Message"] == unknown(f"{name}/none")


def test_a_token_is_one_object_and_a_password(public: Any) -> None:
    data = public.get_authorization_token()["authorizationData"]
    name, colon, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    assert (name, colon) == ("AWS", ":")
    assert password
    assert ":" not in password
    assert set(data) == {"authorizationToken", "expiresAt"}


def fetched(url: str, **headers: str) -> Any:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    with closing(connection):
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request("GET", f"{parts.path}?{parts.query}", headers=sent)
        response = connection.getresponse()
        response.body = response.read()  # type: ignore[attr-defined]
        return response
