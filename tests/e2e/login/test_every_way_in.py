"""S01: whoever has no right to it is refused at every row of every table, in the same words whether it is there or not.

What is walked are the tables themselves. A row that is new is walked at once; an operation of ECR whose input cannot be
made here fails until it can.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from node.api.admin.client import ROUTES as API
from node.api.admin.routes import ROUTES as ADMIN
from node.api.ecr.door import Operation
from node.api.ecr.operations import OPERATIONS
from node.api.oci.routes import ROUTES as OCI
from node.http.router import Route
from node.peers import listen
from protocol.wire import transfer
from tests.e2e import processes
from tests.e2e.ecr.calls import ACCOUNT, REGION, Raw
from tests.e2e.images import make_image
from tests.e2e.login.conftest import Node
from tests.e2e.login.principals import Key
from tests.e2e.login.test_tokens import Pushing, basic, token
from tests.e2e.pushes import Answer, Client

METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS")
IMAGE = make_image(81)
THERE, MISSING = "team/walked", "team/missed"
NO_BODY = frozenset({"HEAD"})
UPLOAD = "00000000-0000-4000-8000-000000000000"
SAME = frozenset({"content-length", "date", "x-request-id", "www-authenticate"})


@dataclass(frozen=True)
class Who:
    """Somebody who may nothing."""

    authorization: str  # Of OCI clients; empty: none.
    key: Key | None  # Of callers of an API.
    errors: frozenset[str]  # That ECR's API answers with.


@pytest.fixture(scope="session")
def people(plain_node: Node) -> dict[str, Who]:
    """Everybody who may nothing; and an image that is there."""
    node = plain_node
    ana = basic(node.ana.id, node.ana.secret)
    with closing(Pushing(node, ana)) as client:
        client.put_image(THERE, "1", IMAGE)
        client.put_image("team/other", "1", IMAGE)
        elsewhere = token(client, "ana", "repository:team/other:pull,push,delete")["token"]
        everything = f"repository:{THERE}:pull,push,delete repository:{MISSING}:pull,push,delete registry:catalog:*"
        zoe = made(client, "zoe")
        found = client.call(
            "GET", f"/token?scope={everything.replace(' ', '%20')}", authorization=basic(zoe.id, zoe.secret)
        )
        good = json.loads(found.body)["token"]
        over = f"Bearer {good}"
        assert client.call("GET", f"/v2/{THERE}/manifests/1", authorization=over).status == 200
        assert client.call("POST", "/api/v1/users/zoe/disable").status == 200
    first, second, third = good.split(".")
    denied = frozenset({"AccessDeniedException"})
    return {
        "nobody": Who("", None, frozenset({"MissingAuthenticationTokenException"})),
        "a user without rights": Who(basic(node.eve.id, node.eve.secret), node.eve, denied),
        "a key of another account": Who(
            basic("AKIAIOSFODNN7EXAMPLE", "x" * 40), Key("AKIAIOSFODNN7EXAMPLE", "x" * 40),
            frozenset({"UnrecognizedClientException", "InvalidClientTokenId"}),
        ),
        "a user who was disabled": Who(
            basic(zoe.id, zoe.secret), zoe, frozenset({"UnrecognizedClientException", "ExpiredTokenException"})
        ),
        "a token that is over": Who(over, None, frozenset({"MissingAuthenticationTokenException"})),
        "a token of another registry": Who(f"Bearer {first}.{second}.{third[::-1]}", None, frozenset()),
        "a token for another repository": Who(f"Bearer {elsewhere}", None, frozenset()),
        "a wrong password": Who(basic("ana", "wrong"), None, frozenset()),
    }  # fmt: skip


def made(client: Pushing, name: str) -> Key:
    """A user who may everything."""
    sent = {"content_type": "application/json"}
    assert client.call("POST", "/api/v1/users", json.dumps({"name": name}).encode(), **sent).status == 201
    assert client.call("PUT", f"/api/v1/users/{name}/attached/AdministratorAccess").status == 200
    answer = client.call("POST", f"/api/v1/users/{name}/keys", b"{}", **sent)
    found = json.loads(answer.body)
    return Key(found["id"], found["secret"])


WHO = (
    "nobody", "a user without rights", "a key of another account", "a user who was disabled", "a token that is over",
    "a token of another registry", "a token for another repository", "a wrong password",
)  # fmt: skip
QUICK = WHO[:-1]
"""Wrong passwords are answered ever more slowly: they are tried at a few places."""


@pytest.fixture
def http(node: Node, people: dict[str, Who]) -> Iterator[Client]:
    with closing(Client(node.server)) as client:
        yield client


def ask(http: Client, who: Who, method: str, path: str) -> Answer:
    shown = {"authorization": who.authorization} if who.authorization else {}
    body = b"{}" if method in {"PUT", "POST", "PATCH"} else b""
    return http.call(method, path, body, content_type="application/json", **shown)


def target(pattern: str, name: str) -> str:
    digest = IMAGE.manifest.digest if "manifests" in pattern or "referrers" in pattern else IMAGE.blobs[0].digest
    filled = {"name": name, "reference": IMAGE.manifest.digest, "digest": digest, "upload": UPLOAD}
    for field, value in filled.items():
        pattern = pattern.replace(f"{{{field}}}", value)
    assert "{" not in pattern, f"say here what {pattern} is to be filled with"
    return f"{pattern}?digest={digest}" if "uploads" in pattern else pattern


def said(answer: Answer, name: str) -> tuple[int, bytes, frozenset[tuple[str, str]]]:
    """What is told, without what each answer has of its own."""
    fields = frozenset((k.lower(), v) for k, v in answer.headers.items() if k.lower() not in SAME)
    return answer.status, answer.body.replace(name.encode(), b"NAME"), fields


PATTERNS = sorted({route.pattern for route in OCI})
BASE = {"/v2/", "/v2"}  # Where any good credential is enough.


@pytest.mark.parametrize("who", QUICK)
def test_every_route_of_the_distribution_api_refuses(http: Client, people: dict[str, Who], who: str) -> None:
    rows = {(route.method, route.pattern) for route in OCI}
    for pattern in PATTERNS:
        if pattern in BASE:
            continue
        for method in METHODS:
            answers = [ask(http, people[who], method, target(pattern, name)) for name in (THERE, MISSING)]
            allowed = {401, 403} if (method, pattern) in rows else {401, 403, 404, 405}
            assert {one.status for one in answers} <= allowed, (method, pattern, answers)
            assert said(answers[0], THERE) == said(answers[1], MISSING), (method, pattern)


@pytest.mark.parametrize(
    "who", [one for one in WHO if one not in {"a user without rights", "a token for another repository"}]
)
def test_who_cannot_be_told_is_not_let_in(http: Client, people: dict[str, Who], who: str) -> None:
    assert ask(http, people[who], "GET", "/v2/").status in {401, 403}


MEMBERS: dict[str, Callable[[str], Any]] = {
    "repositoryName": lambda name: name,
    "repositoryNames": lambda name: [name],
    "resourceArn": lambda name: f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}",
    "imageId": lambda _: {"imageTag": "1"},
    "imageIds": lambda _: [{"imageTag": "1"}],
    "subjectId": lambda _: {"imageDigest": IMAGE.manifest.digest},
    "imageManifest": lambda _: IMAGE.manifest.data.decode(),
    "layerDigest": lambda _: IMAGE.blobs[0].digest,
    "layerDigests": lambda _: [IMAGE.blobs[0].digest],
    "layerPartBlob": lambda _: b"x",
    "partFirstByte": lambda _: 0,
    "partLastByte": lambda _: 0,
    "uploadId": lambda _: UPLOAD,
    "tags": lambda _: [{"Key": "a", "Value": "b"}],
    "tagKeys": lambda _: ["a"],
    "policyText": lambda _: '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:*", "Resource": "*"}}',
    "lifecyclePolicyText": lambda _: json.dumps({"rules": [{
        "rulePriority": 1, "action": {"type": "expire"},
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 9},
    }]}),
    "imageTagMutability": lambda _: "MUTABLE",
    "imageScanningConfiguration": lambda _: {"scanOnPush": False},
    "targetStorageClass": lambda _: "ARCHIVE",
    "prefix": lambda name: name,
    "appliedFor": lambda _: ["REPLICATION"],
    "ecrRepositoryPrefix": lambda _: "walked",
    "upstreamRegistryUrl": lambda _: "public.ecr.aws",
    "replicationConfiguration": lambda _: {"rules": []},
    "replicationBackfillId": lambda _: UPLOAD,
    "destination": lambda _: {"region": "us-east-1", "registryId": ACCOUNT},
    "signingConfiguration": lambda _: {"rules": []},
    "principalArn": lambda _: f"arn:aws:iam::{ACCOUNT}:role/walked",
    "name": lambda _: "BLOB_MOUNTING",
    "value": lambda _: "ENABLED",
    "catalogData": lambda _: {"description": "walked"},
}  # fmt: skip
"""What an operation is given, by the names of its required members."""

PUBLIC_ARN = f"arn:aws:ecr-public::{ACCOUNT}:repository/"


def given(client: Any, operation: Operation, name: str) -> dict[str, Any]:
    shape = client.meta.service_model.operation_model(operation.name).input_shape
    found = {member: MEMBERS[member](name) for member in (shape.required_members if shape else ())}
    if operation.service == "ecr-public" and "resourceArn" in found:
        found["resourceArn"] = PUBLIC_ARN + name
    return found


def told(client: Any, operation: Operation, name: str) -> tuple[str, str]:
    try:
        answer = getattr(client, xform_name(operation.name))(**given(client, operation, name))
    except ClientError as error:
        response = error.response
        return str(response["Error"]["Code"]), str(response["Error"]["Message"]).replace(name, "NAME")
    raise AssertionError(f"{operation.service} {operation.name} is not refused: {answer}")


@pytest.mark.parametrize("who", [one for one in WHO if one.startswith(("nobody", "a user", "a key"))])
@pytest.mark.parametrize("service", ["ecr", "ecr-public"])
def test_every_operation_of_ecr_refuses(node: Node, people: dict[str, Who], who: str, service: str) -> None:
    client = node.client(service, people[who].key)
    for operation in OPERATIONS:
        if operation.service == service:
            there, missing = (told(client, operation, name) for name in (THERE, MISSING))
            assert there[0] in people[who].errors, (operation.name, there)
            assert there == missing, operation.name


def test_a_bearer_token_is_no_signature(node: Node, people: dict[str, Who]) -> None:
    for who in ("a token that is over", "a token for another repository", "a wrong password"):
        with closing(Raw(node.server)) as raw:
            answer = raw.call("DescribeRepositories", {}, authorization=people[who].authorization)
            assert answer.status in {400, 403}, (who, answer)
            assert "repositories" not in answer.body


def api_path(route: Route[Any]) -> str:
    path = route.pattern
    for field in ("user", "group", "role", "policy", "name", "key"):
        path = path.replace(f"{{{field}}}", "eve")
    assert "{" not in path, f"say here what {path} is to be filled with"
    return path


OWN = {"iam:GetUser"}  # What eve may.


@pytest.mark.parametrize("who", QUICK)
def test_every_path_of_the_api_refuses(http: Client, people: dict[str, Who], who: str) -> None:
    for route in API:
        answer = ask(http, people[who], route.method, api_path(route))
        if who in {"a user without rights", "a token for another repository"}:  # They are known.
            is_own = route.action in OWN and who == "a user without rights"
            refused = {401, 403} if route.method in {"GET", "DELETE"} else {400, 401, 403}
            assert answer.status in ({200} if is_own else refused), (route.pattern, answer)
        else:
            assert answer.status in {401, 403}, (route.pattern, answer)


@pytest.mark.parametrize("who", [*QUICK, "ana"])
def test_what_is_for_the_control_socket_and_for_nodes_is_not_there(
    node: Node, http: Client, people: dict[str, Who], who: str
) -> None:
    """S08."""
    may_all = Who(basic(node.ana.id, node.ana.secret), node.ana, frozenset())
    asking = may_all if who == "ana" else people[who]
    paths = {route.pattern.replace("{", "").replace("}", "") for route in ADMIN}
    paths |= {f"/{one}" for one in (transfer.MANIFEST, transfer.MAP, transfer.CHUNKS, transfer.ANNOUNCE)}
    paths |= {"/debug", "/debug/pprof", "/admin", "/admin/v1", "/_internal", "/v1/_ping"}
    for path in sorted(paths):
        for method in ("GET", "POST"):
            assert ask(http, asking, method, path).status == 404, (method, path)
    assert listen is not None


def test_metrics_are_for_who_may_read_them(node: Node, http: Client, people: dict[str, Who]) -> None:
    for who in WHO:
        assert ask(http, people[who], "GET", "/metrics").status in {401, 403}, who
    assert http.call("GET", "/metrics", authorization=basic(node.ana.id, node.ana.secret)).status == 200


def test_what_was_refused_and_done_is_in_the_audit(node: Node, http: Client, people: dict[str, Who]) -> None:
    """Who, what, with which result; and no secret of anyone (S45)."""
    ana = basic(node.ana.id, node.ana.secret)
    ask(http, people["a user without rights"], "GET", f"/v2/{THERE}/manifests/1")
    assert http.call("GET", f"/v2/{THERE}/manifests/1", authorization=ana).status == 200

    def found() -> list[dict[str, Any]]:
        answer = http.call("GET", "/api/v1/audit?limit=1000", authorization=ana)
        entries: list[dict[str, Any]] = json.loads(answer.body)["entries"]
        return entries

    wanted = [("user/eve", "ecr:BatchGetImage", "AccessDeniedException"), ("user/ana", "ecr:BatchGetImage", "ok")]
    assert processes.wait_until(
        lambda: all(
            any(one["who"].endswith(who) and (one["action"], one["result"]) == (action, result) for one in found())
            for who, action, result in wanted
        ),
        patience=10,
        interval=0.2,
    )
    text = json.dumps(found())
    for secret in (
        node.ana.secret,
        node.eve.secret,
        base64.b64encode(node.ana.secret.encode()).decode(),
        "correct horse",
    ):
        assert secret not in text
    verified = json.loads(http.call("GET", "/api/v1/audit/verification", authorization=ana).body)
    assert (verified["faults"], verified["entries"] > 5) == ([], True)
