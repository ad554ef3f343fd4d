"""What all commands have in common: where the data is, how to print, examples in the help."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_DATA = Path("entrepot-data")


def data_option(command: Command) -> Command:
    """Add ``--data``, given to the command as *data*."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="ENTREPOT_DATA",
        default=DEFAULT_DATA,
        show_default="ENTREPOT_DATA, else ./entrepot-data",
        metavar="DIR",
        help="Data directory of the node.",
    )(command)


def data_flag(command: Command) -> Command:
    """Add ``--data`` for a command that reads the configuration, where the directory is a setting like others."""
    return click.option(
        "--data", metavar="DIR", help="Data directory; without it that of the configuration, which is ./entrepot-data."
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json``, given to the command as *as_json*."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def examples(*lines: str) -> str:
    """Return the end of a help text: *lines* as they would be typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
