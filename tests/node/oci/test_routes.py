"""Every route asks for its action before anything else, and who is refused learns nothing."""

import json

import pytest

from node.api.oci.routes import ROUTES
from node.http.router import Route
from node.registry.condition import Condition, Reason
from protocol.oci.digest import digest_of
from tests.node.oci.conftest import Door
from tests.node.registry.world import ALICE, APP, EVE, image, push_image

IDS = [f"{route.method} {route.pattern}" for route in ROUTES]
EVERY = pytest.mark.parametrize("route", [route for route in ROUTES if "{name}" in route.pattern], ids=str)
BODY = image(b"{}")


def target(route: Route[object], name: str, *, present: bool) -> str:
    upload = "00000000-0000-4000-8000-000000000000"
    digest = digest_of(BODY if "manifests" in route.pattern or "referrers" in route.pattern else b"{}")
    values = {
        "{name}": name,
        "{reference}": digest if present else digest_of(b"none"),
        "{digest}": digest if present else digest_of(b"none"),
        "{upload}": upload,
    }
    path = route.pattern
    for field, value in values.items():
        path = path.replace(field, value)
    return f"{path}?digest={digest_of(b'{}')}" if "uploads" in route.pattern else path


def test_there_is_no_route_without_an_action() -> None:
    assert all(route.action.startswith("ecr:") for route in ROUTES)


@EVERY
async def test_a_route_asks_for_its_action_first(door: Door, route: Route[object]) -> None:
    await push_image(door.registry, b"{}", tags=("1.27",))
    door.world.asked.clear()
    await door(route.method, target(route, APP, present=True), BODY)
    assert door.world.asked[0] == (ALICE.arn, route.action, APP)


@EVERY
async def test_who_is_refused_gets_the_same_answer_for_what_is_there_and_what_is_not(
    door: Door, route: Route[object]
) -> None:
    await push_image(door.registry, b"{}", tags=("1.27",))
    await door("GET", target(route, APP, present=True))
    door.caller = EVE
    answers = [
        await door(route.method, target(route, name, present=present), BODY)
        for name, present in ((APP, True), (APP, False), ("none/such", True))
    ]
    assert [one.status for one in answers] == [403] * 3
    assert len({one.body.replace(b"none/such", APP.encode()) for one in answers}) == 1
    assert len({tuple(one.headers.items()) for one in answers}) == 1


async def test_a_refused_caller_gets_nothing_that_another_one_was_just_given(door: Door) -> None:
    """Also where the answer is still at hand."""
    await push_image(door.registry, b"{}", tags=("1.27",))
    path = f"/v2/{APP}/manifests/1.27"
    assert [(await door("GET", path)).status for _ in range(2)] == [200, 200]
    door.caller = EVE
    assert (await door("GET", path)).status == 403


@EVERY
async def test_who_cannot_be_told_is_refused(door: Door, route: Route[object]) -> None:
    await push_image(door.registry, b"{}", tags=("1.27",))
    await door("GET", target(route, APP, present=True))
    door.caller = None
    assert (await door(route.method, target(route, APP, present=True), BODY)).status == 403


async def test_an_answer_at_hand_goes_with_the_next_change(door: Door) -> None:
    path = f"/v2/{APP}/manifests/1.27"
    for data in (b"1", b"2", b"3"):
        digest = await push_image(door.registry, data, tags=("1.27",))
        for _ in range(2):
            got = await door("GET", path)
            assert (got.headers["docker-content-digest"], got.body) == (digest, image(data))
        assert (await door("HEAD", path)).headers["docker-content-digest"] == digest
    await door("DELETE", path)
    assert (await door("GET", path)).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/v2/", "/v2"])
async def test_the_base_says_what_this_is(door: Door, method: str, path: str) -> None:
    if (method, path) == ("HEAD", "/v2"):
        return
    got = await door(method, path)
    assert (got.status, got.headers["docker-distribution-api-version"]) == (200, "registry/2.0")


async def test_another_method_is_told_which_there_are(door: Door) -> None:
    got = await door("PATCH", f"/v2/{APP}/manifests/1.27")
    assert (got.status, got.headers["allow"]) == (405, "DELETE, GET, HEAD, PUT")


@pytest.mark.parametrize(
    "path", ["/", "/v1/", "/v2/x", "/v2/app/manifests", "/v2/app/manifests/", "/metrics/x", "/v2//"]
)
async def test_what_is_nowhere_is_404(door: Door, path: str) -> None:
    assert (await door("GET", path)).status == 404


async def test_health_is_told_beside_the_api(door: Door) -> None:
    assert [(await door("GET", path)).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    door.condition = Condition(pushes=False, pulls=True, reasons=(Reason("disk-full", "no room"),))
    got = await door("GET", "/readyz")
    text = b"pulls go on, pushes are refused\ndisk-full: no room\n"
    assert (got.status, got.body, "retry-after" in got.headers) == (503, text, True)
    pulls = await door("GET", "/readyz?for=pulls")
    assert (pulls.status, pulls.body, "retry-after" in pulls.headers) == (200, text, False)
    machines = await door("GET", "/readyz", accept="application/json")
    assert (machines.status, machines.headers["content-type"]) == (503, "application/json")
    assert json.loads(machines.body) == {
        "pushes": False, "pulls": True, "reasons": [{"name": "disk-full", "what": "no room"}]
    }  # fmt: skip
    assert (await door("GET", "/healthz")).status == 200
    assert (await door("POST", "/healthz")).status == 404


@pytest.mark.parametrize(
    "name", ["../etc", "App", "a//b", "app/..", "a" * 257, "app\x00x", "app\nx", "app/", "_catalog/x", "x" * 8192]
)
@pytest.mark.parametrize("rest", ["manifests/1.27", "blobs/" + digest_of(b""), "tags/list", "blobs/uploads/"])
async def test_a_hostile_name_is_a_name_that_is_invalid(door: Door, name: str, rest: str) -> None:
    got = await door("POST" if "uploads" in rest else "GET", f"/v2/{name}/{rest}")
    assert got.status in {400, 404}
    assert len(got.body) < 1000
    assert b'"errors":[{' in got.body


@pytest.mark.parametrize(
    "reference", ["-x", ".x", "a" * 129, "sha256:00", "md5:" + "0" * 32, "sha256:" + "A" * 64, "a b"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_hostile_reference_is_invalid(door: Door, reference: str, method: str) -> None:
    assert (await door(method, f"/v2/{APP}/manifests/{reference}", BODY)).status == 400
