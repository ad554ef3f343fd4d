"""containerd, by ``ctr``: all platforms of an image go out and come back, plain and over TLS."""

from tests.e2e.clients import Shell, containerd_hosts, containers_flags, need, running_containerd
from tests.e2e.images import make_image, read_layout, write_layout
from tests.e2e.servers import Server


def test_all_platforms_come_back_as_they_were(server: Server, shell: Shell, repository: str) -> None:
    need("containerd", "ctr", "skopeo", root=True)
    images = [make_image(20, layers=(5000, 1_500_000), architecture=one) for one in ("amd64", "arm64")]
    write_layout(shell.home / "in", "1", *images)
    name = f"{server.address}/{repository}"
    shell.run(
        "skopeo", "copy", "--all", *containers_flags(server, "dest-"), f"oci:{shell.home}/in:1", f"docker://{name}:1"
    )
    with running_containerd(shell) as ctr:
        reach = containerd_hosts(shell, server)
        shell.run(*ctr, "image", "pull", *reach, "--all-platforms", "--snapshotter", "native", f"{name}:1")
        shell.run(*ctr, "image", "tag", f"{name}:1", f"{name}-copy:2")
        shell.run(*ctr, "image", "push", *reach, f"{name}-copy:2")
    shell.run(
        "skopeo",
        "copy",
        "--all",
        *containers_flags(server, "src-"),
        f"docker://{name}-copy:2",
        f"oci:{shell.home}/out:1",
    )
    assert read_layout(shell.home / "out") == read_layout(shell.home / "in")
