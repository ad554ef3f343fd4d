"""A call that goes wrong is answered in the protocol of the API, whatever went wrong, and bodies cost what they may."""

import json
from base64 import b64encode

import pytest
import trio

from node.api.ecr.answer import error_name, without_absent
from node.api.ecr.body import SMALL
from protocol.auth.caller import Caller
from protocol.errors import (
    Busy,
    Damaged,
    Denied,
    KeyUnknown,
    ManifestUnknown,
    NameUnknown,
    ReadOnly,
    StoreFull,
    TokenExpired,
)
from tests.node.ecr.conftest import Calls, Sent

EVE = Caller("arn:aws:iam::111111111111:user/eve", "111111111111")


async def test_a_bug_is_an_error_of_the_server_and_is_reported(calls: Calls) -> None:
    calls.caller = ZeroDivisionError("secret")
    status, body = await calls("DescribeRepositories", {})
    assert (status, body["__type"]) == (500, "ServerException")
    assert "secret" not in body["message"]
    assert calls.bugs == [calls.caller]


async def test_damage_is_an_error_of_the_server_and_is_told(calls: Calls) -> None:
    calls.caller = Damaged("table x, key 00")
    status, body = await calls("DescribeRepositories", {})
    assert (status, body["__type"]) == (500, "ServerException")
    assert "table" not in body["message"]
    assert calls.damaged == [calls.caller]


async def test_who_is_not_known_learns_nothing_of_the_input(calls: Calls) -> None:
    calls.caller = TokenExpired("over")
    status, body = await calls("DescribeRepositories", {"maxResults": -1})
    assert (status, body["__type"]) == (403, "ExpiredTokenException")


async def test_who_may_not_learns_nothing_of_what_is_there(calls: Calls) -> None:
    await calls("CreateRepository", {"repositoryName": "team/app"})
    calls.caller = EVE
    for name in ("team/app", "no/such"):
        for operation, more in (
            ("DeleteRepository", {}),
            ("ListImages", {}),
            ("DescribeImages", {}),
            ("BatchGetImage", {"imageIds": [{"imageTag": "a"}]}),
            ("BatchDeleteImage", {"imageIds": [{"imageTag": "a"}]}),
            ("InitiateLayerUpload", {}),
            ("GetDownloadUrlForLayer", {"layerDigest": "sha256:" + "0" * 64}),
            ("BatchCheckLayerAvailability", {"layerDigests": ["sha256:" + "0" * 64]}),
            ("PutImageTagMutability", {"imageTagMutability": "MUTABLE"}),
        ):
            status, body = await calls(operation, {"repositoryName": name, **more})
            assert (status, body["__type"]) == (403, "AccessDeniedException"), (operation, name)


async def test_a_body_that_does_not_come_is_not_waited_for(
    calls: Calls, autojump_clock: trio.testing.MockClock
) -> None:
    status, body = await calls("DescribeRepositories", Sent([b" "] * 100_000, pause=1))
    assert (status, body["__type"]) == (408, "RequestTimeoutException")


async def test_a_body_without_a_length_ends_where_it_is_too_large(calls: Calls) -> None:
    status, body = await calls("DescribeRepositories", Sent([b" " * 65_536] * (SMALL // 65_536 + 1)))
    assert (status, body["__type"]) == (413, "RequestEntityTooLargeException")


async def test_a_large_body_is_received_of_those_alone_who_could_be_somebody(calls: Calls) -> None:
    calls.admitted = KeyUnknown("no such key")
    sent = Sent([b"x" * 1000])
    status, body = await calls("UploadLayerPart", sent)
    assert (status, body["__type"]) == (403, "UnrecognizedClientException")
    assert sent.pieces
    assert (await calls("DescribeRepositories", {}))[0] == 200


async def test_nobody_calls_the_api(calls: Calls) -> None:
    calls.caller = Caller("*", "")
    status, body = await calls("DescribeRepositories", {})
    assert (status, body["__type"]) == (403, "MissingAuthenticationTokenException")


async def test_large_bodies_wait_for_one_another_and_small_ones_do_not(
    calls: Calls, autojump_clock: trio.testing.MockClock
) -> None:
    _, made = await calls("CreateRepository", {"repositoryName": "team/app"})
    assert "repository" in made
    statuses: list[int] = []

    async def send(pause: float) -> None:
        blob = b64encode(bytes(1000)).decode()
        given = {"repositoryName": "team/app", "uploadId": "0" * 8 + "-0000-4000-8000-" + "0" * 12}
        text = json.dumps({**given, "partFirstByte": 0, "partLastByte": 999, "layerPartBlob": blob}).encode()
        status, _ = await calls("UploadLayerPart", Sent([text], pause=pause))
        statuses.append(status)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(send, 30)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            nursery.start_soon(send, 0)
        await trio.testing.wait_all_tasks_blocked()
        status, _ = await calls("DescribeRepositories", {})
        assert status == 200
    assert sorted(statuses) == [400] * 4 + [500] * 2  # No such upload; and two that could not wait so long.


@pytest.mark.parametrize(
    ("refusal", "declared", "name"),
    [
        (NameUnknown("x"), {"RepositoryNotFoundException"}, "RepositoryNotFoundException"),
        (NameUnknown("x"), {"InvalidParameterException", "ValidationException"}, "InvalidParameterException"),
        (ManifestUnknown("x"), {"ValidationException"}, "ValidationException"),
        (Denied("x"), set(), "AccessDeniedException"),
        (StoreFull("x"), {"LimitExceededException"}, "LimitExceededException"),
        (StoreFull("x"), {"InvalidParameterException"}, "ServiceUnavailable"),
        (Busy("x"), {"ServerException"}, "ServerException"),
        (ReadOnly("x"), {"InvalidParameterException"}, "AccessDeniedException"),
    ],
)
def test_a_refusal_has_a_name_that_its_operation_declares(refusal: Busy, declared: set[str], name: str) -> None:
    assert error_name(refusal, declared) == name


def test_what_is_absent_is_left_out_at_every_depth() -> None:
    assert without_absent({"a": None, "b": [{"c": None, "d": 0}], "e": {"f": {"g": None}}, "h": ""}) == {
        "b": [{"d": 0}],
        "e": {"f": {}},
        "h": "",
    }
