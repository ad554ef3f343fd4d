"""Public repositories have a host of their own where one is configured, and one name behind every door."""

import json

import pytest

from node.registry.registry import Settings
from node.registry.settings import create_repository
from protocol.auth.public import PublicPlace, public_repository
from protocol.oci.digest import digest_of
from protocol.oci.names import RepositoryName
from tests.node.oci.conftest import Door
from tests.node.registry.world import ALICE, APP, image, push_image

HOST = "gallery.example"
NAME = "team/app"


@pytest.fixture
async def inside(door: Door) -> RepositoryName:
    """The name inside of a public repository with one image, whose door is the public host."""
    name = public_repository(door.registry.name.account, NAME)
    door.registry.settings = Settings(public=PublicPlace("acme", HOST))
    await create_repository(door.registry, ALICE, name, {})
    await push_image(door.registry, b"{}", name=name, tags=("1.27",))
    door.host = HOST
    return name


async def test_one_image_is_there_by_every_name_and_is_the_same(door: Door, inside: RepositoryName) -> None:
    at_home = (f"acme/{NAME}", f"{door.registry.name.account}/{NAME}", f"public/acme/{NAME}", inside)
    got = [await door("GET", f"/v2/{name}/manifests/1.27") for name in at_home]
    door.host = "localhost"
    got += [await door("GET", f"/v2/{name}/manifests/1.27") for name in at_home[2:]]
    assert {one.status for one in got} == {200}
    assert len({one.headers["docker-content-digest"] for one in got}) == 1


async def test_policies_are_asked_for_the_one_name(door: Door, inside: RepositoryName) -> None:
    door.world.asked.clear()
    await door("GET", f"/v2/acme/{NAME}/manifests/1.27")
    await door("GET", f"/v2/acme/{NAME}/manifests/1.27")  # This one is at hand.
    assert door.world.asked == [(ALICE.arn, "ecr:BatchGetImage", inside)] * 2


async def test_a_private_repository_is_not_at_the_public_host_nor_a_public_one_at_another(
    door: Door, inside: RepositoryName
) -> None:
    await push_image(door.registry, b"{}", tags=("1.27",))
    door.host = "localhost"
    assert (await door("GET", f"/v2/{APP}/manifests/1.27")).status == 200
    assert (await door("GET", f"/v2/acme/{NAME}/manifests/1.27")).status == 404
    door.host = HOST
    assert (await door("GET", f"/v2/{APP}/manifests/1.27")).status == 404
    assert (await door("GET", f"/v2/acme/{NAME}/manifests/1.27")).status == 200


async def test_a_push_through_the_public_host_lands_inside(door: Door, inside: RepositoryName) -> None:
    data = b"layer"
    begun = await door("POST", f"/v2/acme/{NAME}/blobs/uploads/")
    assert begun.status == 202
    done = await door("PUT", f"{begun.headers['location']}?digest={digest_of(data)}", data)
    assert done.status == 201
    assert (await door("GET", done.headers["location"])).body == data
    body = image(data)
    put = await door("PUT", f"/v2/acme/{NAME}/manifests/2", body, content_type=json.loads(body)["mediaType"])
    assert put.status == 201
    assert (await door("GET", put.headers["location"])).body == body
    tags = await door("GET", f"/v2/acme/{NAME}/tags/list?n=1")
    assert json.loads(tags.body) == {"name": f"acme/{NAME}", "tags": ["1.27"]}
    rest = await door("GET", tags.headers["link"].partition(">")[0].removeprefix("<"))
    assert json.loads(rest.body) == {"name": f"acme/{NAME}", "tags": ["2"]}


async def test_a_mount_names_its_source_as_the_client_knows_it(door: Door, inside: RepositoryName) -> None:
    other = public_repository(door.registry.name.account, "team/other")
    await create_repository(door.registry, ALICE, other, {})
    target = f"/v2/acme/team/other/blobs/uploads/?mount={digest_of(b'{}')}&from=acme/{NAME}"
    assert (await door("POST", target)).status == 201
    assert (await door("GET", f"/v2/acme/team/other/blobs/{digest_of(b'{}')}")).status == 200


@pytest.mark.parametrize("name", ["acme/new", "other/new", "000000000000/new"])
async def test_no_push_creates_a_public_repository(door: Door, inside: RepositoryName, name: str) -> None:
    for host, path in ((HOST, name), ("localhost", f"public/{name}")):
        door.host = host
        refused = await door("POST", f"/v2/{path}/blobs/uploads/")
        assert refused.status == 404
        assert json.loads(refused.body)["errors"][0]["code"] == "NAME_UNKNOWN"
        data = b"layer"
        assert (await door("POST", f"/v2/{path}/blobs/uploads/?digest={digest_of(data)}", data)).status == 404
        mount = f"/v2/{path}/blobs/uploads/?mount={digest_of(b'{}')}&from={inside}"
        assert (await door("POST", mount)).status == 404
        assert (await door("PUT", f"/v2/{path}/manifests/1", image(b"{}"))).status == 404
