"""Attacks on the log-in of a running node: guessing, timing, signatures that are not right (S13, S15, S16, S20)."""

import hashlib
import os
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from protocol.auth.sigv4 import Request, Signature, sign
from tests.e2e import servers
from tests.e2e.ecr.calls import REGION, TYPE
from tests.e2e.images import make_image
from tests.e2e.login.conftest import Node
from tests.e2e.login.principals import PASSWORD, Key
from tests.e2e.login.test_tokens import Pushing, basic
from tests.e2e.pushes import Answer, Client

TARGET = "AmazonEC2ContainerRegistry_V20150921.DescribeRegistry"


@pytest.fixture
def http(node: Node) -> Iterator[Client]:
    with closing(Client(node.server)) as client:
        yield client


@dataclass(frozen=True)
class Call:
    """A call of the API, signed with ana's key, and what of it is wrong."""

    body: bytes = b"{}"
    sent_body: bytes | None = None
    key: str | None = None
    secret: str | None = None
    region: str = REGION
    service: str = "ecr"
    age: float = 0.0
    query: str = ""
    sent_query: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)
    unsigned: Mapping[str, str] = field(default_factory=dict)
    is_elsewhere: bool = False  # Sent with another Host than it was signed for.

    def send(self, node: Node, http: Client) -> Answer:
        key = Key(self.key or node.ana.id, self.secret or node.ana.secret)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - self.age))
        headers = {
            "host": node.registry,
            "x-amz-date": stamp,
            "x-amz-target": TARGET,
            "content-type": TYPE,
            **self.more,
        }
        names = tuple(sorted(headers))
        signature = Signature(key.id, stamp[:8], self.region, self.service, names, "", stamp, 0.0)
        request = Request("POST", "/", self.query, list(headers.items()))
        value = sign(request, signature, key.secret, hashlib.sha256(self.body).hexdigest())
        scope = f"{key.id}/{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={';'.join(names)}, Signature={value}"
        )
        headers |= self.unsigned
        if self.is_elsewhere:
            headers["host"] = f"localhost:{node.server.port}"
        query = self.query if self.sent_query is None else self.sent_query
        body = self.body if self.sent_body is None else self.sent_body
        return http.call("POST", f"/?{query}" if query else "/", body, **headers)


INVALID = "403 InvalidSignatureException"
HASH = "x-amz-content-sha256"
SIGNED: dict[str, tuple[Call, str]] = {
    "right": (Call(), "200 "),
    "right, for the public service": (Call(service="ecr-public"), "200 "),
    "four minutes old": (Call(age=240), "200 "),
    "keys of the query in another order": (Call(query="b=2&a=1", sent_query="a=1&b=2"), "200 "),
    "six minutes old": (Call(age=360), INVALID),
    "from the future": (Call(age=-360), INVALID),
    "another region": (Call(region="us-east-1"), INVALID),
    "another service": (Call(service="s3"), INVALID),
    "another secret": (Call(secret="x" * 40), INVALID),
    "another body": (Call(sent_body=b'{"a": 1}'), INVALID),
    "a body that was not signed": (Call(body=b"", sent_body=b"{}"), INVALID),
    "a hash in a header that is not the body's": (Call(more={HASH: hashlib.sha256(b"x").hexdigest()}), INVALID),
    "a body that is not signed at all": (Call(more={HASH: "UNSIGNED-PAYLOAD"}), INVALID),
    "a parameter more": (Call(query="a=1", sent_query="a=1&b=2"), INVALID),
    "a parameter twice": (Call(query="a=1", sent_query="a=1&a=1"), INVALID),
    "another value": (Call(query="a=1&a=2", sent_query="a=1&a=3"), INVALID),
    "a slash that was encoded": (Call(query="a=b%2Fc", sent_query="a=b%252Fc"), INVALID),
    "a header that is not signed": (Call(unsigned={"x-amz-meta": "x"}), "403 IncompleteSignature"),
    "another operation": (Call(unsigned={"x-amz-target": TARGET.replace("Describe", "Delete")}), "404 "),
    "another operation that there is": (
        Call(unsigned={"x-amz-target": TARGET.replace("DescribeRegistry", "DeleteRegistryPolicy")}),
        INVALID,
    ),
    "another Host": (Call(is_elsewhere=True), INVALID),
    "no such key": (Call(key="AKIA" + "A" * 16), "403 UnrecognizedClientException"),
}


@pytest.mark.parametrize("name", SIGNED)
def test_signatures(node: Node, http: Client, name: str) -> None:
    """S20."""
    call, wanted = SIGNED[name]
    answer = call.send(node, http)
    assert f"{answer.status} {answer.headers.get('x-amzn-errortype', '')}".startswith(wanted), answer.body


def presigned(node: Node, *, lifetime: int = 60, age: float = 0.0, key: Key | None = None) -> str:
    """Return the path and query of a signed GET of ``GetCallerIdentity``."""
    key, stamp = key or node.ana, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - age))
    scope = f"{key.id}/{stamp[:8]}/{REGION}/sts/aws4_request"
    query = "&".join(
        [
            "Action=GetCallerIdentity",
            "Version=2011-06-15",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            f"X-Amz-Credential={quote(scope, safe='')}",
            f"X-Amz-Date={stamp}",
            f"X-Amz-Expires={lifetime}",
            "X-Amz-SignedHeaders=host",
        ]
    )
    signature = Signature(key.id, stamp[:8], REGION, "sts", ("host",), "", stamp, 0.0, lifetime)
    request = Request("GET", "/", query, [("host", node.registry)])
    return f"/?{query}&X-Amz-Signature={sign(request, signature, key.secret, hashlib.sha256(b'').hexdigest())}"


def test_signed_urls_are_for_what_and_as_long_as_they_say(node: Node, http: Client) -> None:
    assert http.call("GET", presigned(node)).status == 200
    assert http.call("GET", presigned(node, lifetime=43_200, age=43_000)).status == 200
    good = presigned(node)
    for wrong in (
        presigned(node, age=61),
        presigned(node, lifetime=43_201),
        presigned(node, lifetime=0),
        good.replace("Expires=60", "Expires=600"),
        good.replace("GetCallerIdentity", "GetSessionToken"),
        good + "&DurationSeconds=900",
        good + "&X-Amz-Date=20150830T123600Z",
        good + good[good.index("&X-Amz-Signature") :],
        good.replace("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="),
    ):
        assert http.call("GET", wrong).status in {400, 403}, wrong
    assert http.call("POST", good).status == 403
    assert http.call("GET", good, host=f"localhost:{node.server.port}").status == 403
    assert http.call("GET", good, x_amz_target=TARGET).status in {401, 403, 404}


def test_a_fresh_node_off_loopback_does_not_start_without_protection(tmp_path: Path) -> None:
    """S15."""
    for options in ((), ("--auth", "open")):
        done = servers.run("serve", "--data", tmp_path / "data", "--listen", "0.0.0.0:0", *options)
        assert done.returncode == 2, (options, done.stderr)
        assert "0.0.0.0:0 can be reached from other machines" in done.stderr


def test_no_fixed_string_logs_in(http: Client) -> None:
    """S15."""
    for name, password in (("admin", "admin"), ("root", ""), ("AWS", "AWS"), ("AKIA" + "A" * 16, "password")):
        assert http.call("GET", "/v2/", authorization=basic(name, password)).status in {401, 403}


def test_a_known_name_is_refused_like_an_unknown_one(node: Node, http: Client) -> None:
    """S13, in small: bodies equal, medians alike. Hashing makes all else small; keys are compared without it."""
    bodies = {http.call("GET", "/v2/", authorization=basic(name, "wrong")).body for name in ("bob", "nobody")}
    assert len(bodies) == 1
    keys = {"known": node.bob.id, "unknown": "AKIA" + "B" * 16}
    took: dict[str, list[float]] = {name: [] for name in keys}
    for _ in range(300):
        for name, key in keys.items():
            start = time.perf_counter()
            answer = http.call("GET", "/v2/", authorization=basic(key, "s" * 40))
            took[name].append(time.perf_counter() - start)
            bodies.add(answer.body)
    assert len(bodies) == 1
    known, unknown = (statistics.median(sorted(one)[:150]) for one in took.values())
    assert 0.8 < known / unknown < 1.25  # The 2 000 samples and 5 % of S13 take a machine of one's own.


def test_guessing_leaves_room_for_others(node: Node) -> None:
    """S16: two hundred wrong log-ins at once."""
    name = "team/guessed"
    token = basic(node.ana.id, node.ana.secret)
    with closing(Pushing(node, token)) as client:
        client.put_image(name, "1", make_image(73))
    before = resident(node)
    statuses: list[int] = []

    def guess(at: int) -> None:
        with closing(Client(node.server)) as client:
            user = ("ana", "bob", f"user{at}")[at % 3]
            statuses.append(client.call("GET", "/v2/", authorization=basic(user, f"wrong {at}")).status)

    guesses = [threading.Thread(target=guess, args=(at,)) for at in range(200)]
    for one in guesses:
        one.start()
    with closing(Pushing(node, token)) as pulling:
        start = time.monotonic()
        assert pulling.get_manifest(name, "1") is not None
        pulled = time.monotonic() - start
    with closing(Client(node.server)) as coming:
        start = time.monotonic()
        assert coming.call("GET", "/v2/", authorization=basic("eve", PASSWORD)).status == 200
        logged_in = time.monotonic() - start
    for one in guesses:
        one.join()
    assert set(statuses) == {401, 429}
    assert statuses.count(429) > 100
    assert pulled < 2
    assert logged_in < 2 * slowness()
    assert resident(node) - before < 64 * 2**20 + 32 * 2**20  # Two hashes are under way, and what Python keeps.


def resident(node: Node) -> int:
    """Return the node's resident bytes."""
    text = Path(f"/proc/{node.server.process.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slowness() -> float:
    """Return how much slower a hash is here and now than the quarter of a second that it takes alone."""
    start = time.monotonic()
    hashlib.scrypt(b"", salt=b"", n=2**15, r=8, p=3, maxmem=2**27)
    return max(1.0, (time.monotonic() - start) / 0.25)
