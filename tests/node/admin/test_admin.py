"""The control socket's routes, from the request to the store; a refusal has its class's name and status."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from node.api.admin.answer import MAX_BODY, Admin, Handler, answer
from node.api.admin.routes import ROUTES, admin_application
from node.http.message import Request, Response
from node.http.router import Route
from node.registry.images import put_manifest
from protocol.auth.caller import Caller
from protocol.errors import Damaged
from protocol.oci.names import RepositoryName, TagName

MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
RULES = {
    "rules": [
        {
            "destinations": [{"region": "us-east-1", "registryId": "111111111111"}],
            "repositoryFilters": [{"filter": "team", "filterType": "PREFIX_MATCH"}],
        }
    ]
}


@dataclass(slots=True)
class Sent:
    data: bytes

    @property
    def length(self) -> int | None:
        return len(self.data)

    async def receive(self) -> bytes:
        part, self.data = self.data[: 64 * 1024], self.data[64 * 1024 :]
        return part

    async def receive_into(self, buffer: memoryview) -> int:
        raise NotImplementedError


async def ask(admin: Admin, method: str, path: str, body: object = b"", **query: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    request = Request(
        method, f"/admin/v1/{path}", tuple(query.items()), {}, Sent(data), "http", "localhost", "1.1", "", "id"
    )
    response: Response = await admin_application(admin)(request)
    assert isinstance(response.body, bytes)
    return response.status, msgspec.json.decode(response.body) if response.body else None


async def push(admin: Admin, repository: str, *tags: str) -> str:
    put = await put_manifest(
        admin.registry, Caller("*", ""), RepositoryName(repository), MANIFEST, None,
        digest=None, tags=[TagName(tag) for tag in tags],
    )  # fmt: skip
    return put.digest


async def test_repositories_page_by_page(admin: Admin) -> None:
    for name in ("aa", "bb/cc", "dd"):
        await push(admin, name, "1")
    assert await ask(admin, "GET", "repositories") == (200, {"repositories": ["aa", "bb/cc", "dd"], "next": None})
    assert await ask(admin, "GET", "repositories", limit="2") == (
        200,
        {"repositories": ["aa", "bb/cc"], "next": "bb/cc"},
    )
    assert await ask(admin, "GET", "repositories", limit="2", after="bb/cc") == (
        200, {"repositories": ["dd"], "next": None},
    )  # fmt: skip


async def test_tags_page_by_page(admin: Admin) -> None:
    await push(admin, "team/app", "1", "2", "3")
    assert await ask(admin, "GET", "repositories/team/app/tags", limit="2", after="1") == (
        200, {"repository": "team/app", "tags": ["2", "3"], "next": "3"},
    )  # fmt: skip


async def test_an_image_by_tag_and_by_digest(admin: Admin) -> None:
    digest = await push(admin, "team/app", "1", "latest")
    status, image = await ask(admin, "GET", "repositories/team/app/images/latest")
    assert (status, image["digest"], image["tags"], image["pushed_at"]) == (200, digest, ["1", "latest"], 1_800_000_000)
    assert await ask(admin, "GET", f"repositories/team/app/images/{digest}") == (200, image)


async def test_deleting_a_tag_leaves_the_image(admin: Admin) -> None:
    digest = await push(admin, "team/app", "1", "2")
    assert await ask(admin, "DELETE", "repositories/team/app/images/1") == (204, None)
    assert (await ask(admin, "GET", f"repositories/team/app/images/{digest}"))[1]["tags"] == ["2"]
    assert await ask(admin, "DELETE", f"repositories/team/app/images/{digest}") == (204, None)
    assert (await ask(admin, "GET", "repositories/team/app/images/2"))[0] == 404


async def test_usage(admin: Admin) -> None:
    await push(admin, "team/app", "1", "2")
    status, usage = await ask(admin, "GET", "usage")
    assert (status, usage["repositories"], usage["images"], usage["tags"]) == (200, 1, 1, 2)


async def test_replication_rules(admin: Admin) -> None:
    assert await ask(admin, "GET", "replication") == (200, {"rules": []})
    assert await ask(admin, "PUT", "replication", RULES) == (200, RULES)
    assert await ask(admin, "GET", "replication") == (200, RULES)
    assert await ask(admin, "GET", "replication/status") == (200, {"images": [], "next": None})


async def test_pull_through_rules(admin: Admin) -> None:
    asked = {"prefix": "team/", "registry": "222222222222/us-east-1"}
    rule = asked | {"upstream_prefix": "team/"}
    assert await ask(admin, "PUT", "pull-through", asked) == (200, rule)
    assert await ask(admin, "GET", "pull-through") == (200, {"rules": [rule]})
    assert await ask(admin, "DELETE", "pull-through", prefix="team/") == (204, None)
    assert await ask(admin, "GET", "pull-through") == (200, {"rules": []})


async def test_peers(admin: Admin) -> None:
    assert (await ask(admin, "GET", "peers"))[1]["peers"][0]["node"] == "abcdefghijklmnop"
    assert await ask(admin, "POST", "invitations", {"region": "us-east-1"}) == (
        201, {"token": "token", "region": "us-east-1", "expires": 60.0},
    )  # fmt: skip
    assert (await ask(admin, "GET", "authority"))[1]["certificate"] == "PEM"
    trusted = {"account": "222222222222", "fingerprints": ["PEM"], "addresses": []}
    assert await ask(admin, "POST", "trust", {"account": "222222222222", "certificate": "PEM"}) == (201, trusted)
    assert await ask(admin, "GET", "trust") == (200, {"trusted": [trusted]})
    assert await ask(admin, "DELETE", "trust/222222222222") == (204, None)
    assert await ask(admin, "GET", "trust") == (200, {"trusted": []})


async def test_who_it_is(admin: Admin) -> None:
    assert await ask(admin, "GET", "healthz") == (200, {"status": "ok"})
    assert await ask(admin, "GET", "version") == (
        200,
        {"version": "1.2.3", "account": "111111111111", "region": "eu-west-1", "node": "abcdefghijklmnop"},
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "nothing", b"", 404, "NotFound"),
        ("POST", "repositories", b"", 405, "MethodNotAllowed"),
        ("GET", "repositories/no/such/tags", b"", 404, "NameUnknown"),
        ("GET", "repositories/No/tags", b"", 400, "NameInvalid"),
        ("GET", "repositories/no/such/images/1", b"", 404, "NameUnknown"),
        ("GET", "repositories/no/such/images/-", b"", 400, "TagInvalid"),
        ("GET", "repositories/no/such/images/sha256:1", b"", 400, "DigestInvalid"),
        ("DELETE", "repositories/forbidden/app/images/1", b"", 403, "Denied"),
        ("PUT", "replication", b"[]", 400, "RuleInvalid"),
        ("PUT", "replication", b"x" * (MAX_BODY + 1), 400, "ParameterInvalid"),
        ("PUT", "pull-through", b"{}", 400, "ParameterInvalid"),
        ("PUT", "pull-through", b"nonsense", 400, "ParameterInvalid"),
        ("PUT", "pull-through", {"prefix": "team/", "registry": "x"}, 400, "ParameterInvalid"),
        ("PUT", "pull-through", {"prefix": "team", "registry": "222222222222/eu"}, 400, "RuleInvalid"),
        ("DELETE", "pull-through", b"", 400, "ParameterInvalid"),
        ("POST", "trust", {"account": "1", "certificate": "x", "more": 1}, 400, "ParameterInvalid"),
        ("DELETE", "trust/222222222222", b"", 400, "ParameterInvalid"),
    ],
)
async def test_refusals(admin: Admin, method: str, path: str, body: object, status: int, code: str) -> None:
    found, answer = await ask(admin, method, path, body)
    assert (found, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"]


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "x"}, {"limit": "-1"}])
async def test_a_page_that_is_none(admin: Admin, query: dict[str, str]) -> None:
    assert (await ask(admin, "GET", "repositories", **query))[0] == 400


async def test_damage_is_told_and_answered(admin: Admin) -> None:
    told: list[Damaged] = []

    async def find_damage(_admin: Admin, _caller: Caller, _request: Request) -> Response:
        raise Damaged("a record")

    damaged = Admin(admin.registry, admin.peers, admin.node, admin.backup, admin.connect, admin.version, told.append)
    request = Request("GET", "/", (), {}, Sent(b""), "http", "localhost", "1.1", "", "id")
    route: Route[Handler] = Route("GET", "/", "entrepot:Test", find_damage)
    assert (await answer(route, damaged, Caller("*", ""), request)).status == 500
    assert [str(error) for error in told] == ["a record"]


def test_every_route_names_an_action_of_ecr_or_one_that_ecr_has_no_like_of() -> None:
    assert all(route.action.startswith(("ecr:", "iam:", "kms:", "entrepot:")) for route in ROUTES)
