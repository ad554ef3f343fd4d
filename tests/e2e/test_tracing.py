"""Traces of real nodes, at a collector: whole across two nodes, without secrets, and harmless where nobody collects."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import federation, processes, servers
from tests.e2e.collector import Collector, collecting
from tests.e2e.images import make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import Server

IMAGE = make_image(60, layers=(3_000_000,))
MANIFEST = "GET /v2/{name}/manifests/{reference}"
CANARY = "canary-7f3a9b"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def configuration(endpoint: str, more: str = "") -> str:
    return f'[tracing]\nendpoint = "{endpoint}"\nservice_name = "registry"\n{more}\n[log]\nformat = "json"\n'


def get(node: Server, path: str, *, traceparent: str = "") -> int:
    client = Client(node)
    status = client.call("GET", path, Traceparent=traceparent, Authorization="Basic canary-basic").status
    client.close()
    return status


def test_a_request_is_a_span_with_its_commits_below(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "headers").write_text(f"# For the collector.\nAuthorization: Bearer {CANARY}\n")
    node = servers.start_node(
        tmp_path / "data",
        port=processes.free_port(),
        configuration=configuration(collector.endpoint, f'headers_file = "{tmp_path}/headers"'),
    )
    try:
        client = Client(node)
        client.put_image("team/hello", "1", IMAGE)
        client.close()
        told = f"00-{TRACE}-{CALLER}-01"
        path = "/v2/team/hello/manifests/1?token=canary-query"
        assert get(node, path, traceparent=told) == 200
        [got] = collector.wait_for(MANIFEST)
        [put] = collector.wait_for("PUT /v2/{name}/manifests/{reference}")
    finally:
        processes.stop(node.process)
    assert (got.service, got.trace, got.parent) == ("registry", TRACE, CALLER)
    assert got.attributes["http.response.status_code"] == "200"
    assert got.attributes["url.path"] == "/v2/team/hello/manifests/1"
    commits = [span for span in collector.named("commit") if span.parent == put.id]
    assert [(span.trace, span.attributes) for span in commits] == [(put.trace, {"store": "meta"})]
    logged = [json.loads(line) for line in node.log.read_text().splitlines()]
    [line] = [line for line in logged if line.get("trace") == TRACE]
    assert line["id"] == got.attributes["entrepot.request_id"]
    assert all(f"Bearer {CANARY}" in request for request in collector.requests)
    for text in (node.log.read_text(), *(request.partition("{")[2] for request in collector.requests)):
        assert "canary" not in text


def test_a_pull_through_is_one_trace_of_both_nodes(tmp_path: Path, collector: Collector) -> None:
    both = federation.found(tmp_path, configuration=configuration(collector.endpoint))
    try:
        a, b = both.a.start(), both.b.start()
        client = Client(a)
        client.put_image("other/app", "1", IMAGE)
        client.close()
        upstream = f"{federation.ACCOUNT}/{federation.A_REGION}"
        both.b.run("pull-through", "put", "eu/", "--registry", upstream, "--upstream-prefix", "ROOT")
        assert processes.wait_until(lambda: get(b, "/v2/eu/other/app/manifests/1") == 200, patience=30)
        assert get(b, f"/v2/eu/other/app/blobs/{IMAGE.layers[0].digest}") == 200
        [blob] = collector.wait_for("GET /v2/{name}/blobs/{digest}")
        [fetch] = collector.wait_for("fetch")
    finally:
        both.stop()
    assert fetch.trace == blob.trace
    ours = {span.id: span for span in collector.spans if span.trace == blob.trace}
    there = [span for span in ours.values() if span.node != blob.node]
    assert there, "the node that was asked is in the trace"
    for span in there:
        assert ours[span.parent].name == "call"
    assert {span.parent for span in ours.values()} <= {"", *ours}, "no part is missing between"


def test_a_collector_that_is_not_there_hurts_nobody(tmp_path: Path) -> None:
    endpoint = "http://127.0.0.1:1"
    node = servers.start_node(tmp_path / "data", port=processes.free_port(), configuration=configuration(endpoint))
    try:
        for _ in range(20):
            assert get(node, "/v2/") == 200
        assert processes.wait_until(lambda: "traces are not exported" in node.log.read_text(), patience=30)
        assert get(node, "/v2/") == 200
    finally:
        assert processes.stop(node.process, grace=8) == 0
    assert "Traceback" not in node.log.read_text()


def test_without_a_collector_nothing_is_traced(tmp_path: Path) -> None:
    with servers.registry(tmp_path / "data") as node:
        assert get(node, "/v2/", traceparent=f"00-{TRACE}-{CALLER}-01") == 200
    assert TRACE not in node.log.read_text()
