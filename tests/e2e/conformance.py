"""``make conformance``: the official OCI conformance suite against a node of its own; needs Go.

Three profiles with all optional features on, each against a fresh node, for the suite leaves half-made repositories.
The suite pushes images whose layers it never uploads, so the node is told to allow that (``missing_content``).
``--server docker-registry`` runs it against the rival; what fails is then told, and no error. ``--public`` runs it on
two public repositories, at the public host.

Source: github.com/opencontainers/distribution-spec/conformance.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias
from xml.etree import ElementTree

from tests.e2e import processes
from tests.e2e.servers import ROOT, Server, start_docker_registry, start_node

SUITE = "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111"
PROFILES = ("1.0", "1.1", "dev")
SETTINGS = {
    "OCI_TLS": "disabled",
    "OCI_DATA_SPARSE": "true",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
}
CONFIGURATION = '[registry]\nmissing_content = "allow"\n'
Kind: TypeAlias = Literal["private", "public", "rival"]
PUBLIC = ("team/one", "team/two")
ALIAS = "acme"


def main() -> None:
    """Run the profiles, print a line for each, and leave with 1 where a test failed."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--server", choices=["entrepot", "docker-registry"], default="entrepot")
    parser.add_argument("--profile", choices=PROFILES, action="append")
    parser.add_argument("--public", action="store_true")
    chosen = parser.parse_args()
    suite = _build()
    failed: list[str] = []
    print(f"{'profile':<10}{'passed':>8}{'failed':>8}{'skipped':>9}   report")
    for profile in chosen.profile or PROFILES:
        results = ROOT / "build/conformance" / profile
        kind: Kind = "rival" if chosen.server == "docker-registry" else "public" if chosen.public else "private"
        counts, failures = _run(suite, profile, results, kind)
        print(f"{profile:<10}{counts['passed']:>8}{counts['failed']:>8}{counts['skipped']:>9}   {results}")
        failed += [f"{profile}: {name}" for name in failures]
    for line in failed:
        print("failed ", line)
    if failed and chosen.server == "entrepot":
        sys.exit(1)


def _build() -> Path:
    """Return the suite's program, compiled into ``build/`` unless it is there."""
    program = ROOT / "build/conformance" / SUITE.rpartition("@")[2]
    if program.exists():
        return program
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        sys.exit("make conformance needs Go 1.24 or later, and finds none in PATH")
    program.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([go, "install", SUITE], env=os.environ | {"GOBIN": str(program.parent)}, check=True)
    return (program.parent / "conformance").rename(program)


def _run(suite: Path, profile: str, results: Path, kind: Kind) -> tuple[Counter[str], list[str]]:
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        server = _start(Path(folder) / "data", kind)
        try:
            settings = SETTINGS | {
                "OCI_REGISTRY": server.address,
                "OCI_VERSION": profile,
                "OCI_RESULTS_DIR": str(results),
            }
            if kind == "public":
                settings |= {f"OCI_REPO{at}": f"{ALIAS}/{name}" for at, name in enumerate(PUBLIC, 1)}
            with (results / "output.txt").open("w") as output:
                environment = processes.environment(**settings)
                done = subprocess.run([suite], cwd=results, env=environment, stdout=output, stderr=output, check=False)
        finally:
            processes.stop(server.process)
            shutil.copy(server.log, results / "server.log")
    counts, failures = _count(results)
    if done.returncode and not failures:
        failures = [f"the suite left with {done.returncode}; see {results}/output.txt"]
    return counts, failures


def _start(data: Path, kind: Kind) -> Server:
    port = processes.free_port()
    if kind == "rival":
        return start_docker_registry(data, port=port)
    if kind == "private":
        return start_node(data, port=port, configuration=CONFIGURATION)
    host = f'[public]\nhost = "127.0.0.1:{port}"\nalias = "{ALIAS}"\n'
    server = start_node(data, port=port, configuration=CONFIGURATION + host)
    for name in PUBLIC:
        _create_public(server, name)
    return server


def _create_public(server: Server, name: str) -> None:
    with closing(server.connect()) as connection:
        headers = {"x-amz-target": "SpencerFrontendService.CreateRepository"}
        connection.request("POST", "/", json.dumps({"repositoryName": name}), headers)
        assert connection.getresponse().status == 200


def _count(results: Path) -> tuple[Counter[str], list[str]]:
    """Return how many tests ended how, and for each that failed its name and why."""
    counts, failed = Counter[str](), list[str]()
    for case in ElementTree.parse(results / "junit.xml").iter("testcase"):  # noqa: S314 - our own program wrote it
        status = case.get("status", "")
        counts[status if status in ("passed", "skipped") else "failed"] += 1
        if status not in ("passed", "skipped"):
            reason = (case.findtext("system-out") or status).splitlines()[0]
            failed.append(f"{case.get('name', '').partition('/')[2]}: {reason}")
    return counts, failed


if __name__ == "__main__":
    main()
