"""AWS Signature Version 4, as the one who verifies: in the headers of a request, or in its URL.

A signature covers a canonical form of the request, and what it does not cover a stranger may have changed. So the
form is made from the target as it came, ``Host`` and every ``x-amz-`` header have to be among what is signed, nothing
that is signed may come twice where one is meant, and the body is the one whose hash was signed. Time, secret and body
come in as arguments; nothing here says whether an access key exists.

Source: IAM user guide, "Create a signed AWS API request", "Signature Version 4 request signature"; the published test
suite of Signature Version 4.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

import msgspec

from protocol.auth.percent import decoded, encoded
from protocol.errors import SignatureExpired, SignatureIncomplete, SignatureInvalid, SignatureMissing
from protocol.moment import parse_moment

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = 300  # Seconds.
MAX_LIFETIME = 12 * 3600  # Seconds of a signed URL.
UNSIGNED = "UNSIGNED-PAYLOAD"

_CREDENTIAL = re.compile(r"([A-Za-z0-9]{16,128})/([0-9]{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request")
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_HEADER = re.compile(r"[a-z0-9-]{1,100}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_QUERY_NAMES = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature", "Security-Token")


class Request(msgspec.Struct, frozen=True):
    """What was signed, as it came."""

    method: str
    path: str  # As on the wire, percent-encoded.
    query: str  # Likewise, without the question mark.
    headers: Sequence[tuple[str, str]]  # Lower-case names, in order.


class Signature(msgspec.Struct, frozen=True):
    """What the request says of its signature, checked for form alone."""

    access_key: str
    day: str
    region: str
    service: str
    signed: tuple[str, ...]  # Lower-case names of headers.
    value: str
    stamp: str  # As in ``20150830T123600Z``.
    at: float  # The same in seconds since 1970.
    lifetime: int | None = None  # Seconds, of a signed URL.
    token: str = ""  # Of a session.


def read_signature(request: Request) -> Signature:
    """Return the signature of *request*.

    Raises:
        SignatureMissing: it has none.
        SignatureIncomplete: it lacks a part, or has one twice, or leaves out what has to be signed.
    """
    headers = _by_name(request.headers)
    query = _by_name(_pairs(request.query))
    in_query = "X-Amz-Signature" in query or "X-Amz-Algorithm" in query
    if "authorization" in headers and in_query:
        raise SignatureIncomplete("a signature in the headers and one in the URL")
    signature = _from_query(query) if in_query else _from_headers(headers)
    if signature.day != signature.stamp[:8]:
        raise SignatureIncomplete("the day of the credential is not that of X-Amz-Date")
    _check_signed(signature, headers)
    return signature


def verify_signature(
    request: Request, signature: Signature, secret: str, payload: str, *, region: str, service: str, now: float
) -> None:
    """Return where *signature* is that of *secret* over *request*.

    Args:
        request: what was signed.
        signature: as ``read_signature`` returned it.
        secret: of its access key.
        payload: SHA-256 of the body in hexadecimal, or ``UNSIGNED``.
        region: that has to be meant.
        service: that has to be meant.
        now: seconds since 1970, UTC.

    Raises:
        SignatureInvalid: it is not, or for another region or service.
        SignatureExpired: it is too old, or from the future.
    """
    if (signature.region, signature.service) != (region, service):
        raise SignatureInvalid(
            f"the credential is scoped to {signature.region}/{signature.service}, and this is {region}/{service}"
        )
    age = now - signature.at
    lifetime = MAX_SKEW if signature.lifetime is None else signature.lifetime
    if not -MAX_SKEW <= age <= lifetime:
        raise SignatureExpired(
            f"signed at {signature.stamp}, which is {age:.0f} seconds ago; at most {lifetime} are taken"
        )
    wanted = sign(request, signature, secret, payload)
    if not hmac.compare_digest(wanted, signature.value):
        raise SignatureInvalid("the signature does not match the request: check the secret key and what was signed")


def sign(request: Request, signature: Signature, secret: str, payload: str) -> str:
    """Return the signature of *secret* over *request*, 64 hexadecimal digits; that in *signature* is not looked at."""
    scope = f"{signature.day}/{signature.region}/{signature.service}/aws4_request"
    canonical = hashlib.sha256(_canonical(request, signature.signed, payload).encode()).hexdigest()
    text = f"{ALGORITHM}\n{signature.stamp}\n{scope}\n{canonical}"
    key = f"AWS4{secret}".encode()
    for part in (signature.day, signature.region, signature.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _from_headers(headers: Mapping[str, list[str]]) -> Signature:
    if "authorization" not in headers:
        raise SignatureMissing("the request is not signed")
    algorithm, _, rest = _one(headers, "authorization").partition(" ")
    if algorithm != ALGORITHM:
        raise SignatureMissing(f"the request is not signed by {ALGORITHM}")
    parts: dict[str, list[str]] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        parts.setdefault(name, []).append(value)
    if "x-amz-date" not in headers:
        raise SignatureIncomplete("no X-Amz-Date")
    token = _one(headers, "x-amz-security-token") if "x-amz-security-token" in headers else ""
    return _signature(parts, _one(headers, "x-amz-date"), token=token)


def _from_query(query: Mapping[str, list[str]]) -> Signature:
    parts = {name: query[f"X-Amz-{name}"] for name in _QUERY_NAMES if f"X-Amz-{name}" in query}
    if _one(parts, "Algorithm") != ALGORITHM:
        raise SignatureIncomplete(f"the algorithm is not {ALGORITHM}")
    expires = _one(parts, "Expires")
    if not _SECONDS.fullmatch(expires) or not 1 <= int(expires) <= MAX_LIFETIME:
        raise SignatureIncomplete(f"X-Amz-Expires is a number of seconds from 1 to {MAX_LIFETIME}")
    token = _one(parts, "Security-Token") if "Security-Token" in parts else ""
    return _signature(parts, _one(parts, "Date"), lifetime=int(expires), token=token)


def _signature(parts: Mapping[str, list[str]], stamp: str, *, token: str, lifetime: int | None = None) -> Signature:
    credential = _CREDENTIAL.fullmatch(_one(parts, "Credential"))
    signed = tuple(_one(parts, "SignedHeaders").split(";"))
    value = _one(parts, "Signature")
    if credential is None:
        raise SignatureIncomplete("the credential is not KEY/DATE/REGION/SERVICE/aws4_request")
    at = parse_moment(stamp) if _DATE.fullmatch(stamp) else None
    if at is None:
        raise SignatureIncomplete("X-Amz-Date is not as in 20150830T123600Z")
    if not all(_HEADER.fullmatch(name) for name in signed) or list(signed) != sorted(set(signed)):
        raise SignatureIncomplete("SignedHeaders are not lower-case names in order")
    if not _SIGNATURE.fullmatch(value):
        raise SignatureIncomplete("the signature is not 64 hexadecimal digits")
    key, day, region, service = credential.groups()
    return Signature(key, day, region, service, signed, value, stamp, at, lifetime, token)


def _check_signed(signature: Signature, headers: Mapping[str, list[str]]) -> None:
    for name in headers:
        if (name == "host" or name.startswith("x-amz-")) and name not in signature.signed:
            raise SignatureIncomplete(f"the header {name} is not signed")
    for name in signature.signed:
        if name not in headers:
            raise SignatureIncomplete(f"the header {name} is signed and not there")
    if "host" not in signature.signed:
        raise SignatureIncomplete("the header host is not signed")


def _canonical(request: Request, signed: Sequence[str], payload: str) -> str:
    headers = _by_name(request.headers)
    pairs = sorted(
        (encoded(_bytes(name)), encoded(_bytes(value)))
        for name, value in _pairs(request.query)
        if name != "X-Amz-Signature"
    )
    lines = [f"{name}:{','.join(' '.join(value.split()) for value in headers[name])}" for name in signed]
    return "\n".join(
        [
            request.method,
            encoded(_bytes(_normal(request.path)), spared=b"/"),  # Encoded twice, as every service but S3 has it.
            "&".join(f"{name}={value}" for name, value in pairs),
            *lines,
            "",
            ";".join(signed),
            payload,
        ]
    )


def _normal(path: str) -> str:
    """Return the path without empty and dotted segments (RFC 3986, 6.2.2.3)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in {"", "."}:
            kept.append(segment)
    return f"/{'/'.join(kept)}{'/' if kept and path.endswith('/') else ''}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _pairs(query: str) -> list[tuple[str, str]]:
    found = []
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        found.append((_decoded(name), _decoded(value)))
    return found


def _decoded(text: str) -> str:
    return decoded(text).decode("utf-8", "surrogateescape")


def _by_name(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _one(parts: Mapping[str, list[str]], name: str) -> str:
    values = parts.get(name, [])
    if len(values) != 1:
        raise SignatureIncomplete(f"{name} is there {len(values)} times, not once")
    return values[0]
