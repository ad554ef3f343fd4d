"""Events over the control socket: pages, formats, and a page that waits."""

import pytest
import trio
import trio.testing

from node.api.admin.answer import Admin
from tests.node.admin.test_admin import ask, push


async def test_pages_and_formats(admin: Admin) -> None:
    digest = await push(admin, "team/app", "1", "2")
    status, page = await ask(admin, "GET", "events", **{"from": "1"})
    assert (status, page["after"], page["last"]) == (200, 2, 2)
    assert [(one["kind"], one["tag"]) for one in page["events"]] == [("repository", None), ("push", "1"), ("push", "2")]
    assert page["events"][1]["digest"] == digest
    _, ecr = await ask(admin, "GET", "events", last="1", format="ecr")
    assert [one["detail-type"] for one in ecr["events"]] == ["ECR Image Action"] * 2
    _, cloud = await ask(admin, "GET", "events", after="1", format="cloudevents", repository="team/*")
    assert [one["subject"] for one in cloud["events"]] == ["team/app:1", "team/app:2"]
    assert await ask(admin, "GET", "events", after="2") == (200, {"events": [], "after": 2, "last": 2})
    assert await ask(admin, "GET", "events", after="0", repository="other") == (
        200, {"events": [], "after": 2, "last": 2},
    )  # fmt: skip


async def test_a_page_waits_for_what_happens(admin: Admin, autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    assert await ask(admin, "GET", "events", wait="7") == (200, {"events": [], "after": 0, "last": 0})
    assert trio.current_time() - began == 7
    autojump_clock.autojump_threshold = 1e9  # A commit takes a thread.
    pages = []
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            pages.append((await ask(admin, "GET", "events", wait="20"))[1])

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await push(admin, "team/app", "1")
    assert [one["kind"] for one in pages[0]["events"]] == ["repository", "push"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"from": "yesterday"}, "not a position"),
        ({"after": "x"}, "after is not a number"),
        ({"after": "5"}, "beyond the last one"),
        ({"format": "xml"}, "not ecr or cloudevents"),
        ({"repository": "Team/*"}, "no repository's name"),
        ({"repository": "a*b"}, "no repository's name"),
        ({"wait": "-1"}, "wait is not a number"),
    ],
)
async def test_nonsense_is_refused(admin: Admin, query: dict[str, str], message: str) -> None:
    status, answer = await ask(admin, "GET", "events", **query)
    assert (status, answer["error"]["code"]) == (400, "RuleInvalid" if "repository" in query else "ParameterInvalid")
    assert message in answer["error"]["message"]
