"""podman and buildah, which share storage and transport: build, push, pull, run."""

import json
import shutil
from pathlib import Path

from tests.e2e.clients import Shell, buildah, containers_flags, need, podman
from tests.e2e.images import image_of, make_image, write_layout
from tests.e2e.servers import Server


def test_podman_pushes_what_it_pulled(server: Server, shell: Shell, repository: str) -> None:
    need("podman", "skopeo", root=True)
    image = make_image(10, layers=(5000, 2_000_000))
    write_layout(shell.home / "in", "1", image)
    name, flags = f"{server.address}/{repository}", containers_flags(server)
    shell.run("skopeo", "copy", *containers_flags(server, "dest-"), f"oci:{shell.home}/in:1", f"docker://{name}:1")
    podman(shell, "pull", *flags, f"{name}:1")
    podman(shell, "tag", f"{name}:1", f"{name}:2")
    podman(shell, "push", *flags, "--digestfile", shell.home / "digest", f"{name}:2")
    pushed = (shell.home / "digest").read_text()
    podman(shell, "rmi", "--all", "--force")
    podman(shell, "pull", *flags, f"{name}@{pushed}")
    [details] = json.loads(podman(shell, "inspect", f"{name}@{pushed}"))
    assert details["Digest"] == pushed
    assert details["RootFS"]["Layers"] == json.loads(image.config.data)["rootfs"]["diff_ids"]


def test_podman_runs_a_pulled_image(plain_server: Server, shell: Shell, repository: str) -> None:
    need("podman", "skopeo", "runc", "busybox", root=True)
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    image = image_of([{"bin/busybox": busybox}], command=("/bin/busybox", "echo", "hello from here"))
    write_layout(shell.home / "in", "1", image)
    name = f"{plain_server.address}/{repository}:1"
    shell.run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{shell.home}/in:1", f"docker://{name}")
    assert podman(shell, "run", "--rm", "--tls-verify=false", name) == "hello from here\n"


def test_buildah_builds_and_pushes_for_two_platforms(server: Server, shell: Shell, repository: str) -> None:
    need("buildah", "skopeo", root=True)
    context = shell.home / "context"
    context.mkdir()
    (context / "Containerfile").write_text("FROM scratch\nCOPY data /data\n")
    (context / "data").write_bytes(b"data" * 1000)
    name = f"{server.address}/{repository}:1"
    for architecture in ("amd64", "arm64"):
        buildah(
            shell, "bud", "--isolation", "chroot", "--platform", f"linux/{architecture}", "--manifest", name, context
        )
    buildah(shell, "manifest", "push", "--all", *containers_flags(server), name, f"docker://{name}")
    index = json.loads(shell.run("skopeo", "inspect", "--raw", *containers_flags(server), f"docker://{name}"))
    platforms = [one["platform"]["architecture"] for one in index["manifests"]]
    assert sorted(platforms) == ["amd64", "arm64"]
    buildah(shell, "rmi", "--all", "--force")
    buildah(shell, "pull", *containers_flags(server), f"docker://{name}")
