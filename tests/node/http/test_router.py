"""Paths find their handler, and only theirs."""

import pytest

from node.http.router import Match, MethodNotAllowed, NotFound, Route, Router

ROUTER = Router(
    [
        Route(method, pattern, "an:Action", f"{method} {pattern}")
        for method, pattern in [
            ("GET", "/v2/"),
            ("GET", "/v2/_catalog"),
            ("GET", "/v2/{name}/manifests/{reference}"),
            ("PUT", "/v2/{name}/manifests/{reference}"),
            ("GET", "/v2/{name}/blobs/{digest}"),
            ("POST", "/v2/{name}/blobs/uploads/"),
            ("PATCH", "/v2/{name}/blobs/uploads/{upload}"),
            ("GET", "/v2/{name}/tags/list"),
            ("GET", "/rules/{prefix}/dry-run"),
        ]
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "pattern", "params"),
    [
        ("GET", "/v2/", "/v2/", {}),
        ("GET", "/v2/_catalog", "/v2/_catalog", {}),
        ("GET", "/v2/a/manifests/1", "/v2/{name}/manifests/{reference}", {"name": "a", "reference": "1"}),
        ("PUT", "/v2/a/b/c/manifests/1", "/v2/{name}/manifests/{reference}", {"name": "a/b/c", "reference": "1"}),
        (
            "GET",
            "/v2/manifests/manifests/x",
            "/v2/{name}/manifests/{reference}",
            {"name": "manifests", "reference": "x"},
        ),
        (
            "GET",
            "/v2/blobs/uploads/manifests/x",
            "/v2/{name}/manifests/{reference}",
            {"name": "blobs/uploads", "reference": "x"},
        ),
        ("POST", "/v2/a/blobs/uploads/", "/v2/{name}/blobs/uploads/", {"name": "a"}),
        ("PATCH", "/v2/a/blobs/uploads/7", "/v2/{name}/blobs/uploads/{upload}", {"name": "a", "upload": "7"}),
        ("GET", "/v2/a/blobs/b", "/v2/{name}/blobs/{digest}", {"name": "a", "digest": "b"}),
        ("GET", "/v2/tags/list/tags/list", "/v2/{name}/tags/list", {"name": "tags/list"}),
        ("GET", "/rules/a/dry-run", "/rules/{prefix}/dry-run", {"prefix": "a"}),
    ],
)
def test_matches(method: str, path: str, pattern: str, params: dict[str, str]) -> None:
    found = ROUTER.match(method, path)
    assert isinstance(found, Match)
    assert (found.route.handler, found.params) == (f"{method} {pattern}", params)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v2",
        "/v2/manifests/x",
        "/v2//manifests/",
        "/v2/a/manifests/",
        "/v2/a/manifests",
        "/x",
        "/V2/",
        "/rules/a/b/dry-run",
        "/rules//dry-run",
        "/v2/a/tags/list/",
    ],
)
def test_is_not_found(path: str) -> None:
    assert ROUTER.match("GET", path) == NotFound()


def test_other_methods_are_named() -> None:
    assert ROUTER.match("DELETE", "/v2/a/manifests/x") == MethodNotAllowed(("GET", "PUT"))


@pytest.mark.parametrize("route", [("GET", "/x", ""), ("GET", "x", "a"), ("GET", "/{name}/{name}", "a")])
def test_a_route_without_an_action_or_a_path_is_refused(route: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"no action|not a pattern"):
        Route(*route, handler=None)


def test_a_route_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Router([Route("GET", "/x/{a}", "a", 1), Route("GET", "/x/{b}", "a", 2)])
