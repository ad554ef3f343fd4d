"""Every command explains itself: a sentence, an example that parses, ``--json``. It imports what it needs."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from node.cli.main import COMMANDS, entrepot


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, (*path, name))


def find(path: tuple[str, ...]) -> click.Command:
    command: click.Command = entrepot
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


ALL = [*walk(entrepot)]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(entrepot, [*path, "--help"])
    assert result.exit_code == 0
    _, heading, shown = result.stdout.partition("Examples:\n")
    assert heading, "a block of examples"
    assert f"entrepot {' '.join(path)}".strip() in shown, "of this command"
    assert find(path).help, "a sentence"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_examples_parse(path: tuple[str, ...], tmp_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (find(path).epilog or "").splitlines():
        found = re.search(r"\bentrepot ([^|>&;]+)", line)
        if not found:
            continue
        words = shlex.split(found[1])
        command, context = entrepot, click.Context(entrepot)
        current: click.Command = command
        while isinstance(current, click.Group):
            child = current.get_command(context, words[0])
            assert child is not None, line
            current, words = child, words[1:]
            if not words:
                break
        names = {option for parameter in current.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= names, line


@pytest.mark.parametrize("path", [path for path in ALL if not isinstance(find(path), click.Group)], ids=" ".join)
def test_every_command_can_print_json(path: tuple[str, ...]) -> None:
    assert "--json" in {option for parameter in find(path).params for option in parameter.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    assert (find((name,)).help or "").splitlines()[0] == COMMANDS[name].help


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        ("--help", {"rich", "trio", "structlog", "lmdb", "cryptography"}),
        ("version", {"rich", "trio", "structlog", "lmdb", "cryptography"}),
        ("repo ls --data /nonexistent", {"trio", "structlog", "lmdb", "cryptography"}),
        ("config check", {"rich", "trio", "structlog", "lmdb", "cryptography"}),
    ],
)
def test_a_command_imports_what_it_needs(arguments: str, unwanted: set[str]) -> None:
    program = (
        "import sys; sys.argv[0] = 'entrepot'\n"
        "from node.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print('modules', *sorted(sys.modules))"
    )
    done = subprocess.run(  # noqa: S603 - our own command.
        [sys.executable, "-c", program, *arguments.split()], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.splitlines()[-1].split())
    assert "node.cli.main" in modules
    assert not unwanted & modules
