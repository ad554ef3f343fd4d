"""Every refusal has a face at each front door, and an error body that clients of OCI read."""

import json

from protocol.errors import ManifestUnknown, Refusal, StoreFull
from protocol.oci.errors import error_body

CODES = frozenset(
    (
        "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
        "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS", "TAG_INVALID", "UNKNOWN",
    )
)  # fmt: skip
"""OCI distribution-spec 1.1, "Error Codes", and two that clients know from Docker's."""


def kinds(root: type[Refusal]) -> list[type[Refusal]]:
    return [root, *(kind for below in root.__subclasses__() for kind in kinds(below))]


def test_no_face_is_missing() -> None:
    for kind in kinds(Refusal)[1:]:
        assert 400 <= kind.status < 600, kind
        assert kind.oci in CODES, kind
        assert kind.ecr.endswith(("Exception", "ImageReferencedByManifestList", "IncompleteSignature")), kind


def test_an_error_body() -> None:
    body = error_body(ManifestUnknown('library/nginx:"1"'))
    assert json.loads(body) == {"errors": [{"code": "MANIFEST_UNKNOWN", "message": 'library/nginx:"1"'}]}
    assert json.loads(error_body(StoreFull()))["errors"][0]["message"] == ""
