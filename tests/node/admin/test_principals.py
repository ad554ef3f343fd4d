"""Users, groups, roles, keys and policies over HTTP: on the control socket, and on the client port for who may."""

from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from node.api.admin.answer import Admin, Handler
from node.api.admin.client import MAX_BODY, ROUTES, client_api
from node.http.entrance import Entrance
from node.http.message import Request
from node.http.router import Route
from protocol.auth.caller import Caller
from protocol.auth.managed import MANAGED
from protocol.errors import Denied, SignatureInvalid
from tests.node.admin.conftest import ACCOUNT
from tests.node.admin.test_admin import Sent, ask

PULL = '{"Statement": {"Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": "*"}}'
TRUST = '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "sts:AssumeRole"}}'
ANA = Caller(f"arn:aws:iam::{ACCOUNT}:user/ana", ACCOUNT, "192.0.2.1")
NOBODY = Caller("*", "", "192.0.2.1")


def entrance(caller: Caller) -> Entrance:
    async def identify(request: Request, body: bytes) -> Caller:
        if request.headers.get("authorization") == "wrong":
            raise SignatureInvalid("the signature does not match")
        return caller

    return Entrance(lambda _: None, identify, lambda _request, _scopes: (("www-authenticate", "Basic"),), is_open=False)


async def api(
    admin: Admin, method: str, path: str, body: object = b"", *, caller: Caller = ANA, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    sent = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(method, path, (), sent, Sent(data), "https", "registry", "2", "192.0.2.1", "id")
    response = await client_api(admin, entrance(caller))(request)
    assert isinstance(response.body, bytes)
    return response.status, msgspec.json.decode(response.body) if response.body else None, dict(response.headers)


@pytest.mark.parametrize("kind", ["user", "group", "role"])
async def test_a_principal_is_created_shown_granted_and_deleted(admin: Admin, kind: str) -> None:
    status, made = await ask(admin, "POST", f"{kind}s", {"name": "a"} | ({"trust": TRUST} if kind == "role" else {}))
    assert (status, made["arn"]) == (201, f"arn:aws:iam::{ACCOUNT}:{kind}/a")
    assert (await ask(admin, "GET", f"{kind}s")) == (200, {f"{kind}s": [made], "next": None})
    _, own = await ask(admin, "PUT", f"{kind}s/a/policies/pull", {"document": PULL})
    assert own["inline"] == ["pull"]
    assert (await ask(admin, "GET", f"{kind}s/a/policies/pull"))[1] == {"name": "pull", "document": PULL}
    _, attached = await ask(admin, "PUT", f"{kind}s/a/attached/AmazonEC2ContainerRegistryReadOnly")
    arn = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
    assert attached["attached"] == [arn]
    assert (await ask(admin, "DELETE", f"{kind}s/a/attached/{arn}"))[1]["attached"] == []
    assert (await ask(admin, "DELETE", f"{kind}s/a/policies/pull"))[1]["inline"] == []
    assert await ask(admin, "DELETE", f"{kind}s/a") == (204, None)
    status, error = await ask(admin, "GET", f"{kind}s/a")
    assert (status, error["error"]["code"]) == (404, "PrincipalUnknown")


async def test_lists_come_in_pages_by_name(admin: Admin) -> None:
    for name in ("b", "c", "a"):
        await ask(admin, "POST", "groups", {"name": name})
    _, first = await ask(admin, "GET", "groups", limit="2")
    assert ([one["name"] for one in first["groups"]], first["next"]) == (["a", "b"], "b")
    _, last = await ask(admin, "GET", "groups", limit="2", after="b")
    assert ([one["name"] for one in last["groups"]], last["next"]) == (["c"], None)


async def test_a_secret_is_in_the_answer_that_made_it_and_in_no_other(admin: Admin) -> None:
    await ask(admin, "POST", "users", {"name": "ci"})
    _, made = await ask(admin, "POST", "users/ci/keys", {})
    _, listed = await ask(admin, "GET", "users/ci/keys")
    assert [one["id"] for one in listed["keys"]] == [made["id"]]
    _, user = await ask(admin, "PUT", "users/ci/password", {"password": "correct horse battery"})
    assert user["has_password"] is True
    shown = msgspec.json.encode([listed, user, (await ask(admin, "GET", f"keys/{made['id']}"))[1]])
    assert made["secret"].encode() not in shown
    assert b"horse" not in shown
    assert b"scrypt" not in shown
    _, rotated = await ask(admin, "POST", f"keys/{made['id']}/rotate", {"keep": 60})
    assert rotated["id"] != made["id"]
    assert (await ask(admin, "POST", f"keys/{made['id']}/disable"))[0] == 204
    assert [one["active"] for one in (await ask(admin, "GET", "users/ci/keys"))[1]["keys"]].count(False) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "users", {"name": "a/b"}),
        ("POST", "users", {"name": "a", "has_admin_role": True}),
        ("POST", "users", {}),
        ("POST", "roles", {"name": "r", "trust": PULL}),
        ("POST", "policies", {"name": "p", "document": "{}"}),
        ("PUT", "users/ci/password", {"password": "short"}),
        ("POST", "users/ci/keys", {"expires": 1}),
        ("POST", "users/ci/keys", {"expires": 1e300}),
        ("PUT", "policies/AmazonEC2ContainerRegistryReadOnly", {"document": PULL}),
    ],
)
async def test_what_makes_no_sense_is_refused(admin: Admin, method: str, path: str, body: object) -> None:
    await ask(admin, "POST", "users", {"name": "ci"})
    status, error = await ask(admin, method, path, body)
    assert status == 400, error


async def test_managed_policies_are_named_by_name_or_arn(admin: Admin) -> None:
    status, made = await ask(admin, "POST", "policies", {"name": "pull", "document": PULL, "description": "d"})
    assert (status, made["builtin"], made["attached_to"]) == (201, False, [])
    assert (await ask(admin, "POST", "policies", {"name": "pull", "document": PULL}))[0] == 409
    for name in ("pull", made["arn"]):
        assert (await ask(admin, "GET", f"policies/{name}"))[1] == made
    assert (await ask(admin, "PUT", "policies/pull", {"document": PULL + " "}))[1]["document"] == PULL + " "
    assert len((await ask(admin, "GET", "policies"))[1]["policies"]) == len(MANAGED) + 1
    assert (await ask(admin, "DELETE", "policies/pull"))[0] == 204


async def test_the_client_port_has_the_same_for_those_who_say_who_they_are(admin: Admin) -> None:
    assert (await api(admin, "POST", "/api/v1/users", {"name": "bob"}))[0] == 201
    assert (await api(admin, "GET", "/api/v1/users/bob"))[1]["name"] == "bob"
    status, error, headers = await api(admin, "GET", "/api/v1/users", caller=NOBODY)
    assert (status, error["error"]["code"], headers["entrepot-region"]) == (401, "SignatureMissing", "eu-west-1")
    assert "www-authenticate" in headers
    status, _, headers = await api(admin, "GET", "/api/v1/users", authorization="wrong")
    assert (status, headers["entrepot-region"]) == (403, "eu-west-1")


async def test_the_client_port_has_nothing_else_of_the_operator(admin: Admin) -> None:
    for path in ("/api/v1/backup/identity", "/api/v1/reload", "/api/v1/trust", "/api/v2/users", "/api/"):
        assert (await api(admin, "GET", path))[0] == 404, path
    assert (await api(admin, "PATCH", "/api/v1/users"))[0] == 405


@pytest.mark.parametrize("route", ROUTES, ids=lambda one: f"{one.method} {one.pattern}")
async def test_every_operation_asks_whether_its_caller_may(admin: Admin, route: Route[Handler]) -> None:
    def nobody(caller: Caller, action: str, *_: object) -> None:
        raise Denied(f"{caller.arn} may not {action}")

    bodies: dict[str, object] = {
        "users": {"name": "x"}, "groups": {"name": "x"}, "roles": {"name": "x", "trust": TRUST},
        "policies": {"name": "x", "document": PULL}, "password": {"password": "x" * 12},
        "policy-simulation": {"principal": "x", "action": "ecr:PutImage"},
    }  # fmt: skip
    await ask(admin, "POST", "users", {"name": "x"})
    admin.registry.policies = nobody
    path = route.pattern
    for field in ("user", "group", "role", "policy", "name", "key"):
        path = path.replace(f"{{{field}}}", "x")
    body: object = b""
    if route.method in {"POST", "PUT"}:
        last = route.pattern.rpartition("/")[2]
        body = bodies.get(last, {"groups": []} if last == "groups" else {})
        if "/policies/{" in route.pattern:
            body = {"document": PULL}
        if "/issuers/" in route.pattern:
            body = {"url": "https://x", "audiences": ["x"]}
        if route.pattern.endswith("}/groups"):
            body = {"groups": []}
    status, error, _ = await api(admin, route.method, path, body)
    assert (status, error["error"]["code"]) == (403, "Denied"), error
    assert route.action in error["error"]["message"]


async def test_a_body_is_json_and_has_a_bound(admin: Admin) -> None:
    assert (await api(admin, "POST", "/api/v1/users", {"name": "a"}, content_type="text/plain"))[0] == 400
    assert (await api(admin, "POST", "/api/v1/users", b" " * (MAX_BODY + 1)))[0] == 400
    assert (await api(admin, "POST", "/api/v1/users", b"{"))[0] == 400


async def test_the_description_has_every_operation(admin: Admin) -> None:
    status, document, _ = await api(admin, "GET", "/api/openapi.json")
    assert status == 200
    listed = {
        (method.upper(), "/api/v1" + path)
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert listed == {(route.method, route.pattern) for route in ROUTES}
    ids = [
        one["operationId"] for item in document["paths"].values() for name, one in item.items() if name != "parameters"
    ]
    assert len(ids) == len(set(ids))
    assert (await api(admin, "GET", "/api/openapi.json", caller=NOBODY))[0] == 401


async def test_the_description_is_one_of_openapi_3_1(admin: Admin) -> None:
    _, document, _ = await api(admin, "GET", "/api/openapi.json")
    OpenAPIV31SpecValidator(document).validate()
    refused = document["paths"]["/users/{user}/keys"]["post"]
    assert refused["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/KeyAsked"}
