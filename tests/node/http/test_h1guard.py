"""A head has one meaning, or is refused; a chunked body ends in one place."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.http.failures import NotHttp, Rejected
from node.http.h1guard import ChunkedFraming, find_head, find_line, parse_head
from node.http.limits import Limits

LIMITS = Limits()
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"

SMUGGLING = [
    (GET.replace(b"\r\n", b"\n"), 400, "bare line feeds"),
    (GET + b"X: a\nY: b\r\n", 400, "one bare line feed"),
    (GET + b"X: a\rY: b\r\n", 400, "a bare carriage return"),
    (GET + b"X: a\r\n b\r\n", 400, "a folded line"),
    (GET + b"X: a\0b\r\n", 400, "a NUL"),
    (GET + b"X : a\r\n", 400, "a space before the colon"),
    (GET + b" X: a\r\n", 400, "a space before the name"),
    (GET + b"X\r\n", 400, "no colon"),
    (GET + b": a\r\n", 400, "no name"),
    (GET + b"Host: a\r\n", 400, "two hosts"),
    (GET + b"host: b\r\n", 400, "two hosts, one in lower case"),
    (b"GET / HTTP/1.1\r\n", 400, "no host"),
    (b"GET / HTTP/1.1\r\nHost:\r\n", 400, "an empty host"),
    (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n", 400, "an absolute form"),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n", 400, "a path in the host"),
    (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400, "both framings"),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400, "both framings"),
    (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n", 400, "two lengths"),
    (POST + b"Content-Length: 1, 1\r\n", 400, "a list of lengths"),
    (POST + b"Content-Length: +1\r\n", 400, "a sign"),
    (POST + b"Content-Length: -1\r\n", 400, "a sign"),
    (POST + b"Content-Length: 1_0\r\n", 400, "what int() takes"),
    (POST + b"Content-Length: 0x1\r\n", 400, "hexadecimal"),
    (POST + b"Content-Length: " + b"9" * 30 + b"\r\n", 400, "more than anything has"),
    (POST + b"Content-Length:\r\n", 400, "an empty length"),
    (POST + b"Transfer-Encoding: xchunked\r\n", 400, "nearly chunked"),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n", 501, "compressed and chunked"),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, "chunked twice"),
    (POST + b"Transfer-Encoding: chunked, identity\r\n", 400, "chunked, but not last"),
    (POST + b"Transfer-Encoding: \x0bchunked\r\n", 400, "a vertical tab"),
    (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n", 400, "chunked in HTTP/1.0"),
    (POST + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 5\r\n", 400, "an Upgrade with a body"),
    (POST + b"Upgrade: h2c\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n", 400, "an Upgrade with a body"),
    (POST + b"Expect: more\r\n", 417, "an expectation that we do not know"),
    (GET + b"X: 1\r\n" * 100, 431, "101 fields"),
    (GET.replace(b"GET", b"CONNECT"), 501, "a tunnel"),
    (GET.replace(b"GET", b"TRACE"), 501, "an echo of credentials"),
    (GET.replace(b"GET", b"GE T"), 400, "no method"),
    (GET.replace(b"GET", b"get"), 400, "no method"),
    (GET.replace(b"1.1", b"2.0"), 505, "another version"),
    (GET.replace(b"HTTP/1.1", b""), 400, "HTTP/0.9"),
    (GET.replace(b" HTTP", b"  HTTP"), 400, "two spaces"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", 400, "a preface where it is not spoken"),
]


@pytest.mark.parametrize(("head", "status", "why"), SMUGGLING)
def test_is_refused(head: bytes, status: int, why: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_head(head + b"\r\n", LIMITS)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("head", "keep_alive", "length"),
    [
        (GET, True, 0),
        (GET + b"Connection: close\r\n", False, 0),
        (GET + b"Connection: x, Close\r\n", False, 0),
        (GET.replace(b"1.1", b"1.0"), False, 0),
        (GET.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n", True, 0),
        (POST + b"Content-Length: 007\r\n", True, 7),
        (POST + b"Transfer-Encoding: CHUNKED\r\n", True, None),
        (GET + b"Upgrade: h2c\r\nConnection: upgrade\r\n", True, 0),
    ],
)
def test_framing(head: bytes, keep_alive: bool, length: int | None) -> None:
    parsed = parse_head(head + b"\r\n", LIMITS)
    assert (parsed.keep_alive, parsed.length) == (keep_alive, length)


def test_fields_are_joined_and_values_trimmed() -> None:
    parsed = parse_head(GET + b"Accept: a\r\nACCEPT:\t b \r\n\r\n", LIMITS)
    assert parsed.headers == {"host": "a", "accept": "a, b"}


@given(
    st.lists(
        st.sampled_from(
            [
                b"GET / HTTP/1.1",
                b"\r\n",
                b"\n",
                b"\r",
                b":",
                b" ",
                b"Host: a\r\n",
                b"x",
                b"\0",
                b"Content-Length: 1\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Upgrade: a\r\n",
            ]
        )
    )
)
@example([b"GET / HTTP/1.1", b"\r\n", b"Host: a\r\n", b"\r\n"])
@example([b" ", b"Content-Length: 1\r\n", b"\r\n"])
def test_any_head_is_read_or_refused(parts: list[bytes]) -> None:
    buffer = bytearray(b"".join(parts))
    with suppress(Rejected, NotHttp):
        length = find_head(buffer, LIMITS)
        if length:
            head = parse_head(bytes(buffer[:length]), LIMITS)
            assert head.host == "a"
            assert head.length in {0, 1, None}


def test_a_head_has_a_largest_size() -> None:
    assert find_head(bytearray(b"x" * 16_383), LIMITS) == 0
    with pytest.raises(Rejected):
        find_head(bytearray(b"x" * 16_384), LIMITS)


def unchunk(data: bytes) -> tuple[bytes, bytes]:
    """Read a chunked body as the engine does; return it and what comes after it."""
    framing, buffer, body = ChunkedFraming(LIMITS), bytearray(data), b""
    while not framing.ended:
        if framing.remaining:
            part = bytes(buffer[: framing.remaining])
            if not part:
                raise EOFError
            del buffer[: len(part)]
            framing.remaining -= len(part)
            body += part
            continue
        length = find_line(buffer, LIMITS)
        if length < 0:
            raise EOFError
        framing.line(bytes(buffer[:length]))
        del buffer[: length + 2]
    return body, bytes(buffer)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b'3;x="y"\r\nabc\r\nA \r\n0123456789\r\n00\r\n\r\n', b"abc0123456789"),
        (b"1\r\n\n\r\n0\r\nX: y\r\n\r\n", b"\n"),
    ],
)
def test_a_chunked_body_ends(data: bytes, body: bytes) -> None:
    assert unchunk(data + b"GET") == (body, b"GET")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"3\nabc\r\n0\r\n\r\n", "a bare line feed"),
        (b"3\r\r\nabc\r\n0\r\n\r\n", "a bare carriage return"),
        (b"3\r\nabcd\r\n0\r\n\r\n", "longer than its size"),
        (b"0x3\r\nabc\r\n0\r\n\r\n", "hexadecimal with a prefix"),
        (b"+3\r\nabc\r\n0\r\n\r\n", "a sign"),
        (b"\r\nabc", "no size"),
        (b" 3\r\nabc", "a space first"),
        (b"3;\0\r\nabc", "a NUL in an extension"),
        (b"f" * 16 + b"\r\n", "more than anything has"),
        (b"3;" + b"x" * 300, "an endless extension"),
        (b"0\r\n" + b"X: y\r\n" * 17 + b"\r\n", "an endless trailer"),
        (b"0\r\nGET / HTTP/1.1\r\n\r\n", "a request in the trailer"),
        (b"0\r\n X: y\r\n\r\n", "a folded trailer"),
    ],
)
def test_a_chunked_body_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Rejected):
        unchunk(data)


@given(st.binary(max_size=80) | st.lists(st.sampled_from([b"1", b"0", b"\r\n", b"\n", b";", b"a"])).map(b"".join))
def test_any_chunked_body_ends_or_is_refused(data: bytes) -> None:
    with suppress(Rejected, EOFError):
        body, rest = unchunk(data)
        assert len(body) + len(rest) <= len(data)


def test_a_client_that_begins_with_tls_is_told_at_once() -> None:
    with pytest.raises(Rejected, match="TLS"):
        find_head(bytearray(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), LIMITS)
