"""Webhooks over the control socket, from the request to the store; secrets come out once."""

import pytest

from node.api.admin.answer import Admin
from tests.node.admin.test_admin import ask, push

HOOK = {"webhook": {"url": "https://ci.example/ok?token=squeamish"}, "secret": "ossifrage-ossifrage"}


async def test_put_show_and_delete(admin: Admin) -> None:
    assert await ask(admin, "PUT", "webhooks/ci", HOOK) == (201, {"name": "ci", "secret": None})
    status, made = await ask(admin, "PUT", "webhooks/other", {"webhook": {"url": "https://ci.example/"}})
    assert (status, made["secret"][:6]) == (201, "whsec_")
    _, every = await ask(admin, "GET", "webhooks")
    assert [(one["name"], one["state"], one["webhook"]["url"]) for one in every["webhooks"]] == [
        ("ci", "ok", "https://ci.example/ok?***"),
        ("other", "ok", "https://ci.example/"),
    ]
    _, one = await ask(admin, "GET", "webhooks/ci")
    assert (one["webhook"]["name"], one["aside"]) == ("ci", [])
    assert not any(secret in str([every, one]) for secret in ("ossifrage", "squeamish", made["secret"]))
    assert await ask(admin, "DELETE", "webhooks/ci") == (204, None)
    assert (await ask(admin, "GET", "webhooks/ci"))[0] == 404


async def test_pause_rotate_and_replay(admin: Admin) -> None:
    await push(admin, "team/app", "1")
    await ask(admin, "PUT", "webhooks/ci", HOOK)
    assert await ask(admin, "POST", "webhooks/ci/pause") == (204, None)
    assert (await ask(admin, "GET", "webhooks/ci"))[1]["webhook"]["state"] == "paused"
    assert await ask(admin, "POST", "webhooks/ci/resume") == (204, None)
    assert (await ask(admin, "POST", "webhooks/ci/rotate", {}))[1]["secret"].startswith("whsec_")
    assert len((await ask(admin, "GET", "webhooks/ci"))[1]["webhook"]["secrets_since"]) == 2
    assert await ask(admin, "POST", "webhooks/ci/clear") == (200, {"cleared": 0})
    assert await ask(admin, "POST", "webhooks/ci/replay", {"from": "1"}) == (200, {"after": 0})
    assert (await ask(admin, "GET", "webhooks/ci"))[1]["webhook"]["lag_records"] == 2


async def test_trying_one(admin: Admin) -> None:
    await ask(admin, "PUT", "webhooks/ci", HOOK)
    await ask(admin, "PUT", "webhooks/no", {"webhook": {"url": "https://ci.example/no"}})
    assert await ask(admin, "POST", "webhooks/ci/test") == (
        200, {"taken": True, "status": 200, "reason": "", "text": "thanks"},
    )  # fmt: skip
    assert await ask(admin, "POST", "webhooks/no/test") == (
        200, {"taken": False, "status": 403, "reason": "status 403", "text": "who are you?"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("PUT webhooks/Ci", HOOK, "a webhook's name"),
        ("PUT webhooks/ci", {"webhook": {"url": "http://ci.example/"}}, "in the clear"),
        ("PUT webhooks/ci", {"webhook": {"url": "https://me:secret@ci.example/"}}, "the URL is not"),
        ("PUT webhooks/ci", {"webhook": {"url": "https://ci.example/", "events": ["pull"]}}, "$.webhook.events[0]"),
        ("PUT webhooks/ci", {"webhook": {"url": "https://ci.example/", "retries": 3}}, "unknown field `retries`"),
        ("PUT webhooks/ci", {"webhook": {"url": "https://ci.example/", "timeout": 0}}, "$.webhook.timeout"),
        ("PUT webhooks/ci", {**HOOK, "secret": "short-secret"}, "has 12"),
        ("PUT webhooks/ci", {**HOOK, "from": "tomorrow"}, "not a position"),
        ("POST webhooks/none/rotate", {"keep_hours": -1}, "keep_hours is from 0"),
        ("POST webhooks/none/replay", {"from": "1"}, "no webhook none"),
        ("POST webhooks/none/test", {}, "no webhook none"),
    ],
)
async def test_what_is_refused_says_why(admin: Admin, path: str, body: object, message: str) -> None:
    method, _, where = path.partition(" ")
    status, answer = await ask(admin, method, where, body)
    assert 400 <= status < 500
    assert message in answer["error"]["message"]
    assert "short-secret" not in answer["error"]["message"]
    assert "me:secret" not in answer["error"]["message"]
