"""``entrepot doctor``: what is wrong, and what to do about it."""

import os
import sys
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.cli.control import Control
from node.cli.failures import Failed, NotRunning, WrongUsage
from node.cli.options import data_flag, examples, json_option
from node.cli.output import print_json, waiting
from node.config.load import ConfigInvalid, load
from node.config.settings import Config
from node.daemon.doctor.checks import Check, fail, ok, warn
from node.daemon.doctor.stopped import examine_stopped
from node.telemetry.text import escaped

_HUNG = 5.0  # Seconds after which a node that runs is taken to hang.
_SLOW = 1.0  # Seconds for an answer of the node.
_SIGNS = {"ok": ("OK", "green"), "warn": ("WARN", "yellow"), "fail": ("FAIL", "bold red")}


@click.command(
    epilog=examples("entrepot doctor --data a", "entrepot doctor --config entrepot.toml", "entrepot doctor --json")
)
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="TOML file; looked at where no node runs.",
)
@data_flag
@json_option
@click.pass_context
def doctor(context: click.Context, file: Path | None, data: str | None, as_json: bool) -> None:
    """Look at all that a node depends on, and say what to do.

    Disk, clock, certificates, limits, peers, store, configuration. A node that runs looks at itself; without one the
    command looks at what it can. Exit code 1: something does not work. Warnings are no failure.
    """
    try:
        config = load(file, os.environ, {"node.data": data})
    except ConfigInvalid as error:
        raise WrongUsage(str(error)) from error
    with waiting("looking at the disk, the clock, certificates, limits, peers ..."):
        checks = _examined(config)
    if as_json:
        print_json({"checks": checks})
    else:
        _print(checks)
    context.exit(1 if any(one.verdict == "fail" for one in checks) else 0)


def _examined(config: Config) -> list[Check]:
    control, began = Control(Path(config.node.data)), time.monotonic()
    try:
        control.call("GET", "healthz", patience=_HUNG)
        seconds = time.monotonic() - began
        answer = control.get("doctor")
    except NotRunning:
        text = f"no node runs on {config.node.data}: this is what it would find"
        return [ok("node", "state", text), *examine_stopped(config)]
    except Failed as error:
        remedy = "look at its log; `kill` and a new start lose nothing"
        return [fail("node", "state", str(error), remedy), *examine_stopped(config)]
    text = f"it answers within {seconds * 1000:.0f} ms"
    slow = warn("node", "answer", text, "its event loop is late: see `entrepot top`")
    first = ok("node", "answer", text) if seconds < _SLOW else slow
    return [first, *msgspec.convert(answer["checks"], list[Check])]


def _print(checks: list[Check]) -> None:
    if not sys.stdout.isatty():
        for one in checks:
            cells = one.verdict.upper(), one.area, one.name, one.found, one.remedy
            click.echo("\t".join(escaped(cell) for cell in cells))
        return
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    area = ""
    for one in checks:
        sign, style = _SIGNS[one.verdict]
        if one.area != area:
            area = one.area
            table.add_row("", Text(area.upper(), style="dim"), "")
        table.add_row(Text(sign, style=style), Text(escaped(one.name)), Text(escaped(one.found)))
        if one.remedy:
            table.add_row("", "", Text(f"→ {escaped(one.remedy)}", style="italic"))
    console.print(table)
    failed, warned = (sum(one.verdict == verdict for one in checks) for verdict in ("fail", "warn"))
    console.print(Text(f"{failed or 'nothing'} failed, {warned or 'no'} warnings", style="bold"))
