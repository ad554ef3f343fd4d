"""A plain client of the distribution API on one connection, which tells exactly what was answered.

Source: OCI distribution-spec 1.1, "Pushing Blobs", "Pushing Manifests".
"""

import http.client
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.e2e.images import Blob, Image
from tests.e2e.servers import Server


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Unexpected(AssertionError):
    """A request had another status than it should."""

    def __init__(self, answer: Answer, statuses: tuple[int, ...]) -> None:
        super().__init__(f"{answer.status}, not {statuses}: {answer.body[:500]!r}")
        self.answer = answer


class Client:
    """One keep-alive connection. Errors of the connection come out as ``OSError`` or ``HTTPException``.

    *headers* go with each request, their names with underscores for hyphens.
    """

    def __init__(self, server: Server, **headers: str) -> None:
        self._connection = server.connect()
        self._headers = headers

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request; header names are written with underscores for hyphens."""
        sent = {name.replace("_", "-"): value for name, value in (self._headers | headers).items()}
        self._connection.request(method, path, body or None, sent)
        response = self._connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def open_upload(self, repository: str) -> str:
        """Begin an upload; return its path."""
        answer = self.call("POST", f"/v2/{repository}/blobs/uploads/", Content_Length="0")
        return location(expect(answer, 202))

    def append(self, upload: str, data: bytes) -> str:
        """Add *data* to an upload; return the path to go on with."""
        return location(expect(self.call("PATCH", upload, data, Content_Type="application/octet-stream"), 202))

    def finish(self, upload: str, digest: str, data: bytes = b"") -> None:
        """Add *data* and finish the upload under *digest*."""
        path = f"{upload}{'&' if '?' in upload else '?'}digest={digest}"
        sent = {"Content_Type": "application/octet-stream"} | ({} if data else {"Content_Length": "0"})
        expect(self.call("PUT", path, data, **sent), 201)

    def put_blob(self, repository: str, blob: Blob, *, parts: Sequence[int] = ()) -> None:
        """Push a blob: the first *parts* bytes by one PATCH each, the rest with the PUT."""
        upload, data = self.open_upload(repository), blob.data
        for size in parts:
            upload, data = self.append(upload, data[:size]), data[size:]
        self.finish(upload, blob.digest, data)

    def put_manifest(self, repository: str, reference: str, manifest: Blob) -> None:
        """Push a manifest."""
        path = f"/v2/{repository}/manifests/{reference}"
        expect(self.call("PUT", path, manifest.data, Content_Type=manifest.media_type), 201)

    def put_image(self, repository: str, tag: str, image: Image) -> None:
        """Push an image's blobs, then its manifest."""
        for blob in image.blobs:
            self.put_blob(repository, blob)
        self.put_manifest(repository, tag, image.manifest)

    def get_manifest(self, repository: str, reference: str) -> bytes | None:
        """Return the bytes of a manifest, or ``None`` where there is none."""
        accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
        answer = self.call("GET", f"/v2/{repository}/manifests/{reference}", Accept=accept)
        return answer.body if expect(answer, 200, 404).status == 200 else None

    def get_blob(self, repository: str, digest: str) -> bytes | None:
        """Return a blob, or ``None`` where there is none."""
        answer = self.call("GET", f"/v2/{repository}/blobs/{digest}")
        return answer.body if expect(answer, 200, 404).status == 200 else None

    def delete(self, path: str) -> None:
        """Delete what lies there; that it is not there is no error."""
        expect(self.call("DELETE", path), 202, 404)


def expect(answer: Answer, *statuses: int) -> Answer:
    """Return *answer*; ``Unexpected`` where its status is none of these."""
    if answer.status not in statuses:
        raise Unexpected(answer, statuses)
    return answer


def location(answer: Answer) -> str:
    """Return the path and query of a ``Location`` header, which may be absolute."""
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
