"""Each check of the doctor: well, not well, and what to do."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from node.config.load import load
from node.config.settings import Config
from node.daemon.doctor import disk
from node.daemon.doctor.checks import Check
from node.daemon.doctor.configuration import check_certificates, check_configuration
from node.daemon.doctor.disk import check_disk, file_system
from node.daemon.doctor.machine import check_clock, check_limits, check_network
from node.daemon.doctor.stopped import examine_stopped
from node.store.store import open_store
from node.telemetry.usage import Usage

DAY = 86_400.0
NOW = 1_800_000_000.0


def verdicts(checks: list[Check]) -> dict[str, str]:
    assert all(one.remedy for one in checks if one.verdict != "ok"), "what is not well says what to do"
    return {one.name: one.verdict for one in checks}


def test_a_good_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(disk, "SLOW_SYNC", 60.0)
    monkeypatch.setattr(disk, "STALLED_SYNC", 60.0)
    found = verdicts(check_disk(tmp_path))
    assert (found["sync"], found["access"]) == ("ok", "ok")
    assert list(tmp_path.iterdir()) == []  # Nothing is left behind.
    tmp_path.chmod(0o755)
    assert verdicts(check_disk(tmp_path))["access"] == "warn"


@pytest.mark.skipif(os.geteuid() != 0, reason="root mounts a file system")
@pytest.mark.parametrize("state", ["ro", "full"])
def test_a_disk_that_takes_nothing(tmp_path: Path, state: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=True)  # noqa: S603, S607 - our own folder.
    try:
        if state == "ro":
            subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)  # noqa: S603, S607 - likewise.
        else:
            (tmp_path / "others").write_bytes(bytes(2**20))
        [sync] = [one for one in check_disk(tmp_path) if one.name == "sync"]
        assert (sync.verdict, "room" in sync.remedy) == ("fail", state == "full")
    finally:
        subprocess.run(["umount", tmp_path], check=True)  # noqa: S603, S607 - likewise.


@pytest.mark.parametrize(
    ("free", "total", "verdict"), [(50, 100, "ok"), (9, 100, "warn"), (1, 100, "fail"), (0, 1, "fail")]
)
def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, total: int, verdict: str) -> None:
    gib = 2**30 // 4096
    status = os.statvfs_result((4096, 4096, total * gib, free * gib, free * gib, 10**6, 10**6, 10**6, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: status)
    assert verdicts(check_disk(tmp_path))["room"] == verdict


def test_a_disk_that_takes_no_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    assert verdicts(check_disk(tmp_path))["sync"] == "fail"
    assert list(tmp_path.iterdir()) == []


def test_the_file_system_is_that_of_the_longest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\nnone /proc proc rw 0 0\n")
    assert file_system(tmp_path / "data", mounts) == ("nfs4", str(tmp_path))
    assert file_system(Path("/usr"), mounts) == ("ext4", "/")


@pytest.mark.parametrize(
    ("now", "seen", "expected"),
    [(NOW, 0.0, "ok"), (NOW, NOW + 60, "ok"), (NOW, NOW + DAY, "warn"), (0.0, NOW, "fail"), (1e12, 0.0, "fail")],
)
def test_the_clock(now: float, seen: float, expected: str) -> None:
    assert verdicts(check_clock(now, seen, synchronised=lambda: True))["time"] == expected


def test_a_clock_that_nobody_keeps() -> None:
    assert verdicts(check_clock(NOW, 0.0, synchronised=lambda: False))["synchronised"] == "warn"


@pytest.mark.parametrize(
    ("usage", "verdict"),
    [(Usage(20, 0), "ok"), (Usage(20, 20_000), "ok"), (Usage(20, 1024), "warn"), (Usage(19_000, 20_000), "fail")],
)
def test_descriptors(usage: Usage, verdict: str) -> None:
    assert verdicts(check_limits(usage, Usage(0, 0), connections=4096))["descriptors"] == verdict


@pytest.mark.parametrize(
    ("usage", "verdict"),
    [(Usage(0, 0), "ok"), (Usage(2**20, 2**30), "ok"), (Usage(2**20, 2**27), "warn"), (Usage(2**30, 2**30), "fail")],
)
def test_memory(usage: Usage, verdict: str) -> None:
    assert verdicts(check_limits(Usage(1, 0), usage, connections=10))["memory"] == verdict


def test_an_address_space_that_the_map_does_not_fit_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**34, 2**34))
    assert verdicts(check_limits(Usage(1, 0), Usage(0, 0), connections=10))["address space"] == "fail"


def test_a_short_backlog(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core/somaxconn").write_text("128\n")
    assert verdicts(check_network(tmp_path)) == {"backlog": "warn"}
    assert verdicts(check_network(tmp_path / "none")) == {"backlog": "ok"}


def configured(**settings: str) -> Config:
    return load(None, {}, {key.replace("__", "."): value for key, value in settings.items()})


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ({}, "ok"),
        ({"listen__address": "0.0.0.0:1", "listen__allow_open_network": "true"}, "fail"),
        (
            {
                "listen__address": "0.0.0.0:1", "listen__allow_open_network": "true", "listen__tls_certificate": "a",
                "listen__tls_key": "b",
            },
            "warn",
        ),
    ],
)  # fmt: skip
def test_an_open_network(settings: dict[str, str], verdict: str) -> None:
    assert verdicts(check_configuration(configured(**settings), ()))["addresses"] == verdict


def test_what_a_restart_would_change() -> None:
    assert verdicts(check_configuration(configured(registry__read_only="true"), ("listen.peer",))) == {
        "addresses": "ok", "read-only": "warn", "file": "warn"
    }  # fmt: skip


@pytest.mark.parametrize(("left", "verdict"), [(60 * DAY, "ok"), (20 * DAY, "warn"), (3 * DAY, "fail"), (-1, "fail")])
def test_a_certificate_of_a_node(left: float, verdict: str) -> None:
    assert verdicts(check_certificates({"peers": NOW + left}, NOW)) == {"peers": verdict}


def test_a_certificate_that_cannot_be_read() -> None:
    assert verdicts(check_certificates({"clients": 0.0}, NOW)) == {"clients": "fail"}


async def test_a_directory_whose_node_is_stopped_and_one_that_is_held(tmp_path: Path) -> None:
    config = configured(node__data=str(tmp_path / "data"))
    assert verdicts(examine_stopped(config)) == {"directory": "fail"}
    (tmp_path / "data").mkdir()
    assert verdicts(examine_stopped(config))["format"] == "warn"
    async with open_store(tmp_path / "data", map_size=2**26, reserve=0):
        assert verdicts(examine_stopped(config))["open"] == "fail"
    assert verdicts(examine_stopped(config))["open"] == "ok"
    (tmp_path / "data/FORMAT").write_text("entrepot 99\n")
    assert verdicts(examine_stopped(config))["open"] == "fail"
