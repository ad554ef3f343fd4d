"""Each request of the distribution API needs its actions of ECR: with them it works, without any one it does not.

Source: ECR user guide, "Logging Amazon ECR actions", "IAM permissions for pushing an image".
"""

import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec
import pytest

from node.registry.authority import Authority
from node.registry.identity.granting import put_inline_policy
from node.registry.identity.principals import create_principal
from protocol.auth.caller import Access, Caller, root_of
from protocol.oci.digest import digest_of
from protocol.oci.names import RepositoryName
from tests.node.oci.conftest import Door, door_of
from tests.node.registry.world import ACCOUNT, APP, OTHER, World, image, opened, push_blob, push_image

OPERATOR = Caller(root_of(ACCOUNT), ACCOUNT)
CHECK, LAYER, GET = "BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage"
BEGIN, PART, END, PUT, DELETE = (
    "InitiateLayerUpload",
    "UploadLayerPart",
    "CompleteLayerUpload",
    "PutImage",
    "BatchDeleteImage",
)
CONFIG, LOOSE, NEW = b"{}", b"in no image", b"new here"
IMAGE = image(CONFIG)

ROWS: list[tuple[str, str, bytes, list[str], int]] = [
    ("GET", "manifests/1.27", b"", [GET], 200),
    ("HEAD", "manifests/1.27", b"", [GET], 200),
    ("GET", f"manifests/{digest_of(IMAGE)}", b"", [GET], 200),
    ("GET", f"blobs/{digest_of(CONFIG)}", b"", [LAYER], 200),
    ("HEAD", f"blobs/{digest_of(CONFIG)}", b"", [LAYER], 200),
    ("HEAD", f"blobs/{digest_of(CONFIG)}", b"", [CHECK], 200),
    ("HEAD", f"blobs/{digest_of(LOOSE)}", b"", [CHECK], 200),
    ("GET", f"referrers/{digest_of(IMAGE)}", b"", [GET], 200),
    ("GET", "tags/list", b"", ["ListImages"], 200),
    ("POST", "blobs/uploads/", b"", [BEGIN], 202),
    ("POST", f"blobs/uploads/?digest={digest_of(NEW)}", NEW, [BEGIN, PART, END], 201),
    ("PUT", "manifests/v2", IMAGE, [PUT], 201),
    ("PUT", "manifests/1.27", IMAGE, [PUT], 201),
    ("DELETE", "manifests/1.27", b"", [DELETE], 202),
    ("DELETE", f"manifests/{digest_of(IMAGE)}", b"", [DELETE], 202),
    ("DELETE", f"blobs/{digest_of(LOOSE)}", b"", [DELETE], 202),
]  # fmt: skip


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    world = World()
    async with opened(tmp_path, world) as registry:
        await push_image(registry, CONFIG, tags=("1.27",))
        await push_blob(registry, LOOSE)
        await push_blob(registry, CONFIG, OTHER)
        registry.policies = Authority(registry)
        yield door_of(registry, world)


async def caller(door: Door, name: str, actions: Iterable[str], *repositories: RepositoryName) -> Caller:
    """A user with these rights on these repositories, and nothing else."""
    registry = door.registry
    made = await create_principal(registry, OPERATOR, "user", name)
    allowed = [f"ecr:{action}" for action in actions]
    if allowed:
        where = [f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/{one}" for one in repositories or (APP,)]
        policy = {"Statement": {"Effect": "Allow", "Action": allowed, "Resource": where}}
        await put_inline_policy(registry, OPERATOR, "user", name, "own", json.dumps(policy))
    return Caller(made.arn, ACCOUNT, "203.0.113.9", user_id=made.id, user_name=name)


@pytest.mark.parametrize(("method", "path", "body", "needed", "status"), ROWS)
async def test_a_request_needs_its_actions_and_no_others(
    door: Door, method: str, path: str, body: bytes, needed: list[str], status: int
) -> None:
    everything = {CHECK, LAYER, GET, BEGIN, PART, END, PUT, DELETE, "ListImages"}
    alternatives = {LAYER, CHECK} if method == "HEAD" and "blobs" in path else set()
    for at, missing in enumerate(needed):
        door.caller = await caller(door, f"without{at}", everything - {missing} - alternatives)
        assert (await door(method, f"/v2/{APP}/{path}", body)).status == 403, missing
    door.caller = await caller(door, "with", needed)
    assert (await door(method, f"/v2/{APP}/{path}", body)).status == status


async def test_a_pull_needs_two_actions_and_a_push_five(door: Door) -> None:
    door.caller = await caller(door, "puller", [GET, LAYER])
    for method, path in (("HEAD", f"blobs/{digest_of(CONFIG)}"), ("GET", f"blobs/{digest_of(CONFIG)}")):
        assert (await door(method, f"/v2/{APP}/{path}")).status == 200
    assert (await door("HEAD", f"/v2/{APP}/blobs/{digest_of(LOOSE)}")).status == 403
    assert (await door("HEAD", f"/v2/{APP}/blobs/{digest_of(NEW)}")).status == 403
    door.caller = await caller(door, "pusher", [CHECK, BEGIN, PART, END, PUT])
    assert (await door("HEAD", f"/v2/{APP}/blobs/{digest_of(NEW)}")).status == 404
    place = (await door("POST", f"/v2/{APP}/blobs/uploads/")).headers["location"]
    assert (await door("PATCH", place, NEW)).status == 202
    assert (await door("GET", place)).status == 204
    assert (await door("PUT", f"{place}?digest={digest_of(NEW)}")).status == 201
    assert (await door("PUT", f"/v2/{APP}/manifests/v3", image(NEW))).status == 201
    assert (await door("GET", f"/v2/{APP}/manifests/v3")).status == 403


async def test_the_end_of_an_upload_with_bytes_needs_the_right_to_parts(door: Door) -> None:
    door.caller = await caller(door, "ender", [BEGIN, END])
    place = (await door("POST", f"/v2/{APP}/blobs/uploads/")).headers["location"]
    assert (await door("PUT", f"{place}?digest={digest_of(NEW)}", NEW)).status == 403
    assert (await door("PUT", f"{place}?digest={digest_of(b'')}")).status == 201
    place = (await door("POST", f"/v2/{APP}/blobs/uploads/")).headers["location"]
    assert (await door("DELETE", place)).status == 204


async def test_a_mount_never_tells_whether_there_is_something_that_it_may_not_have(door: Door) -> None:
    """S02: a source that is forbidden, one that is not there, a digest that is not there, no source: all alike."""
    door.caller = await caller(door, "pusher", [BEGIN, PART, END])
    digest, none = digest_of(CONFIG), digest_of(b"none")
    targets = (f"mount={digest}&from={OTHER}", f"mount={digest}&from=no/such", f"mount={none}&from={OTHER}")
    answers = [await door("POST", f"/v2/{APP}/new/blobs/uploads/?{one}") for one in targets]
    assert [one.status for one in answers] == [403] * 3  # The target itself is not theirs.
    answers = [await door("POST", f"/v2/team/app/blobs/uploads/?{one}") for one in (*targets, f"mount={none}")]
    assert [one.status for one in answers] == [202] * 4
    assert len({tuple(sorted(one.headers)) for one in answers}) == 1
    door.caller = await caller(door, "mounter", [BEGIN, LAYER], APP, OTHER)
    assert (await door("POST", f"/v2/{APP}/blobs/uploads/?mount={digest}&from={OTHER}")).status == 201


async def test_a_mount_without_a_source_takes_from_what_the_caller_may_pull_alone(door: Door) -> None:
    """APP and OTHER have the layer; who may pull neither uploads it."""
    target = RepositoryName("mine")
    await push_blob_as_operator(door, target)
    door.caller = await caller(door, "ana", [BEGIN], target)
    assert (await door("POST", f"/v2/{target}/blobs/uploads/?mount={digest_of(CONFIG)}")).status == 202
    door.caller = await caller(door, "bob", [BEGIN, LAYER], target, OTHER)
    assert (await door("POST", f"/v2/{target}/blobs/uploads/?mount={digest_of(CONFIG)}")).status == 201


async def push_blob_as_operator(door: Door, name: RepositoryName) -> None:
    door.caller = OPERATOR
    assert (await door("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(NEW)}", NEW)).status == 201


async def test_an_upload_is_its_principals_and_its_repositorys(door: Door) -> None:
    """S03: another one's upload is not there, by any verb, in any repository; and it still ends well."""
    rights = [BEGIN, PART, END]
    ana, bob = await caller(door, "ana", rights, APP, OTHER), await caller(door, "bob", rights, APP, OTHER)
    door.caller = ana
    place = (await door("POST", f"/v2/{APP}/blobs/uploads/")).headers["location"]
    assert (await door("PATCH", place, NEW[:3])).status == 202
    elsewhere = place.replace(APP, OTHER)
    for who, where in ((bob, place), (bob, elsewhere), (ana, elsewhere)):
        door.caller = who
        answers = [await door(method, where, NEW) for method in ("GET", "PATCH", "DELETE")]
        answers.append(await door("PUT", f"{where}?digest={digest_of(NEW)}", NEW))
        assert [one.status for one in answers] == [404] * 4
    door.caller = ana
    assert (await door("PUT", f"{place}?digest={digest_of(NEW)}", NEW[3:])).status == 201


async def test_a_listing_shows_what_the_caller_may_describe(door: Door) -> None:
    door.caller = await caller(door, "ana", ["DescribeRepositories"], OTHER)
    got = await door("GET", "/v2/_catalog")
    assert (got.status, json.loads(got.body)) == (200, {"repositories": [OTHER]})
    door.caller = await caller(door, "bob", [GET])
    assert (await door("GET", "/v2/_catalog")).status == 403
    door.caller = OPERATOR
    assert json.loads((await door("GET", "/v2/_catalog")).body) == {"repositories": [OTHER, APP]}


async def test_a_token_for_the_catalog_shows_no_more_than_its_principal_may_see(door: Door) -> None:
    ana = await caller(door, "ana", ["DescribeRepositories"], OTHER)
    door.caller = msgspec.structs.replace(ana, access=(Access("*", 0, ("ecr:DescribeRepositories",)),))
    assert json.loads((await door("GET", "/v2/_catalog")).body) == {"repositories": [OTHER]}
    door.caller = msgspec.structs.replace(ana, access=(Access(OTHER, 1, ("ecr:BatchGetImage",)),))
    assert (await door("GET", "/v2/_catalog")).status == 403  # This door has no other token to give.


async def test_what_is_at_hand_is_asked_for_each_time(door: Door) -> None:
    """A manifest that was just served is refused the moment its reader lost the right."""
    door.caller = ana = await caller(door, "ana", [GET])
    path = f"/v2/{APP}/manifests/1.27"
    assert [(await door("GET", path)).status for _ in range(2)] == [200, 200]
    await put_inline_policy(
        door.registry,
        OPERATOR,
        "user",
        "ana",
        "own",
        '{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}',
    )
    assert (await door("GET", path)).status == 403
    assert ana.user_name == "ana"
