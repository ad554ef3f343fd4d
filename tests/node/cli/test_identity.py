"""A node gets its identity, invites and trusts, with exactly the commands of the manual: without a node, and by one."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from protocol.auth.invitation import parse_token

Node = Any
Shell = Any

ONE, TWO = "111111111111", "222222222222"


@pytest.fixture
def a(run: Shell, tmp_path: Path) -> Path:
    assert run("init", "--data", str(tmp_path / "a"), "--account", ONE, "--region", "eu-west-1").exit_code == 0
    return tmp_path / "a"


def test_init_shows_who_it_is(run: Shell, tmp_path: Path) -> None:
    result = run("init", "--data", str(tmp_path / "x"), "--account", ONE, "--region", "eu-west-1", "--json")
    shown = json.loads(result.stdout)
    assert (shown["account"], shown["region"], len(shown["node"])) == (ONE, "eu-west-1", 16)


@pytest.mark.parametrize(
    ("account", "region", "word"), [("1", "eu", "12 digits"), (ONE, "EU", "region"), ("000000000000", "eu", "peers")]
)
def test_init_refuses(run: Shell, tmp_path: Path, account: str, region: str, word: str) -> None:
    result = run("init", "--data", str(tmp_path / "x"), "--account", account, "--region", region)
    assert result.exit_code == 5
    assert word in result.stderr
    assert not (tmp_path / "x").exists()


def test_init_needs_an_empty_directory(run: Shell, a: Path) -> None:
    result = run("init", "--data", str(a), "--account", ONE, "--region", "eu-west-1")
    assert result.exit_code == 5
    assert "empty" in result.stderr


def test_invite_without_a_node(run: Shell, a: Path) -> None:
    result = run("invite", "--data", str(a), "--region", "us-east-1", "--address", "127.0.0.1:6001")
    assert (result.stderr, result.exit_code) == ("", 0)
    invitation = parse_token(result.stdout)
    assert (invitation.region, invitation.addresses) == ("us-east-1", ("127.0.0.1:6001",))


def test_invite_without_a_node_needs_an_address(run: Shell, a: Path) -> None:
    result = run("invite", "--data", str(a))
    assert (result.exit_code, result.stdout) == (5, "")
    assert "--peer-listen" in result.stderr


def test_invite_by_the_node(run: Shell, node: Node) -> None:
    invited = {"token": "abc", "region": "us-east-1", "expires": 60.0}
    node.answers["POST invitations"] = (201, invited)
    assert run("invite", "--region", "us-east-1", "--hours", "1").stdout == "abc\n"
    [(_, body)] = node.asked
    assert json.loads(body) == {"region": "us-east-1", "lifetime": 3600.0, "addresses": []}
    assert json.loads(run("invite", "--json").stdout) == invited


def test_accounts_trust_each_other_by_what_authority_show_prints(run: Shell, a: Path, tmp_path: Path) -> None:
    run("init", "--data", str(tmp_path / "b"), "--account", TWO, "--region", "us-east-1")
    pem = run("authority", "show", "--data", str(tmp_path / "b")).stdout
    fingerprint = json.loads(run("authority", "show", "--data", str(tmp_path / "b"), "--json").stdout)["fingerprint"]
    added = run("trust", "add", TWO, "-", "--data", str(a), "--address", "127.0.0.1:6002", stdin=pem)
    assert (added.stderr, added.stdout) == ("", f"{TWO}\t{fingerprint}\n")
    assert run("trust", "ls", "--data", str(a)).stdout == f"{TWO}\t{fingerprint}\t127.0.0.1:6002\n"
    assert run("trust", "rm", TWO, "--data", str(a)).exit_code == 0
    assert json.loads(run("trust", "ls", "--data", str(a), "--json").stdout) == {"trusted": []}


@pytest.mark.parametrize(("pem", "code"), [(b"nonsense", 5), (b"\xff", 1)])
def test_trust_refuses_what_is_no_certificate(run: Shell, a: Path, pem: bytes, code: int) -> None:
    assert run("trust", "add", TWO, "-", "--data", str(a), stdin=pem).exit_code == code


def test_trust_by_the_node(run: Shell, node: Node) -> None:
    trusted = {"account": TWO, "fingerprints": ["ab"], "addresses": []}
    node.answers |= {"POST trust": (201, trusted), "GET trust": (200, {"trusted": [trusted]})}
    node.answers[f"DELETE trust/{TWO}"] = (204, None)
    assert run("trust", "add", TWO, "-", stdin="PEM").stdout == f"{TWO}\tab\n"
    assert json.loads(node.asked[-1][1]) == {"account": TWO, "certificate": "PEM", "addresses": []}
    assert run("trust", "ls").stdout == f"{TWO}\tab\t\n"
    assert run("trust", "rm", TWO).stdout == f"Deleted {TWO}\n"


def test_authority_by_the_node(run: Shell, node: Node) -> None:
    node.answers["GET authority"] = (200, {"account": ONE, "fingerprint": "ab", "certificate": "PEM\n"})
    assert run("authority", "show").stdout == "PEM\n"


@pytest.mark.parametrize("command", ["authority show", "trust ls", "invite"])
def test_a_directory_that_is_not_initialized(run: Shell, tmp_path: Path, command: str) -> None:
    result = run(*command.split(), "--data", str(tmp_path / "elsewhere"))
    assert result.exit_code == 5
    assert "entrepot init" in result.stderr
    assert "elsewhere" in result.stderr


def test_join_refuses_what_is_no_token(run: Shell, tmp_path: Path) -> None:
    for argument in ("nonsense", "-"):  # By "-" the token comes on standard input.
        result = run("join", argument, "--data", str(tmp_path / "b"), stdin="nonsense\n")
        assert (result.exit_code, result.stdout) == (5, "")
        assert "the token is damaged" in result.stderr
        assert not (tmp_path / "b").exists()


def test_join_says_that_nobody_was_reached(run: Shell, a: Path, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # Bound and not listening: nobody else gets the port, and dialling it fails.
        token = run("invite", "--data", str(a), "--address", f"127.0.0.1:{unused.getsockname()[1]}").stdout.strip()
        result = run("join", token, "--data", str(tmp_path / "b"))
    assert result.exit_code == 5
    assert "no node of the token was reached" in result.stderr
    assert not (tmp_path / "b").exists()
