"""Talks to a node from afar: ``/api/v1`` over HTTP, each request signed with an access key (Signature Version 4).

Keys are found where the tools of AWS find them: the environment, then the credentials file. The region need not be
told: a node says in its refusal for which one it wants the signature, and then the request is signed anew.
"""

import configparser
import hashlib
import http.client
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from node.cli.control import PAGE, PATIENCE, Parameter, decoded
from node.cli.failures import Failed, WrongUsage
from protocol.auth.secret import Secret
from protocol.auth.sigv4 import ALGORITHM, Request, Signature, sign

_REGION_HEADER = "entrepot-region"
_UNKNOWN_REGION = "local"  # That of a node that made itself up.
_MAX_ANSWER = 64 * 2**20  # Bytes.


class Credentials(msgspec.Struct, frozen=True):
    """An access key."""

    key: str
    secret: Secret
    token: str = ""  # Of a session.


class Remote:
    """The node at *endpoint*."""

    def __init__(self, endpoint: str, environ: Mapping[str, str]) -> None:
        """Raise ``WrongUsage`` where *endpoint* is none, or there is no access key."""
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise WrongUsage(f"--endpoint is http[s]://HOST[:PORT], not {endpoint!r}")
        try:
            self._port = parts.port
        except ValueError:
            raise WrongUsage(f"--endpoint is http[s]://HOST[:PORT], not {endpoint!r}") from None
        self._endpoint, self._scheme, self._name = endpoint.rstrip("/"), parts.scheme, parts.hostname
        self._host = parts.netloc.rpartition("@")[2]
        self._credentials = credentials(environ)
        self._region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or _UNKNOWN_REGION
        self._authority = environ.get("AWS_CA_BUNDLE")

    def running(self) -> bool:
        """Take it that it does: nothing of it is here, so there is nothing else to ask."""
        return True

    def get(self, path: str, **query: str | int | None) -> Any:  # noqa: ANN401 - JSON.
        """Return the answer of ``GET /api/v1/``*path*."""
        return self.call("GET", path, query=query)

    def call(self, method: str, path: str, *, query: Mapping[str, Parameter] | None = None, body: bytes = b"") -> Any:  # noqa: ANN401 - JSON.
        """Send one request and return its decoded answer, ``None`` where there is none.

        Raises:
            NotFound, Refused, Failed: the node's own answer, by its status, or there was none.
        """
        named = {name: value for name, value in (query or {}).items() if value is not None}
        place, text = "/api/v1/" + quote(path, safe="/:@"), urlencode(named, doseq=True)
        status, answer, region = self._send(method, place, text, body)
        if status in {401, 403} and region and region != self._region:
            self._region = region
            status, answer, _ = self._send(method, place, text, body)
        return decoded(status, answer)

    def pages(self, path: str, key: str, **query: str | None) -> Iterator[list[Any]]:
        """Yield the list under *key* of each page of *path*, until a page names no next one."""
        after: str | None = None
        while True:
            answer = self.get(path, after=after, limit=PAGE, **query)
            yield answer[key]
            after = answer.get("next")
            if after is None:
                return

    def _send(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes, str | None]:
        headers = signed_headers(
            self._credentials, method, path, query, body, host=self._host, region=self._region, now=time.time()
        )
        try:
            connection = self._connection()
            try:
                connection.request(method, f"{path}?{query}" if query else path, body or None, headers)
                response = connection.getresponse()
                return response.status, response.read(_MAX_ANSWER), response.getheader(_REGION_HEADER)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"no answer from {self._endpoint}: {str(error) or type(error).__name__}") from error

    def _connection(self) -> http.client.HTTPConnection:
        if self._scheme == "http":
            return http.client.HTTPConnection(self._name, self._port, timeout=PATIENCE)
        context = ssl.create_default_context(cafile=self._authority)
        return http.client.HTTPSConnection(self._name, self._port, timeout=PATIENCE, context=context)


def signed_headers(
    who: Credentials, method: str, path: str, query: str, body: bytes, *, host: str, region: str, now: float
) -> dict[str, str]:
    """Return the headers of a request, its signature among them."""
    stamp, payload = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)), hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": stamp}
    if body:
        headers["content-type"] = "application/json"
    if who.token:
        headers["x-amz-security-token"] = who.token
    names = tuple(sorted(headers))
    unsigned = Signature(who.key, stamp[:8], region, "entrepot", names, "", stamp, now, token=who.token)
    value = sign(Request(method, path, query, list(headers.items())), unsigned, who.secret.value.decode(), payload)
    scope = f"{who.key}/{stamp[:8]}/{region}/entrepot/aws4_request"
    headers["authorization"] = f"{ALGORITHM} Credential={scope}, SignedHeaders={';'.join(names)}, Signature={value}"
    return headers


def credentials(environ: Mapping[str, str]) -> Credentials:
    """Return the access key of the environment, else that of the credentials file; ``WrongUsage``: there is none."""
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Credentials(key, Secret(secret.encode()), environ.get("AWS_SESSION_TOKEN", ""))
    file = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    profile = environ.get("AWS_PROFILE") or "default"
    parser = configparser.RawConfigParser()
    try:
        parser.read(file)
        found = dict(parser[profile]) if parser.has_section(profile) else {}
    except (OSError, UnicodeDecodeError, configparser.Error):
        raise WrongUsage(f"{file} cannot be read as a credentials file") from None
    if "aws_access_key_id" not in found or "aws_secret_access_key" not in found:
        raise WrongUsage(
            "--endpoint needs an access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    secret = found["aws_secret_access_key"]
    return Credentials(found["aws_access_key_id"], Secret(secret.encode()), found.get("aws_session_token", ""))
