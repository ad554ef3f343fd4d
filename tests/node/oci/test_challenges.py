"""Whoever did not say who it is learns how to, for this very request, and nothing of what is there."""

import pytest

from protocol.auth.caller import Access, Caller
from protocol.errors import Damaged
from tests.node.oci.conftest import Door
from tests.node.registry.world import APP, push_image

NOBODY = Caller("*", "")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", f"/v2/{APP}/manifests/1.27", f"repository:{APP}:pull"),
        ("HEAD", f"/v2/{APP}/manifests/none", f"repository:{APP}:pull"),
        ("GET", "/v2/none/such/manifests/1.27", "repository:none/such:pull"),
        ("PUT", f"/v2/{APP}/manifests/new", f"repository:{APP}:pull,push"),
        ("POST", f"/v2/{APP}/blobs/uploads/", f"repository:{APP}:pull,push"),
        ("DELETE", f"/v2/{APP}/manifests/1.27", f"repository:{APP}:delete"),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
    ],
)
async def test_nobody_is_told_what_to_ask_a_token_for(door: Door, method: str, path: str, scope: str) -> None:
    await push_image(door.registry, b"{}", tags=("1.27",))
    door.caller = NOBODY
    got = await door(method, path, b"{}")
    challenges = [value for name, value in got.fields if name == "www-authenticate"]
    assert got.status == 401
    assert challenges == [
        f'Bearer realm="http://localhost/token",service="localhost",scope="{scope}"',
        'Basic realm="http://localhost/",service="ecr.amazonaws.com"',
    ]
    assert method == "HEAD" or b"UNAUTHORIZED" in got.body


async def test_a_mount_needs_a_token_for_its_source_too(door: Door) -> None:
    door.caller = NOBODY
    got = await door("POST", f"/v2/{APP}/blobs/uploads/?mount=sha256:{'0' * 64}&from=other")
    assert f'scope="repository:{APP}:pull,push repository:other:pull"' in got.fields[2][1] + got.fields[3][1]


async def test_the_base_is_for_those_who_showed_something(door: Door) -> None:
    assert (await door("GET", "/v2/")).status == 200
    door.caller = NOBODY
    got = await door("GET", "/v2/")
    assert got.status == 401
    challenges = [value for name, value in got.fields if name == "www-authenticate"]
    assert challenges == ['Bearer realm="http://localhost/token",service="localhost"']  # Basic would stop docker.
    door.caller = Caller("*", "", access=(Access("public/a/b", 1, ("ecr:BatchGetImage",)),))
    assert (await door("GET", "/v2/")).status == 200


async def test_metrics_are_for_those_who_may_read_them(door: Door) -> None:
    assert (await door("GET", "/metrics")).body == b"metrics 1\n"
    door.caller = NOBODY
    assert (await door("GET", "/metrics")).status == 401
    assert [(await door("GET", path)).status for path in ("/healthz", "/readyz")] == [200, 200]


async def test_damage_of_what_says_who_may_is_told_and_no_bug(door: Door) -> None:
    """Also where the answer is still at hand."""
    await push_image(door.registry, b"{}", tags=("1.27",))
    path = f"/v2/{APP}/manifests/1.27"
    assert (await door("GET", path)).status == 200

    def policies(_caller: Caller, _action: str, _resource: object, _keys: object) -> None:
        raise Damaged("the row of the repository")

    door.registry.policies = policies
    assert [(await door("GET", one)).status for one in (path, "/metrics")] == [500, 500]
    assert [str(one) for one in door.damaged] == ["the row of the repository"] * 2
