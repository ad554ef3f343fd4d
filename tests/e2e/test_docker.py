"""Docker 20.10, daemon and CLI: pull what skopeo pushed, push it again, pull that by its digest."""

import json
import re

from tests.e2e.clients import Shell, containers_flags, need, running_docker
from tests.e2e.images import make_image, write_layout
from tests.e2e.servers import Server


def test_docker_pulls_and_pushes(server: Server, shell: Shell, repository: str) -> None:
    need("dockerd", "docker", "skopeo", root=True)
    image = make_image(30, layers=(5000, 2_000_000))
    write_layout(shell.home / "in", "1", image, make_image(30, architecture="arm64"))
    name = f"{server.address}/{repository}"
    shell.run(
        "skopeo", "copy", "--all", *containers_flags(server, "dest-"), f"oci:{shell.home}/in:1", f"docker://{name}:1"
    )
    with running_docker(shell) as docker:
        shell.run(*docker, "pull", f"{name}:1")
        shell.run(*docker, "tag", f"{name}:1", f"{name}:2")
        said = shell.run(*docker, "push", f"{name}:2")
        [pushed] = re.findall(r"digest: (sha256:[0-9a-f]{64})", said)
        shell.run(*docker, "rmi", f"{name}:1", f"{name}:2")
        shell.run(*docker, "pull", f"{name}@{pushed}")
        [details] = json.loads(shell.run(*docker, "image", "inspect", f"{name}@{pushed}"))
    assert details["RootFS"]["Layers"] == json.loads(image.config.data)["rootfs"]["diff_ids"]
