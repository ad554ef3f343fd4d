"""``entrepot backup`` and ``restore`` where no node runs: what they print, and with which code they end."""

import json
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from node.cli.main import entrepot
from node.peers.identity import create_identity
from node.store.store import open_store
from protocol.auth.names import Account, Region


def run(*arguments: object) -> Result:
    return CliRunner().invoke(entrepot, [str(one) for one in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    create_identity(path, Account("111111111111"), Region("eu-west-1"), now=1_800_000_000.0)

    async def make() -> None:
        async with open_store(path, map_size=2**26, reserve=0):
            pass

    trio.run(make)
    return path


def test_a_directory_needs_no_command_before_it(data: Path, tmp_path: Path) -> None:
    dest = tmp_path / "backup"
    assert run("backup", dest, "--data", data).exit_code == 0
    assert run("backup", "--data", data, "--keep", "1", dest).exit_code == 0
    listed = json.loads(run("backup", "ls", dest, "--json").stdout)["generations"]
    assert [(one["generation"], one["registry"], one["identity"]) for one in listed] == [
        (2, "111111111111/eu-west-1", False)
    ]
    assert run("backup", "ls", dest).stdout.split("\t")[0] == "2"
    assert run("backup", "verify", dest).exit_code == 0


def test_what_is_wrong_is_told_and_the_rest_is_listed(data: Path, tmp_path: Path) -> None:
    dest = tmp_path / "backup"
    for _ in range(2):
        run("backup", dest, "--data", data)
    (dest / "generations" / "00000001").write_bytes(b"nothing")
    listed = json.loads(run("backup", "ls", dest, "--json").stdout)["generations"]
    assert [(one["generation"], bool(one["wrong"])) for one in listed] == [(1, True), (2, False)]
    assert run("backup", "ls", dest).exit_code == 0
    verified = run("backup", "verify", dest, "--json")
    assert verified.exit_code == 1
    assert [one["generation"] for one in json.loads(verified.stdout)["wrong"]] == [1]
    assert run("backup", "verify", dest, "--at", "2").exit_code == 0
    refused = run("restore", dest, "--data", tmp_path / "new", "--at", "1")
    assert refused.exit_code == 1
    assert "--at" in refused.output
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("backup", "ls", "{tmp}/none"), 4, "no backup"),
        (("backup", "verify", "{tmp}/none"), 4, "no backup"),
        (("backup", "{tmp}/backup", "--data", "{tmp}/none"), 4, "--data"),
        (("backup", "{tmp}", "--data", "{tmp}/data"), 5, "not empty"),
        (("restore", "{tmp}/none", "--data", "{tmp}/new"), 4, "no backup"),
        (("restore", "{tmp}/good", "--data", "{tmp}/new", "--at", "9"), 4, "backup ls"),
        (("restore", "{tmp}/good", "--data", "{tmp}/new"), 1, "entrepot join"),
        (("restore", "{tmp}/good", "--data", "{tmp}/data"), 5, "already"),
        (("restore", "{tmp}/good", "--data", "{tmp}/new", "--authority", "ab"), 1, "authority"),
    ],
)
def test_a_refusal_says_what_to_do(
    data: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, what: str
) -> None:
    run("backup", tmp_path / "good", "--data", data)
    result = run(*(one.format(tmp=tmp_path) for one in arguments))
    assert (result.exit_code, what in result.output) == (code, True), result.output
    assert not (tmp_path / "new").exists()


def test_keys_come_back_with_a_new_incarnation(data: Path, tmp_path: Path) -> None:
    dest, new = tmp_path / "backup", tmp_path / "new"
    run("backup", dest, "--data", data, "--with-identity")
    restored = run("restore", dest, "--data", new, "--json")
    assert restored.exit_code == 0, restored.output
    before, after = (json.loads((one / "identity" / "identity.json").read_text()) for one in (data, new))
    assert json.loads(restored.stdout)["node"] == before["node"] == after["node"]
    assert int(before["incarnation"][:16], 16) < int(after["incarnation"][:16], 16)
    for path in (new / "identity").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_a_backup_is_never_made_in_what_it_is_to_outlive(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    for dest in (data / "backup", tmp_path / "link" / "backup", data):
        refused = run("backup", dest, "--data", data)
        assert (refused.exit_code, "own directory" in refused.output) == (5, True)
    assert not (data / "backup").exists()


def test_files_of_others_are_no_generations(data: Path, tmp_path: Path) -> None:
    dest = tmp_path / "backup"
    run("backup", dest, "--data", data)
    for name in ("7", "99999999999999999999", "00000003.bak", "-0000001"):
        (dest / "generations" / name).write_bytes(b"x")
    assert run("backup", dest, "--data", data).exit_code == 0
    listed = json.loads(run("backup", "ls", dest, "--json").stdout)["generations"]
    assert [one["generation"] for one in listed] == [1, 2]


def test_no_node_is_restored_into_its_backup(data: Path, tmp_path: Path) -> None:
    dest = tmp_path / "backup"
    run("backup", dest, "--data", data, "--with-identity")
    assert run("restore", dest, "--data", dest / "new").exit_code == 5
    assert not (dest / "new").exists()


@pytest.mark.parametrize("option", ["--keep-days", "--rate"])
def test_what_is_no_number_removes_no_generation(data: Path, tmp_path: Path, option: str) -> None:
    dest = tmp_path / "backup"
    for _ in range(2):
        assert run("backup", dest, "--data", data).exit_code == 0
    assert run("backup", dest, "--data", data, option, "nan").exit_code == 2
    assert len(json.loads(run("backup", "ls", dest, "--json").stdout)["generations"]) == 2
