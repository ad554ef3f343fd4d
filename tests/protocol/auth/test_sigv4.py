"""Signatures are those of the published test suite, and nothing that a stranger may change is left unsigned."""

import hashlib
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.sigv4 import MAX_SKEW, Request, Signature, read_signature, sign, verify_signature
from protocol.errors import (
    Refusal,
    SignatureExpired,
    SignatureIncomplete,
    SignatureInvalid,
    SignatureMissing,
)

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # noqa: S105 - the one of the published examples.
KEY = "AKIDEXAMPLEAKIDE"
EMPTY = hashlib.sha256(b"").hexdigest()
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
HOST, DATE = ("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")


VECTORS: dict[str, tuple[str, str, tuple[tuple[str, str], ...], str]] = {
    "get-vanilla": ("/", "", (), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-vanilla-query-order-key-case": (
        "/", "Param2=value2&Param1=value1", (), "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-slashes": ("//example//", "", (), "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    "get-relative-relative": (
        "/example1/example2/../..", "", (), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-header-key-duplicate": (
        "/", "", (("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")),
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "get-header-value-trim": (
        "/", "", (("my-header1", "value1"), ("my-header2", '"a   b   c"')),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_the_published_suite(name: str) -> None:
    path, query, more, expected = VECTORS[name]
    headers = (HOST, *more, DATE)
    names = tuple(sorted({header for header, _ in headers}))
    signature = Signature("AKIDEXAMPLE", "20150830", "us-east-1", "service", names, "", "20150830T123600Z", NOW)
    assert sign(Request("GET", path, query, headers), signature, SECRET, EMPTY) == expected


def signed(*more: tuple[str, str], method: str = "POST", query: str = "", leave_out: str = "") -> Request:
    headers = (HOST, DATE, ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeImages"), *more)
    names = tuple(sorted({name for name, _ in headers} - {leave_out}))
    signature = Signature(KEY, "20150830", "local", "ecr", names, "0" * 64, "20150830T123600Z", NOW)
    value = sign(Request(method, "/", query, headers), signature, SECRET, EMPTY)
    credential = f"{KEY}/20150830/local/ecr/aws4_request"
    text = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, Signature={value}"
    return Request(method, "/", query, (*headers, ("authorization", text)))


def presigned(**changed: str) -> Request:
    fields = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{KEY}%2F20150830%2Flocal%2Fecr%2Faws4_request",
        "X-Amz-Date": "20150830T123600Z",
        "X-Amz-Expires": "600",
        "X-Amz-SignedHeaders": "host",
    }
    query = "&".join(f"{name}={value}" for name, value in (fields | changed).items())
    signature = Signature(KEY, "20150830", "local", "ecr", ("host",), "0" * 64, "20150830T123600Z", NOW, 600)
    value = sign(Request("GET", "/x", query, (HOST,)), signature, SECRET, EMPTY)
    return Request("GET", "/x", f"{query}&X-Amz-Signature={value}", (HOST,))


def verify(
    request: Request, *, now: float = NOW, region: str = "local", service: str = "ecr", payload: str = EMPTY
) -> None:
    verify_signature(request, read_signature(request), SECRET, payload, region=region, service=service, now=now)


def test_what_is_signed_right_is_taken() -> None:
    verify(signed())
    verify(signed(query="b=2&a=1&a=0&c=%2F&d"))
    verify(presigned())
    verify(presigned(), now=NOW + 600)


CHANGES = {
    "the method": lambda request: msgspec.structs.replace(request, method="GET"),
    "the path": lambda request: msgspec.structs.replace(request, path="/other"),
    "a parameter": lambda request: msgspec.structs.replace(request, query="a=1"),
    "a header": lambda request: msgspec.structs.replace(
        request, headers=[(name, "evil" if name == "host" else value) for name, value in request.headers]
    ),
    "a header twice": lambda request: msgspec.structs.replace(request, headers=(*request.headers, HOST)),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("made", [signed, presigned])
def test_what_was_changed_on_the_way_is_refused(what: str, made: type) -> None:
    if made is presigned and what in {"the method", "a parameter"}:
        request = made()
        changed = msgspec.structs.replace(request, method="PUT", query=f"{request.query}&more=1")
    else:
        changed = CHANGES[what](made())
    with pytest.raises((SignatureInvalid, SignatureMissing)):
        verify(changed)


def test_another_body_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        verify(signed(), payload=hashlib.sha256(b"{}").hexdigest())


@pytest.mark.parametrize("where", [{"region": "elsewhere"}, {"service": "ecr-public"}])
def test_another_region_or_service_is_refused(where: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalid, match="scoped"):
        verify(signed(), **where)  # type: ignore[arg-type]


@pytest.mark.parametrize("now", [NOW + MAX_SKEW + 1, NOW - MAX_SKEW - 1])
def test_a_clock_may_differ_by_five_minutes(now: float) -> None:
    verify(signed(), now=NOW + MAX_SKEW)
    verify(signed(), now=NOW - MAX_SKEW)
    with pytest.raises(SignatureExpired):
        verify(signed(), now=now)


def test_a_url_ends() -> None:
    with pytest.raises(SignatureExpired):
        verify(presigned(), now=NOW + 601)


@pytest.mark.parametrize("name", ["x-amz-target", "host", "x-amz-date"])
def test_what_decides_has_to_be_signed(name: str) -> None:
    with pytest.raises(SignatureIncomplete, match=name):
        verify(signed(leave_out=name))


def test_a_header_that_was_put_beside_is_refused() -> None:
    request = signed()
    with pytest.raises(SignatureIncomplete, match="x-amz-extra"):
        verify(msgspec.structs.replace(request, headers=(*request.headers, ("x-amz-extra", "1"))))


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("X-Amz-Expires=600&X-Amz-Expires=9", SignatureIncomplete),
        ("X-Amz-Date=20150830T123600Z", SignatureIncomplete),
        ("X-Amz-Signature=00", SignatureIncomplete),
    ],
)
def test_nothing_comes_twice(query: str, kind: type[Refusal]) -> None:
    request = presigned()
    with pytest.raises(kind):
        verify(msgspec.structs.replace(request, query=f"{request.query}&{query}"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Expires", "43201"), ("X-Amz-Expires", "0"), ("X-Amz-Expires", "-1"), ("X-Amz-Expires", "1e3"),
        ("X-Amz-Date", "20150831T123600Z"), ("X-Amz-Date", "20151330T123600Z"), ("X-Amz-Date", "now"),
        ("X-Amz-SignedHeaders", ""), ("X-Amz-SignedHeaders", "Host"), ("X-Amz-SignedHeaders", "host;host"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1"), ("X-Amz-Credential", "x"),
        ("X-Amz-Credential", f"{KEY}%2F20150830%2Flocal%2Fecr%2Faws3_request"),
    ],
)  # fmt: skip
def test_a_url_of_another_form_is_refused(name: str, value: str) -> None:
    with pytest.raises(SignatureIncomplete):
        verify(presigned(**{name: value}))


def test_no_signature_is_told_apart_from_a_wrong_one() -> None:
    for headers in ((HOST,), (HOST, ("authorization", "Basic QVdTOng="))):
        with pytest.raises(SignatureMissing):
            read_signature(Request("GET", "/", "", headers))


HEADERS = st.lists(
    st.tuples(st.sampled_from(["host", "x-amz-date", "authorization", "x-amz-security-token"]), st.text(max_size=40)),
    max_size=5,
)


@given(st.text(max_size=20), st.text(max_size=60), HEADERS)
def test_anything_is_a_signature_or_refused(path: str, query: str, headers: list[tuple[str, str]]) -> None:
    try:
        verify(Request("GET", path, query, headers))
    except Refusal:
        return
    pytest.fail("nobody signed this")
