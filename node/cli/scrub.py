"""``entrepot scrub``: all that is stored is read and compared while the node runs, and mended where that can be."""

import re
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from node.cli.control import Control
from node.cli.options import data_option, examples, json_option
from node.cli.output import Moment, Size, print_fields, print_json, print_rows

_LOOK = 0.5  # Seconds between two looks.
_SETTLED = 15.0  # Seconds after the pass within which what was found is tried to be mended.
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


class _Rate(click.ParamType):  # type: ignore[type-arg]  # Generic in click's stubs alone.
    name = "rate"

    def convert(  # type: ignore[explicit-override]  # 3.12 has it.
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return bytes."""
        found = re.fullmatch(r"([1-9][0-9]{0,14})([KMG]?)", value, re.ASCII)
        if found is None:
            self.fail(f"{value!r} is no number of bytes; say 500K, 64M or 1G", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


@click.command(
    epilog=examples(
        "entrepot scrub --data a          # begin now",
        "entrepot scrub --wait --rate 200M",
        "entrepot scrub --wait --from /backup/a",
        "entrepot scrub --status --json",
    )
)
@click.option("--wait", is_flag=True, help="Return when the pass has ended and what it found was tried to be mended.")
@click.option("--status", "status_only", is_flag=True, help="Begin nothing: show how it stands and what is damaged.")
@click.option(
    "--rate", type=_Rate(), default=None, metavar="BYTES", help="Read so much a second, as 64M; else as configured."
)
@click.option(
    "--from",
    "backup",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    metavar="BACKUP",
    help="Mend from this backup of the node what no other node has.",
)
@json_option
@data_option
@click.pass_context
def scrub(
    context: click.Context,
    data: Path,
    *,
    wait: bool,
    status_only: bool,
    rate: int | None,
    backup: Path | None,
    as_json: bool,
) -> None:
    """Read and compare all that is stored, and mend it.

    The node runs meanwhile. Each value in meta and each chunk is read from the disk and compared. What is damaged is
    mended from what else is here, or from another node that has it; what is left is listed. A pass that is under way
    goes on. The node does this by itself, too: see `scrub.interval_days`. Exit code 1: damage remains, that --status or
    --wait saw.
    """
    control = Control(data)
    if status_only and (wait or rate is not None or backup is not None):
        raise click.UsageError("--status begins nothing: it goes with none of --wait, --rate and --from")
    if not status_only:
        asked = {"rate": rate or 0, "backup": str(backup or "")}
        status = control.call("POST", "scrub", body=msgspec.json.encode(asked))
        if not wait:
            _print(status, [], as_json=as_json)
            return
        _follow(control)
    status = control.get("scrub")
    damage = [row for page in control.pages("damage", "damage") for row in page]
    _print(status, damage, as_json=as_json)
    context.exit(1 if status["damaged"] else 0)


def _follow(control: Control) -> None:
    """Wait for the end of the pass, shown on standard error where that is a terminal, then for the repairs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:
        task = shown.add_task("")
        while (status := control.get("scrub"))["state"] == "running":
            shown.update(task, completed=status["read"], total=status["total"], description=status["phase"])
            time.sleep(_LOOK)
        deadline = time.monotonic() + _SETTLED
        while control.get("scrub")["untried"] and time.monotonic() < deadline:
            time.sleep(_LOOK)


def _print(status: Any, damage: list[Any], *, as_json: bool) -> None:  # noqa: ANN401 - JSON.
    if as_json:
        print_json({**status, "damage": damage})
        return
    print_fields(
        [
            ("state", f"running: {status['phase']}" if status["state"] == "running" else status["state"]),
            ("began", _moment(status["began"])),
            ("read", Size(status["read"])),
            ("found", status["found"]),
            ("completed", _moment(status["completed"])),
            ("next", _moment(status["next"])),
            ("repaired", status["repaired"]),
            ("damaged", status["damaged"]),
        ]
    )
    if damage:
        rows = [[row["place"], row["state"], Moment(row["since"]), row["tries"], row["reason"]] for row in damage]
        print_rows(["DAMAGED", "STATE", "SINCE", "TRIES", "WHY NOT MENDED"], [rows])


def _moment(at: float | None) -> Moment | None:
    return None if at is None else Moment(at)
