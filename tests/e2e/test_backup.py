"""A backup of a node under load holds all that was acknowledged before it, hurts nobody, and is resumed after kill -9.

Promises P1 to P3 and faults B12, B14, B17 and B19 of docs/design/reliability.md.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.e2e import processes
from tests.e2e.images import Image, make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import Server, check_store, command, entrepot, node_environment, start_node

pytestmark = pytest.mark.e2e
SIZES = [10, 3000, 17_000, 70_000, 1_500_000]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = start_node(tmp_path / "data", port=processes.free_port())
    try:
        yield server
    finally:
        processes.stop(server.process)


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        entrepot(*arguments), capture_output=True, text=True, env=node_environment(), timeout=300, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def backup(dest: Path, data: Path, *options: str) -> dict[str, object]:
    return json.loads(command("backup", dest, "--data", data, "--json", *options, patience=300))  # type: ignore[no-any-return]


def push(server: Server, count: int, seed: int = 0) -> dict[str, Image]:
    """Push images; return them by tag."""
    client, random = Client(server), Random(seed)
    images = {f"s{seed}-{number}": make_image(random.getrandbits(64), layers=SIZES[:4]) for number in range(count)}
    for tag, image in images.items():
        client.put_image("team/app", tag, image)
    client.close()
    return images


class Load:
    """Clients that push and pull until they are told to stop, and what was acknowledged to them."""

    def __init__(self, server: Server) -> None:
        self.acknowledged: list[tuple[str, str, Image]] = []
        self.waited: list[float] = []  # Seconds for each manifest that was pulled.
        self.error: BaseException | None = None
        self._server, self._stop = server, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(3)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        if self.error is not None:
            raise self.error

    def _run(self, number: int) -> None:
        client, random = Client(self._server), Random(number)
        try:
            while not self._stop.is_set():
                if number == 2:
                    self._pull(client)
                    continue
                repository, tag = f"load/{number}", f"t{random.randrange(8)}"
                image = make_image(random.getrandbits(64), layers=random.choices(SIZES, k=2))
                client.put_image(repository, tag, image)
                if random.random() < 0.2:
                    client.delete(f"/v2/{repository}/manifests/{image.manifest.digest}")
                else:
                    self.acknowledged.append((repository, tag, image))
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self.error = error
        finally:
            client.close()

    def _pull(self, client: Client) -> None:
        if self.acknowledged:
            repository, _, image = self.acknowledged[0]
            began = time.monotonic()
            client.get_manifest(repository, image.manifest.digest)
            self.waited.append(time.monotonic() - began)


def until(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def expect(server: Server, images: dict[str, Image], repository: str = "team/app") -> None:
    """Every image is there by its tag, with all its bytes."""
    client = Client(server)
    for tag, image in images.items():
        assert client.get_manifest(repository, tag) == image.manifest.data, tag
        for blob in image.blobs:
            assert client.get_blob(repository, blob.digest) == blob.data
    client.close()


def test_what_was_acknowledged_before_a_backup_under_load_is_in_it(server: Server, tmp_path: Path) -> None:
    first, dest = push(server, 5), tmp_path / "backup"
    load = Load(server)
    try:
        until(lambda: len(load.acknowledged) > 5)
        made, sure = [], []
        for number in (1, 2):
            before = push(server, 2, number)
            at = len(load.acknowledged)
            made.append(backup(dest, server.data))
            first |= before
            sure = load.acknowledged[:at]
        assert run("check", "--data", server.data, "--deep").returncode == 0
        assert not load.error
    finally:
        load.stop()
    assert made[0]["damaged"] == made[1]["damaged"] == []
    command("backup", "verify", dest)
    restored = tmp_path / "restored"
    command("restore", dest, "--data", restored, patience=300)
    check_store(restored)
    assert run("check", "--deep", "--data", restored).returncode == 0
    other = start_node(restored, port=processes.free_port())
    try:
        expect(other, first)
        with closing(Client(other)) as client:
            for repository, _, image in sure:
                assert client.get_manifest(repository, image.manifest.digest) == image.manifest.data
                for blob in image.blobs:
                    assert client.get_blob(repository, blob.digest) == blob.data
            client.put_image("team/app", "after", make_image(99, layers=[10]))
    finally:
        processes.stop(other.process)
    check_store(restored)


def test_a_second_backup_writes_what_is_new(server: Server, tmp_path: Path) -> None:
    push(server, 20)
    dest = tmp_path / "backup"
    whole = backup(dest, server.data)["written"]
    push(server, 1, seed=1)
    assert isinstance(whole, int)
    more = backup(dest, server.data, "--keep", "1")
    assert isinstance(more["written"], int)
    assert more["written"] < whole / 5
    assert more["removed"] == [1]
    assert run("backup", "verify", dest).returncode == 0
    processes.stop(server.process)
    assert backup(dest, server.data)["generation"] == 3, "of the files of a stopped node"


def test_a_backup_that_is_killed_goes_on_and_leaves_nothing_at_the_node(server: Server, tmp_path: Path) -> None:
    images, dest = push(server, 5), tmp_path / "backup"
    client = Client(server)
    client.put_image("team/app", "large", make_image(7, layers=[20_000_000]))
    client.close()
    for _ in range(3):
        process = subprocess.Popen(
            entrepot("backup", dest, "--data", server.data, "--rate", "10"),
            env=node_environment(),
            stderr=subprocess.DEVNULL,
        )
        size = written(dest)
        until(lambda: written(dest) > size + 2_000_000 or process.poll() is not None)  # noqa: B023 - called at once
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run("restore", dest, "--data", tmp_path / "no").returncode == 4
    assert not (tmp_path / "no").exists()
    assert written(dest) > 5_000_000
    made = backup(dest, server.data)
    assert isinstance(made["written"], int)
    assert isinstance(made["bytes"], int)
    assert made["written"] < made["bytes"] - 4_000_000, "it went on where it was"
    assert not list(dest.rglob("*.partial"))
    command("backup", "verify", dest)
    command("restore", dest, "--data", tmp_path / "restored")
    other = start_node(tmp_path / "restored", port=processes.free_port())
    try:
        expect(other, images)
    finally:
        processes.stop(other.process)


def written(path: Path) -> int:
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) if path.exists() else 0


def test_a_restore_that_is_killed_is_no_store_and_is_run_again(server: Server, tmp_path: Path) -> None:
    images, dest, data = push(server, 8), tmp_path / "backup", tmp_path / "restored"
    client = Client(server)
    client.put_image("team/app", "large", make_image(7, layers=[25_000_000]))
    client.close()
    backup(dest, server.data)
    killed = 0
    for share in (0.05, 0.5, 0.95):
        process = subprocess.Popen(entrepot("restore", dest, "--data", data), env=node_environment())
        until(lambda: written(data) > share * written(dest) or process.poll() is not None)  # noqa: B023
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not (data / "identity").exists():
            started = run("serve", "--data", data, "--listen", "127.0.0.1:0")
            assert started.returncode == 5
            assert "entrepot restore" in started.stderr
            assert not (data / "identity").exists()
    assert killed, "else this shows little"
    if "restoring" in (data / "FORMAT").read_text():
        command("restore", dest, "--data", data)
    check_store(data)
    other = start_node(data, port=processes.free_port())
    try:
        expect(other, images)
    finally:
        processes.stop(other.process)


def test_a_restored_node_is_who_it_was_and_writes_as_a_new_incarnation(tmp_path: Path) -> None:
    data, dest = tmp_path / "a", tmp_path / "backup"
    command("init", "--data", data, "--account", "111111111111", "--region", "eu-west-1")
    server = start_node(data, port=processes.free_port())
    images = push(server, 2)
    backup(dest, data)
    refused = run("restore", dest, "--data", tmp_path / "b")
    assert refused.returncode == 1
    assert "entrepot init" in refused.stderr
    backup(dest, data, "--with-identity")
    push(server, 1, seed=9)  # Lost with the disk.
    processes.stop(server.process)
    before = json.loads((data / "identity" / "identity.json").read_text())
    shutil.rmtree(data)
    command("restore", dest, "--data", data)
    after = json.loads((data / "identity" / "identity.json").read_text())
    assert (after["node"], after["account"]) == (before["node"], before["account"])
    assert int(after["incarnation"][:16], 16) > int(before["incarnation"][:16], 16)
    server = start_node(data, port=processes.free_port())
    try:
        expect(server, images)
        images |= push(server, 1, seed=3)
        expect(server, images)
        assert run("check", "--deep", "--data", data).returncode == 0
    finally:
        processes.stop(server.process)
    # Without the keys: into a node of the same registry that was made beforehand.
    other = tmp_path / "c"
    command("init", "--data", other, "--account", "111111111111", "--region", "eu-west-1")
    refused = run("restore", dest, "--data", other, "--at", "1")
    assert refused.returncode == 1
    assert "--authority" in refused.stderr
    authority = json.loads(command("authority", "show", "--data", data, "--json"))["fingerprint"]
    command("restore", dest, "--data", other, "--at", "1", "--authority", authority)
    assert run("check", "--deep", "--data", other).returncode == 0


def test_no_room_at_the_destination_or_for_the_restore_is_said(tmp_path: Path, server: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounts need root")
    small = tmp_path / "small"
    small.mkdir()
    client = Client(server)
    client.put_image("team/app", "large", make_image(7, layers=[12_000_000]))
    client.close()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=True)
    try:
        done = run("backup", small / "backup", "--data", server.data)
        assert done.returncode == 1
        assert "no room left" in done.stderr
        shutil.rmtree(small / "backup")
        backup(tmp_path / "backup", server.data)
        done = run("restore", tmp_path / "backup", "--data", small / "new")
        assert done.returncode == 1
        assert "make room" in done.stderr
        assert not (small / "new").exists()
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        done = run("serve", "--data", small / "new", "--listen", "127.0.0.1:0")
        assert done.returncode in {1, 5}
        assert "Read-only file system" in done.stderr
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_truncated_store_is_refused_and_restored(server: Server, tmp_path: Path) -> None:
    images, dest, data = push(server, 4), tmp_path / "backup", server.data
    backup(dest, data, "--with-identity")
    processes.stop(server.process)
    file = data / "meta" / "data.mdb"
    os.truncate(file, file.stat().st_size // 2)
    for arguments in (("serve", "--data", data, "--listen", "127.0.0.1:0"), ("check", "--data", data)):
        done = run(*arguments)
        assert done.returncode == 5, done
        assert "entrepot restore" in done.stderr
    shutil.rmtree(data)
    command("restore", dest, "--data", data)
    other = start_node(data, port=processes.free_port())
    try:
        expect(other, images)
    finally:
        processes.stop(other.process)
