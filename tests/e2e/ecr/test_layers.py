"""Layers of the private service, as boto3 sees them."""

import json
import urllib.error
import urllib.request
from base64 import b64encode
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.ecr.calls import ACCOUNT, Raw, refused
from tests.e2e.images import digest, make_image
from tests.e2e.pushes import Client, expect

MIB = 2**20
NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
def repository(ecr: Any, name: str) -> str:
    ecr.create_repository(repositoryName=name)
    return name


def upload(ecr: Any, repository: str, *parts: bytes) -> str:
    """Begin a layer and send it; return the id of the upload."""
    begun = ecr.initiate_layer_upload(repositoryName=repository)
    assert begun["partSize"] == 10 * MIB
    at = 0
    for part in parts:
        answer = ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=begun["uploadId"],
            partFirstByte=at,
            partLastByte=at + len(part) - 1,
            layerPartBlob=part,
        )
        at += len(part)
        assert (answer["lastByteReceived"], answer["registryId"]) == (at - 1, ACCOUNT)
    return str(begun["uploadId"])


def fetch(url: str, **headers: str) -> tuple[int, bytes]:
    """Fetch a URL as any program would that has nothing but it."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:  # noqa: S310 - http.
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_layer_comes_in_parts_and_is_fetched_by_a_url(ecr: Any, repository: str) -> None:
    data = Random(1).randbytes(20 * MIB + 7)
    parts = [data[: 10 * MIB], data[10 * MIB : 15 * MIB], data[15 * MIB :]]
    layer = digest(data)
    begun = upload(ecr, repository, *parts)
    done = ecr.complete_layer_upload(repositoryName=repository, uploadId=begun, layerDigests=[NOWHERE, layer])
    assert (done["layerDigest"], done["uploadId"]) == (layer, begun)
    checked = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[layer, NOWHERE, "x:y", ""])
    assert checked["layers"] == [
        {"layerDigest": layer, "layerAvailability": "AVAILABLE", "layerSize": len(data)},
        {"layerDigest": NOWHERE, "layerAvailability": "UNAVAILABLE"},
    ]
    assert [(one["layerDigest"], one["failureCode"]) for one in checked["failures"]] == [
        ("x:y", "InvalidLayerDigest"),
        ("", "MissingLayerDigest"),
    ]
    error = refused(ecr.get_download_url_for_layer, repositoryName=repository, layerDigest=layer)
    assert error["Code"] == "LayerInaccessibleException"  # No image names it.
    config = b"{}"
    ecr.complete_layer_upload(
        repositoryName=repository, uploadId=upload(ecr, repository, config), layerDigests=[digest(config)]
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": 2},
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": len(data)},
        ],
    }
    ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag="v1")
    url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=layer)["downloadUrl"]
    assert fetch(url) == (200, data)
    assert fetch(url, Range="bytes=100-199") == (206, data[100:200])
    assert fetch(url, Range="bytes=-7") == (206, data[-7:])
    assert fetch(url, Range=f"bytes={len(data)}-")[0] == 416
    small = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=digest(config))["downloadUrl"]
    assert fetch(small) == (200, config)


@pytest.mark.parametrize("kind", ["AES256", "KMS", "KMS_DSSE"])
def test_layers_of_encrypted_repositories_are_checked_fetched_and_completed(
    ecr: Any, oci: Client, name: str, kind: str
) -> None:
    ecr.create_repository(repositoryName=name, encryptionConfiguration={"encryptionType": kind})
    image = make_image(5, layers=(3 * MIB, 2000))
    oci.put_image(name, "v1", image)
    layers = [layer.digest for layer in image.layers]
    checked = ecr.batch_check_layer_availability(repositoryName=name, layerDigests=layers)["layers"]
    assert [one.get("layerSize") for one in checked] == [len(layer.data) for layer in image.layers]
    for layer in image.layers:
        url = ecr.get_download_url_for_layer(repositoryName=name, layerDigest=layer.digest)["downloadUrl"]
        assert fetch(url) == (200, layer.data)
        assert fetch(url, Range="bytes=5-9") == (206, layer.data[5:10])
    data = Random(6).randbytes(2 * MIB)
    more = {"repositoryName": name, "layerDigests": [digest(data)]}
    ecr.complete_layer_upload(uploadId=upload(ecr, name, data), **more)
    again = refused(ecr.complete_layer_upload, uploadId=upload(ecr, name, data), **more)
    assert again["Code"] == "LayerAlreadyExistsException"
    [got] = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v1"}])["images"]
    assert got["imageManifest"] == image.manifest.data.decode()


def test_a_url_is_good_for_what_it_was_given_for(ecr: Any, oci: Client, repository: str) -> None:
    image = make_image(2)
    oci.put_image(repository, "v1", image)
    one, two = (layer.digest for layer in image.layers)
    url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=one)["downloadUrl"]
    place = urlsplit(url)
    expires, signature = (part.partition("=")[2] for part in place.query.split("&"))
    other = two.replace(":", "%3A")
    for path in (
        place.path,
        f"{place.path}?expires={int(expires) + 1}&signature={signature}",
        f"{place.path}?expires={expires}&signature={signature[:-1]}",
        f"{place.path}?expires={expires}&signature=%C3%A4",
        f"{place.path}?expires=x&signature={signature}",
        f"/download/{repository}/{other}?{place.query}",
        f"/download/other/app/{one}?{place.query}",
    ):
        assert oci.call("GET", path).status in {400, 403}, path
    assert oci.call("POST", f"{place.path}?{place.query}").status == 404
    assert oci.call("HEAD", f"{place.path}?{place.query}").headers["content-length"] == str(len(image.layers[0].data))
    ecr.delete_repository(repositoryName=repository, force=True)
    expect(oci.call("GET", f"{place.path}?{place.query}"), 404)


def test_a_layer_that_is_not_there_has_no_url(ecr: Any, raw: Raw, repository: str) -> None:
    error = refused(ecr.get_download_url_for_layer, repositoryName=repository, layerDigest=NOWHERE)
    assert error["Code"] == "LayersNotFoundException"
    error = refused(ecr.get_download_url_for_layer, repositoryName="no/such", layerDigest=NOWHERE)
    assert error["Code"] == "RepositoryNotFoundException"
    given = {"repositoryName": repository, "layerDigest": "sha256:12"}
    assert raw.call("GetDownloadUrlForLayer", given).error == "InvalidParameterException"


def test_a_part_goes_on_where_the_last_one_ended(ecr: Any, repository: str) -> None:
    begun = upload(ecr, repository, b"12345")
    for first, last, data in ((0, 4, b"abcde"), (6, 9, b"abcd"), (5, 9, b"abcd"), (5, 7, b"abcd"), (5, 4, b"")):
        error = refused(
            ecr.upload_layer_part,
            repositoryName=repository,
            uploadId=begun,
            partFirstByte=first,
            partLastByte=last,
            layerPartBlob=data,
        )
        assert error["Code"] == "InvalidLayerPartException"
        assert error["registryId"] == ACCOUNT
        assert error["repositoryName"] == repository
        assert error["uploadId"] == begun
        assert error["lastValidByteReceived"] == 4
    done = ecr.complete_layer_upload(repositoryName=repository, uploadId=begun, layerDigests=[digest(b"12345")])
    assert done["layerDigest"] == digest(b"12345")


def test_an_upload_that_is_not_there_is_told_so(ecr: Any, repository: str) -> None:
    begun = upload(ecr, repository, b"1")
    ecr.create_repository(repositoryName=f"{repository}/other")
    for where, which in ((repository, "11111111-2222-4333-8444-555555555555"), (f"{repository}/other", begun)):
        for call, more in (
            (ecr.upload_layer_part, {"partFirstByte": 0, "partLastByte": 0, "layerPartBlob": b"1"}),
            (ecr.complete_layer_upload, {"layerDigests": [NOWHERE]}),
        ):
            error = refused(call, repositoryName=where, uploadId=which, **more)
            assert error["Code"] == "UploadNotFoundException"
            assert error["Message"] == (
                f"Upload with id '{which}' could not be found for the repository with name '{where}' "
                f"in the registry with id '{ACCOUNT}'"
            )
    assert refused(ecr.initiate_layer_upload, repositoryName="no/such")["Code"] == "RepositoryNotFoundException"


def test_a_layer_is_completed_by_its_own_digest_once(ecr: Any, repository: str) -> None:
    def complete(begun: str, *digests: str) -> Any:
        return {"repositoryName": repository, "uploadId": begun, "layerDigests": [*digests]}

    data = b"a layer"
    assert refused(ecr.complete_layer_upload, **complete(upload(ecr, repository), digest(data)))["Code"] == (
        "EmptyUploadException"
    )
    begun = upload(ecr, repository, data)
    assert refused(ecr.complete_layer_upload, **complete(begun, NOWHERE))["Code"] == "InvalidLayerException"
    ecr.complete_layer_upload(**complete(upload(ecr, repository, data), digest(data)))
    begun = upload(ecr, repository, data)
    assert refused(ecr.complete_layer_upload, **complete(begun, digest(data)))["Code"] == "LayerAlreadyExistsException"
    assert refused(ecr.complete_layer_upload, **complete(begun, digest(data)))["Code"] == "UploadNotFoundException"


def test_parts_but_the_last_have_a_least_size(ecr: Any, repository: str) -> None:
    data = Random(3).randbytes(6 * MIB)
    begun = upload(ecr, repository, data[: 5 * MIB - 1], data[5 * MIB - 1 :])
    error = refused(ecr.complete_layer_upload, repositoryName=repository, uploadId=begun, layerDigests=[digest(data)])
    assert error["Code"] == "LayerPartTooSmallException"
    begun = upload(ecr, repository, data[: 5 * MIB], data[5 * MIB :])
    ecr.complete_layer_upload(repositoryName=repository, uploadId=begun, layerDigests=[digest(data)])


def test_a_part_is_as_large_as_the_model_allows(raw: Raw, ecr: Any, repository: str) -> None:
    begun = upload(ecr, repository)
    data = Random(4).randbytes(20 * MIB)

    def part(blob: str, last: int) -> Any:
        given = {"repositoryName": repository, "uploadId": begun, "partFirstByte": 0, "partLastByte": last}
        return raw.call("UploadLayerPart", {**given, "layerPartBlob": blob})

    assert part("not base64!", 4).error in {"SerializationException", "InvalidParameterException"}
    assert part(b64encode(data + b"x").decode(), 20 * MIB).error == "InvalidParameterException"
    result = part(b64encode(data).decode(), 20 * MIB - 1)
    assert result.body["lastByteReceived"] == 20 * MIB - 1


def test_a_layer_larger_than_any_body_is_refused_before_it_is_received(raw: Raw, repository: str) -> None:
    result = raw.call("UploadLayerPart", b"x" * (29 * MIB))
    assert (result.status, result.error) == (413, "RequestEntityTooLargeException")
