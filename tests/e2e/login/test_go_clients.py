"""crane, oras, regctl and helm log in and push. `make e2e-go` builds the first three, `make helm` the last."""

import os
from pathlib import Path

import pytest

from tests.e2e.clients import Shell, need
from tests.e2e.images import make_image, write_layout
from tests.e2e.login.conftest import Node
from tests.e2e.login.principals import PASSWORD

pytestmark = pytest.mark.go


@pytest.fixture
def go_shell(shell: Shell, either: Node) -> Shell:
    """A shell whose Go clients trust the node's authority."""
    trust = {"SSL_CERT_FILE": str(either.server.ca)} if either.server.ca else {}
    own = {"REGCTL_CONFIG": str(shell.home / "regctl.json"), "HELM_REGISTRY_CONFIG": str(shell.home / "helm.json")}
    return Shell(shell.home, shell.environment | trust | own)


@pytest.fixture
def name(either: Node, repository: str) -> str:
    return f"{either.registry}/{repository.replace('e2e/', 'team/', 1)}"


def test_crane(either: Node, go_shell: Shell, name: str) -> None:
    need("crane")
    write_layout(go_shell.home / "in", "1", make_image(75))
    assert go_shell.attempt("crane", "push", "in", f"{name}:1").returncode == 1
    for user, password in (("ana", PASSWORD), (either.ana.id, either.ana.secret)):
        go_shell.run("crane", "auth", "login", "-u", user, "-p", password, either.registry)
        go_shell.run("crane", "push", "in", f"{name}:1")
        go_shell.run("crane", "copy", f"{name}:1", f"{name}-copy:1")
        assert name.partition("/")[2] in go_shell.run("crane", "catalog", either.registry)
    go_shell.run("crane", "auth", "login", "-u", "bob", "-p", PASSWORD, either.registry)
    go_shell.run("crane", "manifest", f"{name}:1")
    assert go_shell.attempt("crane", "push", "in", f"{name}:2").returncode == 1


def test_oras(either: Node, go_shell: Shell, name: str) -> None:
    need("oras")
    plain = [f"--plain-http={'false' if either.server.ca else 'true'}"]
    (go_shell.home / "f.txt").write_text("an artifact")
    push = ("oras", "push", *plain, "--artifact-type", "application/x.test")
    assert go_shell.attempt(*push, f"{name}:1", "f.txt:text/plain").returncode == 1
    assert go_shell.attempt("oras", "login", *plain, "-u", "ana", "-p", "wrong", either.registry).returncode == 1
    go_shell.run("oras", "login", *plain, "-u", "ana", "-p", PASSWORD, either.registry)
    go_shell.run(*push, f"{name}:1", "f.txt:text/plain")
    go_shell.run("oras", "pull", *plain, "--output", "out", f"{name}:1")
    assert Path(go_shell.home / "out/f.txt").read_text() == "an artifact"


def test_regctl(either: Node, go_shell: Shell, name: str) -> None:
    need("regctl")
    write_layout(go_shell.home / "in", "1", make_image(76))
    if either.server.ca is None:
        go_shell.run("regctl", "registry", "set", "--tls", "disabled", either.registry)
    go_shell.run("regctl", "registry", "login", "-u", either.ana.id, "-p", either.ana.secret, either.registry)
    go_shell.run("regctl", "image", "copy", "ocidir://in:1", f"{name}:1")
    assert go_shell.run("regctl", "tag", "ls", name).split() == ["1"]


def test_helm(either: Node, go_shell: Shell, name: str) -> None:
    need("helm")
    plain = [] if either.server.ca else ["--plain-http"]
    login = ["helm", "registry", "login", *plain, either.registry]
    assert go_shell.attempt(*login, "-u", "ana", "-p", "wrong").returncode == 1
    go_shell.run(*login, "-u", "ana", "-p", PASSWORD)
    (go_shell.home / "out").mkdir()
    go_shell.run("helm", "create", "web")
    go_shell.run("helm", "package", "web")
    where = f"oci://{os.path.dirname(name)}"  # noqa: PTH120 - no path.
    go_shell.run("helm", "push", *plain, "web-0.1.0.tgz", where)
    go_shell.run("helm", "pull", *plain, f"{where}/web", "--version", "0.1.0", "--destination", "out")
    assert Path(go_shell.home / "out/web-0.1.0.tgz").exists()
