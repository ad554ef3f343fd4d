"""Prints what a command found: a table on a terminal, tab-separated lines off it, JSON where it was asked for.

Tab-separated lines have no heading and raw numbers, for ``cut`` and ``sort``; a table has headings and rounded ones.
Control characters are escaped in both: names come from whoever pushed.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.telemetry.text import escaped

Cell: TypeAlias = "str | int | Size | Moment | None"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Size(int):
    """Bytes: ``1.5 MiB`` in a table."""


class Moment(float):
    """Seconds since 1970, UTC: local time in a table."""


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever the node answered.
    """Print *value*, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_rows(headings: Sequence[str], pages: Iterable[Iterable[Sequence[Cell]]], *, empty: str = "") -> None:
    """Print rows as they come, page by page; on a terminal *empty* where there are none."""
    if not sys.stdout.isatty():
        for page in pages:
            for row in page:
                click.echo("\t".join(_plain(cell) for cell in row))
        return
    rows = [row for page in pages for row in page]
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, cell in zip(headings, rows[0], strict=True):
        table.add_column(heading, justify="right" if isinstance(cell, int) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(cell)) for cell in row))
    Console().print(table)


def print_lines(rows: Iterable[Sequence[Cell]]) -> None:
    """Print rows that more may follow, each a line as soon as it is there: a table's columns would need them all."""
    terminal = sys.stdout.isatty()
    for row in rows:
        click.echo("  ".join(map(_shown, row)) if terminal else "\t".join(map(_plain, row)))


def print_fields(fields: Iterable[tuple[str, Cell]]) -> None:
    """Print one thing, a line for each of its fields."""
    terminal = sys.stdout.isatty()
    for name, cell in fields:
        click.echo(f"{name + ':':<14} {_shown(cell)}" if terminal else f"{name}\t{_plain(cell)}")


@contextmanager
def waiting(message: str) -> Iterator[None]:
    """Show on standard error, where that is a terminal, that something is under way."""
    with Console(stderr=True).status(message):
        yield


def _plain(cell: Cell) -> str:
    if isinstance(cell, Moment):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(cell))
    return "" if cell is None else escaped(str(cell))


def _shown(cell: Cell) -> str:
    if isinstance(cell, Moment):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(cell))
    return human_size(cell) if isinstance(cell, Size) else "-" if cell is None else escaped(str(cell))


def human_size(size: int) -> str:
    """Return *size* in the unit that leaves at most four digits."""
    value = float(size)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"
