"""Requests that two readers could read differently are refused, and what follows them is never run as somebody else.

S18, S23, S24 and S43 of the attack tests: each is sent byte by byte to a node that runs.
"""

import pytest

from tests.e2e.images import make_image
from tests.e2e.pushes import Client
from tests.e2e.raw import exchange, request
from tests.e2e.servers import RIVAL, Server

pytestmark = pytest.mark.skipif(RIVAL, reason="what the rival takes is its own business")

MARKER = "/v2/never/run/manifests/marker"
IMAGE = make_image(70, layers=(3000,))


@pytest.fixture
def pushed(client: Client, repository: str) -> str:
    client.put_image(repository, "v1", IMAGE)
    return repository


HOSTS = (
    "a/",
    "a?",
    "a#",
    "a@b",
    "a b",
    "a\\b",
    "a:b",
    "a:99999999",
    "[::1",
    "a%2f",
    "a,b",
    "",
    "\uff41",
    "a\tb",
    "evil.example",
)


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_none_or_not_ours_is_refused(plain_server: Server, host: str) -> None:
    """S18; on loopback a foreign name is refused too, or a page in a browser could push by DNS rebinding."""
    lines = f"POST /v2/e2e/host/blobs/uploads/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
    [answer] = exchange(plain_server, lines.encode(), method="POST")
    assert answer.status in {400, 403}
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "head",
    [
        "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\n\r\n",
        "GET http://evil.example/v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET //evil.example/v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_a_target_that_is_not_a_path_or_a_host_said_twice_is_refused(plain_server: Server, head: str) -> None:
    [answer] = exchange(plain_server, head.encode())
    assert answer.status in {400, 403, 404, 405, 501}


@pytest.mark.parametrize(
    "fields",
    [
        (("Origin", "https://evil.example"),),
        (("Origin", "null"),),
        (("Sec-Fetch-Site", "cross-site"),),
        (("Origin", "http://localhost.evil.example"),),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_page_of_another_site_changes_nothing(
    plain_server: Server, client: Client, pushed: str, fields: tuple[tuple[str, str], ...], method: str
) -> None:
    """S17: an open node on loopback is reached by every page that a browser on this machine shows."""
    target = f"/v2/{pushed}/blobs/uploads/" if method == "POST" else f"/v2/{pushed}/manifests/v1"
    sent = request(method, target, *fields, host=plain_server.address, body=b"{}" if method == "PUT" else b"")
    [answer] = exchange(plain_server, sent, method=method)
    assert answer.status == 403
    assert client.get_manifest(pushed, "v1") == IMAGE.manifest.data


NUMBERS = ("\uff11\uff12", "1_0", "-1", "+5", " 5", "5 ", "1e3", "0x10", "1.0", "\u0663", "9" * 400, "", "NaN")


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_python_takes_and_http_does_not(plain_server: Server, pushed: str, number: str) -> None:
    """S23: ``int()`` takes full-width digits, signs, underscores and spaces."""
    host = plain_server.address
    as_query = "".join(f"%{byte:02x}" for byte in number.encode())
    [listed] = exchange(plain_server, request("GET", f"/v2/{pushed}/tags/list?n={as_query}", host=host))
    assert listed.status == (200 if number == "9" * 400 else 400)
    head = f"POST /v2/{pushed}/blobs/uploads/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: {number}\r\n\r\n"
    as_length = exchange(plain_server, head.encode(), method="POST")
    if number.strip(" \t").isascii() and number.strip(" \t").isdigit() and len(number) < 20:
        assert as_length[0].status in {202, 400}
    else:
        assert [one.status for one in as_length] in ([400], [413])


@pytest.mark.parametrize(
    "span", ["0-1_0", "+0-5", "0-", "-5", "5-0", "a-b", "0-99999999999999999999999", "\uff10-\uff15"]
)
def test_a_content_range_is_digits_and_a_hyphen(client: Client, repository: str, span: str) -> None:
    upload = client.open_upload(repository)
    answer = client.call("PATCH", upload, b"abcdef", Content_Range=span.encode().decode("latin-1"))
    assert answer.status in {400, 416}


@pytest.mark.parametrize(
    "name",
    [
        "a%0a", "a%0d%0aX:y", "a%00", "A/b", "a//b", "a/../b", "../a", "a/%2e%2e/b", "a%2fb", "a%5cb", "a/", "-a",
        "a..b", "a%20b", "\uff41", "a" * 257, "a/" * 200 + "a", "_a", "a%ff", "a%c0%afb",
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_refused_whatever_is_asked(plain_server: Server, client: Client, name: str) -> None:
    """S23, S43: the target is decoded once, and names are ASCII as OCI has them."""
    raw = "".join(char if char.isascii() else "".join(f"%{byte:02x}" for byte in char.encode()) for char in name)
    for method, rest in (("POST", "blobs/uploads/"), ("GET", "tags/list"), ("GET", "manifests/v1")):
        [answer] = exchange(
            plain_server, request(method, f"/v2/{raw}/{rest}", host=plain_server.address), method=method
        )
        assert answer.status in {400, 404}, (method, rest)
    names = client.call("GET", "/v2/_catalog?n=1000").body.decode()
    assert "a/../b" not in names
    assert "a b" not in names


_SMUGGLED = f"GET {MARKER} HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LENGTH = len(_SMUGGLED)

SMUGGLING = {
    "both framings": f"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{_SMUGGLED}",
    "both framings, swapped": f"Transfer-Encoding: chunked\r\nContent-Length: {_LENGTH}\r\n\r\n0\r\n\r\n{_SMUGGLED}",
    "two lengths": f"Content-Length: 0\r\nContent-Length: {_LENGTH}\r\n\r\n{_SMUGGLED}",
    "a list of lengths": f"Content-Length: 0, {_LENGTH}\r\n\r\n{_SMUGGLED}",
    "a length in hexadecimal": f"Content-Length: 0x{_LENGTH:x}\r\n\r\n{_SMUGGLED}",
    "a space before the colon": f"Content-Length : {_LENGTH}\r\n\r\n{_SMUGGLED}",
    "a tab before the colon": f"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n{_SMUGGLED}",
    "a folded line": f"X: y\r\n Content-Length: {_LENGTH}\r\n\r\n{_SMUGGLED}",
    "bare LF in the head": f"X: y\nContent-Length: {_LENGTH}\r\n\r\n{_SMUGGLED}",
    "bare CR in the head": f"X: y\rContent-Length: {_LENGTH}\r\n\r\n{_SMUGGLED}",
    "chunked twice": f"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{_SMUGGLED}",
    "chunked, identity": f"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{_SMUGGLED}",
    "an unknown coding": f"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{_SMUGGLED}",
    "identity": f"Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n{_SMUGGLED}",
    "gzip": f"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{_SMUGGLED}",
    "a vertical tab": f"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{_SMUGGLED}",
    "bare LF after a chunk": f"Transfer-Encoding: chunked\r\n\r\n0\n\n{_SMUGGLED}",
    "a chunk size with a sign": f"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n{_SMUGGLED}",
    "a chunk size with an underscore": f"Transfer-Encoding: chunked\r\n\r\n0_0\r\n\r\n{_SMUGGLED}",
    "a chunk size that overflows": f"Transfer-Encoding: chunked\r\n\r\n{'f' * 17}\r\n{_SMUGGLED}",
    "a chunk extension with LF": f"Transfer-Encoding: chunked\r\n\r\n0;x\ny\r\n\r\n{_SMUGGLED}",
    "a chunk without its end": f"Transfer-Encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n{_SMUGGLED}",
    "a NUL in a field": f"X: a\0b\r\nContent-Length: {_LENGTH}\r\n\r\n{_SMUGGLED}",
    "a field without a name": f": x\r\nContent-Length: {_LENGTH}\r\n\r\n{_SMUGGLED}",
    "a framing in the trailers": f"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: {_LENGTH}\r\n\r\n{_SMUGGLED}",
    "an upgrade with a body": f"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: {_LENGTH}\r\n\r\n{_SMUGGLED}",
}


@pytest.mark.parametrize("shape", SMUGGLING)
def test_what_is_smuggled_never_runs(plain_server: Server, shape: str) -> None:
    """S24: one answer, and the connection ends, for what follows is one thing to one reader and another to the next."""
    head = f"POST /v2/e2e/smuggling/blobs/uploads/ HTTP/1.1\r\nHost: {plain_server.address}\r\n"
    answers = exchange(plain_server, (head + SMUGGLING[shape]).encode("latin-1"), method="POST")
    # 202 where the answer was out before the body was looked at: what follows is not a request all the same.
    assert [one.status for one in answers] in ([400], [501], [202]), shape


TRAVERSALS = tuple(
    f"{root}{step * 4}etc/passwd"
    for root in ("/", "/v2/", "/v2/a/blobs/", "/v2/a/manifests/", "/v2/a/blobs/uploads/", "/v2/a/referrers/", "/token/")
    for step in (
        "../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%252e%252e/", "....//", "..;/", "%c0%ae%c0%ae/",
        "%uff0e%uff0e/", "..%00/", "..%0d%0a/", "\\..\\", "%ef%bc%8e%ef%bc%8e/", "./.././",
    )
)  # fmt: skip


def test_no_path_leads_out_of_the_table_of_routes(plain_server: Server) -> None:
    """S43: no file is ever named by input."""
    for target in TRAVERSALS:
        for method in ("GET", "PUT"):
            sent = request(method, target, host=plain_server.address, body=b"{}" if method == "PUT" else b"")
            [answer] = exchange(plain_server, sent, method=method)
            assert answer.status in {400, 403, 404, 405}, (method, target, answer)
            assert b"root:" not in answer.body
