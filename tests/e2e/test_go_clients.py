"""crane, oras and regctl: clients in Go, which speak HTTP/2 over TLS. `make e2e-go` builds and runs them."""

import json
from pathlib import Path

import pytest

from tests.e2e.clients import Shell, need
from tests.e2e.images import make_image, write_layout
from tests.e2e.servers import Server

pytestmark = pytest.mark.go


@pytest.fixture
def go_shell(shell: Shell, server: Server) -> Shell:
    """A shell whose Go clients trust *server*'s authority."""
    need("crane", "oras", "regctl", "skopeo")
    trust = {"SSL_CERT_FILE": str(server.ca)} if server.ca else {}
    return Shell(shell.home, shell.environment | trust | {"REGCTL_CONFIG": str(shell.home / "regctl.json")})


def plain(server: Server) -> list[str]:
    return [f"--plain-http={'false' if server.ca else 'true'}"]


def test_crane_pushes_copies_and_validates(server: Server, go_shell: Shell, repository: str) -> None:
    name = f"{server.address}/{repository}"
    write_layout(go_shell.home / "in", "1", make_image(60, layers=(5000, 1_500_000)))
    go_shell.run("crane", "push", go_shell.home / "in", f"{name}:1")
    go_shell.run("crane", "copy", f"{name}:1", f"{name}:2")
    go_shell.run("crane", "validate", "--remote", f"{name}:2")
    assert go_shell.run("crane", "ls", name).split() == ["1", "2"]
    assert go_shell.run("crane", "digest", f"{name}:1") == go_shell.run("crane", "digest", f"{name}:2")
    assert repository in go_shell.run("crane", "catalog", server.address).split()


def test_oras_attaches_discovers_and_copies(server: Server, go_shell: Shell, repository: str) -> None:
    name, flags = f"{server.address}/{repository}", plain(server)
    (go_shell.home / "f.txt").write_text("an artifact")
    go_shell.run("oras", "push", *flags, "--artifact-type", "application/x.test", f"{name}:1", "f.txt:text/plain")
    go_shell.run(
        "oras", "attach", *flags, "--artifact-type", "application/x.signature", f"{name}:1", "f.txt:text/plain"
    )
    found = json.loads(go_shell.run("oras", "discover", *flags, "--format", "json", f"{name}:1"))
    [referrer] = found["referrers"] if "referrers" in found else found["manifests"]
    assert referrer["artifactType"] == "application/x.signature"
    from_to = [flag.replace("--", f"--{side}-") for side in ("from", "to") for flag in flags]
    go_shell.run("oras", "cp", *from_to, "--recursive", f"{name}:1", f"{name}-copy:1")
    go_shell.run("oras", "pull", *flags, "--output", "out", f"{name}-copy:1")
    assert Path(go_shell.home / "out/f.txt").read_text() == "an artifact"


def test_regctl_copies_and_deletes(server: Server, go_shell: Shell, repository: str) -> None:
    name = f"{server.address}/{repository}"
    write_layout(go_shell.home / "in", "1", *(make_image(61, architecture=one) for one in ("amd64", "arm64")))
    if server.ca is None:
        go_shell.run("regctl", "registry", "set", "--tls", "disabled", server.address)
    go_shell.run("regctl", "image", "copy", f"ocidir://{go_shell.home}/in:1", f"{name}:1")
    go_shell.run("regctl", "image", "copy", f"{name}:1", f"{name}-copy:1")
    assert go_shell.run("regctl", "tag", "ls", f"{name}-copy").split() == ["1"]
    go_shell.run("regctl", "tag", "rm", f"{name}-copy:1")
    assert go_shell.run("regctl", "tag", "ls", f"{name}-copy").split() == []
