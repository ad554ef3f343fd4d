"""What clients push to encrypted repositories is nowhere on the disk in plain, and comes back as it was."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.clients import Shell, containers_flags, need
from tests.e2e.images import Blob, image_of, read_layout, write_layout
from tests.e2e.pushes import Client, expect
from tests.e2e.servers import Server, check_store, command, start_node

CANARY = b"CANARY-5e0f7a1c-"
IMAGE = image_of([{"small": CANARY * 40}, {"large": CANARY * 200_000}], command=(CANARY.decode(),))
LAYER = Blob("application/octet-stream", CANARY * 150_000)


def ask(server: Server, operation: str, **asked: object) -> dict[str, str]:
    """Call ECR's API as an SDK does; return what it says of the encryption of the repository."""
    target = f"AmazonEC2ContainerRegistry_V20150921.{operation}"
    with closing(Client(server, X_Amz_Target=target, Content_Type="application/x-amz-json-1.1")) as client:
        answer = expect(client.call("POST", "/", json.dumps(asked).encode()), 200)
    found: dict[str, str] = json.loads(answer.body)["repository"]["encryptionConfiguration"]
    return found


def create(server: Server, name: str, **encryption: str) -> dict[str, str]:
    return ask(server, "CreateRepository", repositoryName=name, encryptionConfiguration=encryption)


def canaries(data: Path) -> list[str]:
    """The files in *data* that hold what was pushed, also in pages that nothing needs any more."""
    files = [path for path in data.rglob("*") if path.is_file()]
    return [path.name for path in files if CANARY in path.read_bytes()]


@pytest.fixture(autouse=True)
def skopeo() -> None:
    need("skopeo")


def copy(shell: Shell, server: Server, source: str, destination: str, prefix: str) -> None:
    flags = containers_flags(server, prefix)
    shell.run("skopeo", "copy", "--preserve-digests", *flags, source, destination)


def test_pushed_killed_rotated_and_deleted(tmp_path: Path, shell: Shell) -> None:
    data, port = tmp_path / "data", processes.free_port()
    write_layout(shell.home / "in", "1", IMAGE)
    server = start_node(data, port=port)
    try:
        arn = json.loads(command("kms", "create", "--alias", "alias/builds", "--data", data, "--json"))["arn"]
        assert create(server, "aes", encryptionType="AES256") == {"encryptionType": "AES256"}
        assert create(server, "kms", encryptionType="KMS", kmsKey="alias/builds")["kmsKey"] == arn
        assert create(server, "twice", encryptionType="KMS_DSSE", kmsKey=arn)["kmsKey"] == arn
        for name in ("aes", "kms", "twice"):
            copy(shell, server, f"oci:{shell.home}/in:1", f"docker://{server.address}/{name}:1", "dest-")
        with closing(Client(server)) as client:
            upload = client.append(client.open_upload("kms"), LAYER.data[:1_500_000])
        processes.kill(server.process)
        check_store(data, deep=True)
        assert canaries(data) == []
        server = start_node(data, port=port)
        with closing(Client(server)) as client:
            client.finish(upload, LAYER.digest, LAYER.data[1_500_000:])
        command("kms", "rotate", "alias/builds", "--data", data)
        command("master-key", "rotate", "--data", data)
        old = data / "identity" / "master.key.old"
        assert processes.wait_until(lambda: not old.exists(), patience=30)
        processes.kill(server.process)
        server = start_node(data, port=port)
        for name in ("aes", "kms", "twice"):
            copy(shell, server, f"docker://{server.address}/{name}:1", f"oci:{shell.home}/{name}:1", "src-")
            assert read_layout(shell.home / name) == read_layout(shell.home / "in")
        with closing(Client(server)) as client:
            assert client.get_blob("kms", LAYER.digest) == LAYER.data
            command("kms", "disable", "alias/builds", "--data", data)
            refused = client.call("GET", f"/v2/kms/blobs/{LAYER.digest}")
            assert (refused.status, json.loads(refused.body)["errors"][0]["code"]) == (403, "DENIED")
            assert client.get_manifest("aes", "1") == IMAGE.manifest.data
        command("kms", "enable", "alias/builds", "--data", data)
        keys = len(list((data / "keys").iterdir()))
        ask(server, "DeleteRepository", repositoryName="aes", force=True)
        assert len(list((data / "keys").iterdir())) == keys - 1
    finally:
        processes.stop(server.process)
    check_store(data, deep=True)
    assert canaries(data) == []


def test_a_backup_has_what_is_sealed_sealed(tmp_path: Path) -> None:
    data, root = tmp_path / "data", tmp_path / "backup"
    server = start_node(data, port=processes.free_port())
    try:
        create(server, "aes", encryptionType="AES256")
        with closing(Client(server)) as client:
            client.put_image("aes", "1", IMAGE)
        command("backup", root, "--data", data, "--with-identity")
    finally:
        processes.stop(server.process)
    command("backup", root, "--data", data, "--with-identity")
    command("backup", "verify", root)
    assert canaries(root) == []
    command("restore", root, "--data", tmp_path / "restored")
    check_store(tmp_path / "restored", deep=True)
    assert canaries(tmp_path / "restored") == []
    server = start_node(tmp_path / "restored", port=processes.free_port())
    try:
        with closing(Client(server)) as client:
            assert client.get_manifest("aes", "1") == IMAGE.manifest.data
            for blob in IMAGE.blobs:
                assert client.get_blob("aes", blob.digest) == blob.data
            client.put_blob("aes", LAYER)
    finally:
        processes.stop(server.process)
