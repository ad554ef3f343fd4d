"""What OCI clients show: issued for what they may, good for nothing more, over when it has to be (S11, S12, S14)."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.e2e import servers
from tests.e2e.images import make_image
from tests.e2e.login.conftest import Node
from tests.e2e.login.principals import PASSWORD, Key
from tests.e2e.pushes import Answer, Client
from tests.identity_provider import part

FORM = {"content-type": "application/x-www-form-urlencoded"}
OFFLINE = {"offline_token": "true"}
EXPIRED = "Your authorization token has expired. Reauthenticate and try again."


@pytest.fixture
def http(node: Node) -> Iterator[Client]:
    with closing(Client(node.server)) as client:
        yield client


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def token(http: Client, name: str, *scopes: str, password: str = PASSWORD, **more: str) -> dict[str, Any]:
    """Return what GET /token answers."""
    query = "&".join([*(f"scope={quote(one)}" for one in scopes), urlencode(more)])
    answer = http.call("GET", f"/token?service=registry&{query}", authorization=basic(name, password))
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


def claims(bearer: str) -> dict[str, Any]:
    middle = bearer.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return found


def granted(found: dict[str, Any]) -> dict[str, list[str]]:
    return {one["name"]: one["actions"] for one in claims(found["token"])["access"]}


def with_token(http: Client, bearer: str, method: str, path: str) -> Answer:
    return http.call(method, path, authorization=f"Bearer {bearer}")


@pytest.fixture
def image(node: Node, http: Client, repository: str) -> str:
    """The name of a repository with a tagged image."""
    name = repository.replace("e2e/", "team/", 1)
    pushing = Pushing(node, basic(node.ana.id, node.ana.secret))
    with closing(pushing):
        pushing.put_image(name, "1", make_image(71))
    return name


class Pushing(Client):
    """A client that shows the same credentials with each request."""

    def __init__(self, node: Node, authorization: str) -> None:
        super().__init__(node.server)
        self._shown = authorization

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        return super().call(method, path, body, **{"authorization": self._shown, **headers})


def test_scopes_that_are_not_allowed_are_left_out(http: Client, image: str) -> None:
    found = token(http, "bob", f"repository:{image}:pull,push", "repository:other/x:pull", "repository:team/new:pull")
    assert granted(found) == {image: ["pull"], "team/new": ["pull"]}
    assert found["access_token"] == found["token"]
    assert found["expires_in"] == 900
    assert "refresh_token" not in found
    everything = token(http, "ana", f"repository:{image}:* registry:catalog:* repository:b/c:pull,push,delete")
    assert granted(everything)["*"] == ["*"]
    assert granted(everything)["b/c"] == ["pull", "push", "delete"]
    assert granted(token(http, "eve", f"repository:{image}:pull")) == {}
    assert granted(token(http, "ana", "repository:NOT/a/name:pull", "plugin:x:pull", "nonsense", "")) == {}


def test_a_token_is_for_what_it_was_asked_for_and_nothing_more(http: Client, image: str) -> None:
    """S12: whatever its owner may do besides."""
    bearer = token(http, "ana", f"repository:{image}:pull")["token"]
    assert with_token(http, bearer, "GET", f"/v2/{image}/manifests/1").status == 200
    assert with_token(http, bearer, "GET", f"/v2/{image}/tags/list").status == 200
    for method, path in (
        ("PUT", f"/v2/{image}/manifests/2"),
        ("POST", f"/v2/{image}/blobs/uploads/"),
        ("DELETE", f"/v2/{image}/manifests/1"),
        ("GET", "/v2/other/manifests/1"),
        ("GET", "/v2/_catalog"),
    ):
        answer = with_token(http, bearer, method, path)
        assert answer.status == 401, (path, answer)
        assert 'scope="' in answer.headers["www-authenticate"]
    assert with_token(http, bearer, "POST", "/").status in {400, 403, 404}
    answer = http.call("POST", "/", b"Action=GetSessionToken", authorization=f"Bearer {bearer}", **FORM)
    assert answer.status == 403


def test_who_would_not_get_a_token_for_it_is_told_so(http: Client, image: str) -> None:
    bearer = token(http, "bob", f"repository:{image}:pull")["token"]
    answer = with_token(http, bearer, "POST", f"/v2/{image}/blobs/uploads/")
    assert answer.status == 403
    assert json.loads(answer.body)["errors"][0]["code"] == "DENIED"


def test_a_refresh_token_brings_others(node: Node, http: Client, image: str) -> None:
    found = token(http, "bob", **OFFLINE)
    refresh = found["refresh_token"]
    form = {
        "grant_type": "refresh_token",
        "refresh_token": refresh,
        "service": "x",
        "scope": f"repository:{image}:pull",
    }
    answer = http.call("POST", "/token", urlencode(form).encode(), **FORM)
    again = json.loads(answer.body)
    assert (answer.status, again["refresh_token"]) == (200, refresh)
    assert with_token(http, again["access_token"], "GET", f"/v2/{image}/manifests/1").status == 200
    form = {"grant_type": "password", "username": "bob", "password": PASSWORD, "access_type": "offline"}
    answer = http.call("POST", "/token", urlencode(form).encode(), **FORM)
    assert json.loads(answer.body)["refresh_token"]
    for wrong in (
        {"grant_type": "refresh_token", "refresh_token": refresh[:-4] + "AAAA"},
        {"grant_type": "refresh_token", "refresh_token": again["access_token"]},
        {"grant_type": "refresh_token"},
        {"grant_type": "password", "username": "bob", "password": "wrong"},
        {"grant_type": "password", "username": "bob", "password": refresh},
    ):
        answer = http.call("POST", "/token", urlencode(wrong).encode(), **FORM)
        assert answer.status == 401
    assert http.call("POST", "/token", b"grant_type=client_credentials", **FORM).status == 400
    assert http.call("POST", "/token", b"x" * 70_000, **FORM).status == 400
    assert http.call("PUT", "/token").status == 405


def test_docker_keeps_the_password_for_the_second_challenge(http: Client) -> None:
    assert "refresh_token" not in token(http, "bob", **OFFLINE, client_id="docker")


def test_nobody_gets_a_token_for_nothing(http: Client, image: str) -> None:
    answer = http.call("GET", f"/token?scope=repository:{image}:pull")
    found = json.loads(answer.body)
    assert granted(found) == {}
    assert claims(found["token"])["sub"] == "*"
    answer = with_token(http, found["token"], "GET", f"/v2/{image}/manifests/1")
    assert answer.status == 401
    assert with_token(http, found["token"], "GET", "/v2/").status == 200


def test_an_authorization_token_speaks_for_whom_it_was_given(node: Node, http: Client, image: str) -> None:
    ecr = node.client("ecr", node.bob)
    [data] = ecr.get_authorization_token()["authorizationData"]
    assert data["proxyEndpoint"] == node.server.url
    assert 43_100 < data["expiresAt"].timestamp() - time.time() <= 43_200
    name, password = base64.b64decode(data["authorizationToken"]).decode().split(":")
    assert name == "AWS"
    assert not set(password) & set(">?~+/=")
    assert http.call("GET", f"/v2/{image}/manifests/1", authorization=basic(name, password)).status == 200
    assert http.call("DELETE", f"/v2/{image}/manifests/1", authorization=basic(name, password)).status == 403
    whole = f"Bearer {data['authorizationToken']}"  # As the guide of ECR Public sends it.
    assert http.call("GET", f"/v2/{image}/manifests/1", authorization=whole).status == 200
    for wrong in (password[:-4] + "AAAA", password + "A", "", "AWS", "x" * 20_000, "\u00fc"):
        answer = http.call("GET", "/v2/", authorization=basic("AWS", wrong))
        if answer.status == 431:
            continue
        [error] = json.loads(answer.body)["errors"]
        assert (answer.status, error["code"], error["message"]) == (403, "DENIED", EXPIRED)


PUBLIC_KEY_FORMS = ("none", "HS256", "hs256", "EdDSA ", "RS256", "ES256")


def hostile(good: str) -> dict[str, str]:
    """Return tokens that look like *good* and are not (S14)."""
    first, second, third = good.split(".")
    said, head = claims(good), json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    own = Ed25519PrivateKey.generate()

    def signed(header: object, payload: object) -> str:
        message = f"{part(header)}.{part(payload)}"
        return f"{message}.{part(own.sign(message.encode()))}"

    found = {f"alg {one}": f"{part(head | {'alg': one})}.{second}.{third}" for one in PUBLIC_KEY_FORMS}
    found |= {
        f"header {name}": signed(head | {name: value}, said)
        for name, value in {
            "jwk": {"kty": "OKP", "crv": "Ed25519", "x": part(own.public_key().public_bytes_raw())},
            "jku": "https://evil.example/keys",
            "x5u": "https://evil.example/cert",
            "x5c": ["AA=="],
            "crit": ["exp"],
            "kid": "../../etc/passwd",
            "zip": "DEF",
        }.items()
    }
    found |= {
        f"claim {name}": f"{first}.{part(said | {name: value})}.{third}"
        for name, value in {"exp": 2**52, "aud": [said["aud"]], "sub": "", "access": [], "gen": 0, "more": 1}.items()
    }
    found |= {
        f"without {name}": f"{first}.{part({k: v for k, v in said.items() if k != name})}.{third}" for name in said
    }
    twice = json.dumps(said).replace('"exp"', '"exp": 9999999999, "exp"').encode()
    return found | {
        "another key": signed(head, said),
        "exp twice": f"{first}.{part(twice)}.{third}",
        "exp 1e400": f"{first}.{part(json.dumps(said).replace(str(said['exp']), '1e400').encode())}.{third}",
        "no signature": f"{first}.{second}.",
        "padded": f"{first}=.{second}.{third}",
        "padded signature": good + "==",
        "four parts": f"{good}.{third}",
        "two parts": f"{first}.{second}",
        "standard alphabet": f"{first}.{second}.{'+/' + third[2:]}",
        "other bits at the end": good[:-1] + chr(ord(good[-1]) ^ 1),
        "upper case": good.upper(),
        "dots": "." * 4000,
        "empty": "..",
        "large": f"{first}.{'A' * 9000}.{third}",
    }


def test_hostile_tokens_are_refused(http: Client, image: str) -> None:
    good = token(http, "ana", f"repository:{image}:pull")["token"]
    table = hostile(good)
    assert len(table) >= 40
    for name, one in table.items():
        answer = with_token(http, one, "GET", f"/v2/{image}/manifests/1")
        assert answer.status == 401, (name, answer)
        assert "Bearer realm=" in answer.headers["www-authenticate"]
    assert with_token(http, good, "GET", f"/v2/{image}/manifests/1").status == 200


def test_the_header_is_no_place_for_a_million_dots(node: Node) -> None:
    with closing(Client(node.server)) as client:
        assert client.call("GET", "/v2/", authorization="Bearer " + "." * 1_000_000).status in {400, 431}


def test_a_token_ends_with_the_repository_and_not_with_its_name(node: Node, http: Client, image: str) -> None:
    """S11."""
    bearer = token(http, "bob", f"repository:{image}:pull")["token"]
    assert with_token(http, bearer, "GET", f"/v2/{image}/manifests/1").status == 200
    node.client("ecr", node.ana).delete_repository(repositoryName=image, force=True)
    with closing(Pushing(node, basic(node.ana.id, node.ana.secret))) as client:
        client.put_image(image, "1", make_image(72))
    assert with_token(http, bearer, "GET", f"/v2/{image}/manifests/1").status == 401
    assert http.call("GET", f"/v2/{image}/manifests/1", authorization=basic("bob", PASSWORD)).status == 200


def test_what_was_issued_ends_with_the_key_and_with_its_user(node: Node, http: Client, image: str) -> None:
    """S11: at once at this node."""
    data = node.server.data
    for user, command in (
        ("dora", ("key", "rm")),
        ("emil", ("user", "disable", "emil")),
    ):
        servers.command("user", "create", user, "--data", data)
        servers.command("user", "attach", user, "AdministratorAccess", "--data", data)
        made = json.loads(servers.command("key", "create", user, "--data", data, "--json"))
        key = Key(made["id"], made["secret"])
        ecr = node.client("ecr", key)
        password = base64.b64decode(ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"])
        shown = [basic("AWS", password.decode().partition(":")[2])]
        found = token(http, key.id, f"repository:{image}:pull", password=key.secret, **OFFLINE)
        shown.append(f"Bearer {found['token']}")
        path = f"/v2/{image}/manifests/1"
        assert [http.call("GET", path, authorization=one).status for one in shown] == [200, 200]
        servers.command(*command, *([] if command[0] == "user" else [key.id]), "--data", data)
        assert [http.call("GET", path, authorization=one).status for one in shown] == [403, 401], user
        assert http.call("GET", path, authorization=basic(key.id, key.secret)).status == 401
        form = {"grant_type": "refresh_token", "refresh_token": found["refresh_token"]}
        assert http.call("POST", "/token", urlencode(form).encode(), **FORM).status in {401, 403}


@pytest.mark.parametrize("host", ["evil.example/x", "evil.example?x", "evil.example#x", "a@evil.example", "a b"])
def test_no_realm_is_made_of_a_host_that_is_none(node: Node, host: str) -> None:
    """S18."""
    with closing(Client(node.server)) as client:
        answer = client.call("GET", "/v2/", host=host)
    assert answer.status == 400
    assert "www-authenticate" not in answer.headers


def test_behind_a_proxy_that_ends_tls_realms_and_endpoints_are_https(node: Node, http: Client) -> None:
    answer = http.call("GET", "/v2/", x_forwarded_proto="https")
    assert f'realm="https://{node.registry}/token"' in answer.headers["www-authenticate"]
    assert f'realm="http://{node.registry}/token"' in http.call("GET", "/v2/").headers["www-authenticate"]
