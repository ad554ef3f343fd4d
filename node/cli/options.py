"""What all commands have in common: where the data is, how to print, examples in the help."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from node.cli.failures import WrongUsage

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_DATA = Path("entrepot-data")


class Number(click.FloatRange):
    """A number in a range. ``nan`` is none: click takes it for one, and it is neither below nor above any bound."""

    def convert(  # type: ignore[explicit-override]  # 3.12 has it.
        self,
        value: Any,  # noqa: ANN401 - as click declares it.
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return what *value* says, or end with code 2."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


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


def read_whole(file: BinaryIO, *, limit: int) -> bytes:
    """Return all of *file*; ``WrongUsage`` where it has more than *limit* bytes, as a device has that never ends."""
    content = file.read(limit + 1)
    if len(content) > limit:
        raise WrongUsage(f"{getattr(file, 'name', 'the file')} has more than {limit} bytes")
    return content


def examples(*lines: str) -> str:
    """Return the end of a help text: *lines* as they would be typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
