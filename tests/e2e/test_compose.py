"""The demo of three regions: the steps between its nodes, run with nodes of this machine; and what its file says.

Containers would add nothing to the steps: a command reaches a node over the socket in its directory, as it does there.
"""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import federation, processes, servers
from tests.e2e.federation import Site
from tests.e2e.images import make_image
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client
from tests.e2e.servers import ROOT, Server

FOLDER = ROOT / "deploy/compose"
IMAGE = make_image(90, layers=(200_000,))
NODES = ("eu", "us", "ap")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return found


def take(step: str, folder: Path) -> None:
    environment = {
        **servers.node_environment(),
        "REGIONS": " ".join(f"{name}={folder / name}" for name in NODES),
        "PATH": f"{Path(servers.entrepot()[0]).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, FOLDER / "regions.py", step], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_steps_make_three_regions_that_share_images(tmp_path: Path) -> None:
    eu, us, ap = sites = [Site(tmp_path / one, processes.free_port(), processes.free_port()) for one in NODES]
    try:
        take("found", tmp_path)
        eu.start()
        take("join", tmp_path)
        us.start()
        ap.start()
        take("rules", tmp_path)
        for step in ("found", "join", "rules"):  # `compose up` a second time.
            take(step, tmp_path)
        client = Client(eu.start())
        client.put_image("team/hello", "1", IMAGE)
        client.put_image("other/app", "1", IMAGE)
        client.close()
        for site in (us, ap):
            assert federation.arrives(site.start(), "team/hello", "1", IMAGE.manifest.digest)
            assert wait_until(partial(pulls_through, site.start()), patience=30)
    finally:
        for site in sites:
            site.stop()


def pulls_through(node: Server) -> bool:
    client = Client(node)
    found = client.get_manifest("eu/other/app", "1")
    client.close()
    return found == IMAGE.manifest.data


def test_nobody_but_this_machine_reaches_the_demo() -> None:
    for name, service in compose()["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "privileged" not in service, name


@pytest.mark.parametrize("name", NODES)
def test_each_node_listens_advertises_itself_and_is_asked_how_it_is(name: str) -> None:
    service = compose()["services"][name]
    flags = service["command"]
    assert flags[flags.index("--advertise") + 1] == f"{name}:6000"
    assert "--allow-open-network" in flags
    assert service["environment"]["ENTREPOT_DATA"] == f"/var/lib/entrepot/{name}"
    assert service["volumes"] == ["data:/var/lib/entrepot"]
    assert f"{name}=/var/lib/entrepot/{name}" in compose()["x-step"]["environment"]["REGIONS"].split()
    assert service["healthcheck"]["test"][-1] == "/opt/entrepot/healthcheck.py"
    assert int(service["stop_grace_period"].rstrip("s")) > 20, "limits.grace"


def test_steps_and_nodes_wait_for_each_other() -> None:
    services = compose()["services"]
    waits = {name: one.get("depends_on", {}) for name, one in services.items()}
    order: list[str] = []
    while len(order) < len(services):
        ready = [name for name, on in waits.items() if name not in order and {*on} <= {*order}]
        assert ready, "they wait for each other in a circle"
        order += ready
    assert [name for name in order if name in {"found", "eu", "join", "rules"}] == ["found", "eu", "join", "rules"]
    for on in waits.values():
        for other, how in on.items():
            ends = services[other]["restart"] == "no"
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")
