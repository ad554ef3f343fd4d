"""curl, as people use it by hand: both HTTP versions, ranges, a streamed push, a refusal that says why."""

import json
from pathlib import Path

import pytest

from tests.e2e.clients import Shell, need
from tests.e2e.images import Image, make_image
from tests.e2e.servers import RIVAL, Server

IMAGE = make_image(40, layers=(3_000_000,))


@pytest.fixture(autouse=True)
def curl() -> None:
    need("curl")


def call(shell: Shell, server: Server, path: str, *options: str | Path) -> str:
    trust: list[str | Path] = ["--cacert", server.ca] if server.ca else []
    return shell.run("curl", "--silent", "--show-error", *trust, *options, f"{server.url}{path}")


def push(shell: Shell, server: Server, repository: str, image: Image) -> None:
    for blob in image.blobs:
        (shell.home / "blob").write_bytes(blob.data)
        location = call(
            shell,
            server,
            f"/v2/{repository}/blobs/uploads/",
            "-X",
            "POST",
            "-o",
            "/dev/null",
            "-w",
            "%header{location}",
        )
        path = location.removeprefix(server.url)
        end = f"{path}{'&' if '?' in path else '?'}digest={blob.digest}"
        code = call(shell, server, end, "-T", shell.home / "blob", "-o", "/dev/null", "-w", "%{http_code}")
        assert code == "201"
    (shell.home / "manifest").write_bytes(image.manifest.data)
    code = call(
        shell, server, f"/v2/{repository}/manifests/1", "-T", shell.home / "manifest",
        "-H", f"Content-Type: {image.manifest.media_type}", "-o", "/dev/null", "-w", "%{http_code}",
    )  # fmt: skip
    assert code == "201"


@pytest.mark.parametrize("version", ["--http1.1", "--http2", "--http2-prior-knowledge"])
def test_pull_by_each_version(server: Server, shell: Shell, repository: str, version: str) -> None:
    if RIVAL and server.ca is None and version == "--http2-prior-knowledge":
        pytest.skip("docker-registry speaks HTTP/2 by TLS only")
    push(shell, server, repository, IMAGE)
    out = shell.home / "out"
    layer = IMAGE.layers[0]
    spoken = call(
        shell,
        server,
        f"/v2/{repository}/blobs/{layer.digest}",
        version,
        "-o",
        out,
        "-w",
        "%{http_code} %{http_version}",
    )
    upgraded = version == "--http2" and server.ca is None  # Without TLS curl asks by Upgrade, which may be ignored.
    assert spoken in ({"200 1.1", "200 2"} if upgraded else {"200 1.1" if version == "--http1.1" else "200 2"})
    assert out.read_bytes() == layer.data
    part = call(
        shell, server, f"/v2/{repository}/blobs/{layer.digest}", version,
        "-r", "1048550-2000000", "-o", out, "-w", "%{http_code}",
    )  # fmt: skip
    assert part == "206"
    assert out.read_bytes() == layer.data[1_048_550:2_000_001]
    manifest = call(
        shell, server, f"/v2/{repository}/manifests/1", version, "-H", f"Accept: {IMAGE.manifest.media_type}"
    )
    assert manifest.encode() == IMAGE.manifest.data


def test_an_unknown_image_is_refused_in_the_protocols_words(server: Server, shell: Shell) -> None:
    answer = call(shell, server, "/v2/e2e/nothing/manifests/1", "-w", "\n%{http_code}")
    body, _, code = answer.rpartition("\n")
    assert code == "404"
    assert json.loads(body)["errors"][0]["code"] in {"MANIFEST_UNKNOWN", "NAME_UNKNOWN"}
