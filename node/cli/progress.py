"""How far a long command is, on standard error where that is a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from node.registry.backup.layout import Progress as Tell


@contextmanager
def phases(total: int | None) -> Iterator[Tell]:
    """Show the bytes of blobs against *total*, where that is known, and which rows are being looked at."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:
        task = shown.add_task("", total=total, rows="")
        rows = 0

        def tell(phase: str, amount: int) -> None:
            nonlocal rows
            if phase == "blobs":
                shown.update(task, advance=amount, description=phase)
            else:
                rows += amount
                shown.update(task, description=phase, rows=f"{rows} rows")

        yield tell
