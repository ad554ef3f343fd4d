"""Two accounts that trust one another: nothing goes between them but what a policy of its owner allows."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.conftest import watch
from tests.e2e.ecr.calls import Raw
from tests.e2e.federation import Site, arrives
from tests.e2e.images import Image, make_image
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client
from tests.e2e.servers import RIVAL, Server, command

pytestmark = pytest.mark.skipif(RIVAL, reason="docker-registry has no accounts")

OURS, THEIRS = "111111111111", "222222222222"
REGION = "eu-west-1"
PATIENCE = 60.0  # Seconds, on a machine that is busy with others.


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, nothing_is_left: None) -> Iterator[tuple[Site, Site]]:
    """A node of each account; each trusts the other's authority, and ours sends what is below ``app/`` there."""
    folder = tmp_path_factory.mktemp("accounts")
    ours, theirs = (Site(folder / name, processes.free_port(), processes.free_port()) for name in ("ours", "theirs"))
    for site, account in ((ours, OURS), (theirs, THEIRS)):
        command("init", "--data", site.data, "--account", account, "--region", REGION)
        site.start()
    try:
        for site, other, account in ((ours, theirs, THEIRS), (theirs, ours, OURS)):
            authority = folder / f"{account}.pem"
            authority.write_bytes((other.data / "identity" / "authority.pem").read_bytes())
            site.run("trust", "add", account, authority, "--address", f"127.0.0.1:{other.peer_port}")
        rule = {
            "destinations": [{"region": REGION, "registryId": THEIRS}],
            "repositoryFilters": [{"filter": "app/", "filterType": "PREFIX_MATCH"}],
        }
        rules = Path(folder / "rules.json")
        rules.write_text(json.dumps({"rules": [rule]}))
        ours.run("replication", "put", rules)
        yield ours, theirs
    finally:
        ours.stop()
        theirs.stop()


@pytest.fixture
def nodes(request: pytest.FixtureRequest, sites: tuple[Site, Site]) -> tuple[Server, Server]:
    ours, theirs = sites[0].start(), sites[1].start()
    watch(request, ours, theirs)
    return ours, theirs


def push(server: Server, name: str, image: Image) -> None:
    with closing(Client(server)) as client:
        client.put_image(name, "1", image)


def fails(site: Site, name: str) -> bool:
    """Whether the repository's image is refused where it is to go."""
    status = ("replication", "status", "--repository", name)
    return wait_until(lambda: "FAILED" in site.run(*status), patience=PATIENCE, interval=0.5)


def audited(site: Site) -> set[tuple[str, str]]:
    """What was asked to be replicated to a site, and what came of it; it was our root that asked."""
    shown = site.run("audit", "show", "--action", "ecr:ReplicateImage", "--json")
    entries = [json.loads(line) for line in shown.splitlines()]
    assert {one["who"] for one in entries} == {f"arn:aws:iam::{OURS}:root"}
    assert all(one["from"].startswith(f"{OURS}/{REGION}/") for one in entries)
    return {(one["resource"], one["result"]) for one in entries}


def test_what_another_account_sends_is_refused_until_the_registrys_policy_takes_it(
    sites: tuple[Site, Site], nodes: tuple[Server, Server]
) -> None:
    ours, theirs = nodes
    push(ours, "app/first", make_image(91))
    assert fails(sites[0], "app/first")
    said = sites[0].run("replication", "status", "--repository", "app/first", "--json")
    assert f"User: arn:aws:iam::{OURS}:root is not authorized to perform: ecr:ReplicateImage on resource: " in said
    assert "no resource-based policy" in said
    with closing(Client(theirs)) as client:
        assert client.call("GET", "/v2/app/first/manifests/1").status == 404
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OURS}:root"},
        "Action": ["ecr:ReplicateImage", "ecr:CreateRepository"],
        "Resource": f"arn:aws:ecr:{REGION}:{THEIRS}:repository/app/sec*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    with closing(Raw(theirs)) as raw:
        assert raw.call("PutRegistryPolicy", {"policyText": policy}).status == 200
    image = make_image(92)
    push(ours, "app/second", image)
    assert arrives(theirs, "app/second", "1", image.manifest.digest)
    push(ours, "app/third", image)
    assert fails(sites[0], "app/third")
    expected = {
        ("app/first", "AccessDeniedException"), ("app/second", "ok"), ("app/third", "AccessDeniedException")
    }  # fmt: skip
    assert wait_until(lambda: audited(sites[1]) >= expected, patience=PATIENCE)  # Refusals within a second.


def test_what_another_account_pulls_through_needs_the_sources_policy(
    sites: tuple[Site, Site], nodes: tuple[Server, Server]
) -> None:
    ours, theirs = nodes
    image = make_image(93)
    push(ours, "lib/shared", image)
    sites[1].run("pull-through", "put", "from-ours/", "--registry", f"{OURS}/{REGION}", "--upstream-prefix", "lib/")
    with closing(Client(theirs)) as client:
        assert client.call("GET", "/v2/from-ours/shared/manifests/1").status >= 400
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": THEIRS},
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        with closing(Raw(ours)) as raw:
            given = {"repositoryName": "lib/shared", "policyText": policy}
            assert raw.call("SetRepositoryPolicy", given).status == 200
        answer = client.call("GET", "/v2/from-ours/shared/manifests/1")
        assert (answer.status, answer.body) == (200, image.manifest.data)
        for blob in image.blobs:
            got = client.call("GET", f"/v2/from-ours/shared/blobs/{blob.digest}")
            assert (got.status, got.body) == (200, blob.data)
