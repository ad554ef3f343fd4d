"""The archive: what boto3 sees of it, and what a client of the distribution API is told."""

import json
from typing import Any

import pytest

from tests.e2e.images import make_image
from tests.e2e.pushes import Client


def test_an_image_goes_to_the_archive_and_comes_back(ecr: Any, oci: Client, name: str) -> None:
    image = make_image(3)
    oci.put_image(name, "1.0", image)
    path, ids = f"/v2/{name}/manifests/1.0", {"imageDigest": image.manifest.digest, "imageTag": "1.0"}
    archived = ecr.update_image_storage_class(
        repositoryName=name, imageId={"imageTag": "1.0"}, targetStorageClass="ARCHIVE"
    )
    assert (archived["imageStatus"], archived["imageId"], archived["registryId"]) == ("ARCHIVED", ids, "123456789012")
    for method in ("GET", "HEAD"):
        assert oci.call(method, path).status == 404
    [error] = json.loads(oci.call("GET", path).body)["errors"]
    assert error["code"] == "MANIFEST_UNKNOWN"
    assert "archived" in error["message"]
    assert oci.call("GET", f"/v2/{name}/blobs/{image.config.digest}").status == 404
    assert json.loads(oci.call("GET", f"/v2/{name}/tags/list").body)["tags"] == []
    with pytest.raises(ecr.exceptions.ImageArchivedException):
        ecr.start_image_scan(repositoryName=name, imageId=ids)
    restored = ecr.update_image_storage_class(repositoryName=name, imageId=ids, targetStorageClass="STANDARD")
    assert restored["imageStatus"] == "ACTIVATING"
    assert oci.get_manifest(name, "1.0") == image.manifest.data
    assert oci.get_blob(name, image.config.digest) == image.config.data


def test_what_cannot_go(ecr: Any, oci: Client, name: str) -> None:
    image = make_image(4)
    oci.put_image(name, "1.0", image)
    ids = {"imageDigest": image.manifest.digest}
    with pytest.raises(ecr.exceptions.ImageStorageClassUpdateNotSupportedException):
        ecr.update_image_storage_class(repositoryName=name, imageId=ids, targetStorageClass="STANDARD")
    with pytest.raises(ecr.exceptions.ImageNotFoundException):
        ecr.update_image_storage_class(repositoryName=name, imageId={"imageTag": "no"}, targetStorageClass="ARCHIVE")
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.update_image_storage_class(repositoryName=f"{name}-no", imageId=ids, targetStorageClass="ARCHIVE")
    with pytest.raises(ecr.exceptions.InvalidParameterException):
        ecr.update_image_storage_class(repositoryName=name, imageId=ids, targetStorageClass="GLACIER")


def test_a_push_brings_it_back(ecr: Any, oci: Client, name: str) -> None:
    image = make_image(5)
    oci.put_image(name, "1.0", image)
    ids = {"imageDigest": image.manifest.digest}
    ecr.update_image_storage_class(repositoryName=name, imageId=ids, targetStorageClass="ARCHIVE")
    oci.put_image(name, "1.0", image)
    assert oci.get_manifest(name, "1.0") == image.manifest.data
