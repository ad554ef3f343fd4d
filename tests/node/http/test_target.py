"""A target and a host are read once, strictly; what could be read twice is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.http.failures import Rejected
from node.http.limits import Limits
from node.http.target import host_name, parse_host, parse_target

LIMITS = Limits()


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/v2/", "/v2/", ()),
        ("/v2/a/manifests/sha256:0", "/v2/a/manifests/sha256:0", ()),
        ("/%41", "/A", ()),
        ("/a%2541", "/a%41", ()),  # Once.
        ("/a?", "/a", ()),
        ("/a?n=1&n=2&last=", "/a", (("n", "1"), ("n", "2"), ("last", ""))),
        ("/a?from=library%2Fnginx", "/a", (("from", "library/nginx"),)),  # In a query a slash is only text.
        ("/a?x=1+2&&y", "/a", (("x", "1 2"), ("y", ""))),
        ("/a?u=http://b/?c", "/a", (("u", "http://b/?c"),)),
        ("/%c3%a9", "/é", ()),
    ],
)
def test_is_a_target(target: str, path: str, query: tuple[tuple[str, str], ...]) -> None:
    assert parse_target(target, LIMITS) == (path, query)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("", 400),
        ("v2/", 400),
        ("*", 400),
        ("http://host/v2/", 400),  # An absolute form names a second host.
        ("/a%2fb", 400),
        ("/a%2Fb", 400),
        ("/a%5cb", 400),
        ("/a\\b", 400),
        ("/a%00", 400),
        ("/a?x=%00", 400),
        ("/a%", 400),
        ("/a%4", 400),
        ("/a?x=%zz", 400),
        ("/%ff", 400),
        ("/%c0%af", 400),  # A slash in more bytes than it needs.
        ("/a#b", 400),
        ("/a b", 400),
        ("/\xe9", 400),
        ("/" + "a" * 8192, 414),
        ("/?" + "&".join("a" * 65), 400),
    ],
)
def test_is_no_target(target: str, status: int) -> None:
    with pytest.raises(Rejected) as caught:
        parse_target(target, LIMITS)
    assert caught.value.status == status


@given(st.text(st.characters(max_codepoint=255), max_size=60).map(lambda text: "/" + text))
def test_any_target_is_read_or_refused(target: str) -> None:
    with suppress(Rejected):
        path, _ = parse_target(target, LIMITS)
        assert path.startswith("/")
        assert "\0" not in path
        assert "\\" not in path
        assert path.count("/") == target.partition("?")[0].count("/")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a", "a"),
        ("Localhost:5000", "localhost"),
        ("my_registry.example:1", "my_registry.example"),
        ("127.0.0.1:5000", "127.0.0.1"),
        ("[::1]:5000", "::1"),
        ("[::1]", "::1"),
    ],
)
def test_is_a_host(host: str, name: str) -> None:
    assert host_name(parse_host(host)) == name


@pytest.mark.parametrize(
    "host",
    ["", "a/", "a?", "a#", "a@b", "a b", "a,b", "a:", "a:x", "a:123456", "-a", "a\n", "[a", "é", "a" * 300, "::1"],
)
def test_is_no_host(host: str) -> None:
    with pytest.raises(Rejected):
        parse_host(host)
