"""``entrepot top``: what the node does at the moment."""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from pathlib import Path

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.api.admin.activity import Activity
from node.cli.control import Control
from node.cli.options import Number, data_option, examples, json_option
from node.cli.output import human_size, print_json
from node.cli.picture import Moving, Picture, picture
from node.telemetry.metrics import CLASSES
from node.telemetry.text import escaped

_WIDTH = 110  # Columns where there is no terminal that has any.
_STYLES = {"upload": "green", "fetch": "green", "download": "cyan", "serve": "cyan"}


@click.command(epilog=examples("entrepot top", "entrepot top --once", "entrepot top --json | jq .now.alarms"))
@click.option("--once", is_flag=True, help="Print one picture as text, and end.")
@click.option(
    "--interval",
    type=Number(0.1, 60),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks; rates are of the time between them.",
)
@json_option
@data_option
def top(once: bool, interval: float, data: Path, as_json: bool) -> None:
    """Show what the node does at the moment.

    Requests by method and status, bytes, latencies, transfers under way, what waits, alarms, memory and descriptors,
    anew each interval, until Ctrl-C. Without a terminal, and with --json, it is one picture.
    """
    control = Control(data)
    before = _look(control)
    if as_json or once or not sys.stdout.isatty():
        time.sleep(interval)
        shown = picture(before, _look(control))
        if as_json:
            print_json(shown)
        else:
            width = None if sys.stdout.isatty() else _WIDTH
            Console(width=width, no_color=True, highlight=False).print(*render(shown), sep="\n")
        return
    with Live(screen=True, auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            time.sleep(interval)
            after = _look(control)
            live.update(Group(*render(picture(before, after))), refresh=True)
            before = after


def _look(control: Control) -> Activity:
    return msgspec.convert(control.get("activity"), Activity)


def render(shown: Picture) -> Iterable[RenderableType]:
    """Yield what stands on the screen, from above."""
    yield from _head(shown)
    yield Text()
    yield _requests(shown)
    yield Text()
    yield _transfers(shown.moving)
    yield Text()
    yield _queues(shown)


def _head(shown: Picture) -> Iterable[RenderableType]:
    now, process = shown.now, shown.now.process
    yield Text(f"entrepot {now.version}  node {now.node}  {now.registry}  up {_duration(now.up)}", style="bold")
    if now.condition.pushes:
        yield Text("pushes and pulls are answered", style="green")
    else:
        yield Text("pulls go on, pushes are refused" if now.condition.pulls else "stopping", style="bold red")
        for reason in now.condition.reasons:
            yield Text(f"  {reason.name}: {escaped(reason.what)}", style="red")
    for alarm in now.alarms:
        yield Text(f"ALARM {alarm.name}: {escaped(alarm.what)}", style="bold red")
        yield Text(f"      {alarm.remedy}")
    if now.restart:
        yield Text(f"a restart would change: {', '.join(now.restart)}", style="yellow")
    memory = human_size(process.resident)
    if process.memory.limit:
        memory += f" (group: {human_size(process.memory.used)} of {human_size(process.memory.limit)})"
    descriptors = f"{process.descriptors.used} of {process.descriptors.limit or 'any number of'} descriptors"
    connections = ", ".join(f"{count:.0f} {door}" for door, count in sorted(shown.connections.items()))
    yield Text(f"cpu {shown.cpu * 100:.0f} %  memory {memory}  {descriptors}  connections: {connections}")
    yield Text(
        f"latency p50 {_seconds(shown.median)}  p99 {_seconds(shown.slowest)}  loop late p99 {_seconds(shown.lag)}"
        f"  in {_rate(shown.received)}  out {_rate(shown.sent)}"
    )


def _requests(shown: Picture) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("REQUESTS/S")
    for name in CLASSES[1:]:
        table.add_column(name, justify="right", min_width=8)
    for method, rates in shown.requests.items():
        table.add_row(method, *(_cell(name, rates.get(name, 0.0)) for name in CLASSES[1:]))
    for door, rate in shown.others.items():
        table.add_row({"peers": "other nodes", "admin": "commands"}.get(door, door), f"{rate:.1f}", "", "", "")
    return table


def _transfers(moving: list[Moving]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"TRANSFERS ({len(moving)})")
    for heading in ("REPOSITORY", "BLOB", "WITH"):
        table.add_column(heading, overflow="ellipsis", no_wrap=True)
    for heading in ("BYTES", "DONE", "RATE", "SINCE"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in moving[:30]:
        it = one.transfer
        done = "-" if one.done is None else f"{one.done * 100:.0f} %"
        table.add_row(
            Text(it.way, style=_STYLES[it.way]),
            *(Text(escaped(text)) for text in (it.repository, it.digest[:19], it.client)),
            human_size(it.moved),
            done,
            _rate(one.rate),
            _duration(it.seconds),
        )
    return table


def _queues(shown: Picture) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("WAITING, OR BEHIND")
    table.add_column("", justify="right")
    for name, value in shown.queues:
        table.add_row(Text(escaped(name)), Text(f"{value:g}", style="yellow" if value else "dim"))
    return table


def _cell(name: str, rate: float) -> Text:
    return Text(f"{rate:.1f}", style="red" if rate and name == "5xx" else "" if rate else "dim")


def _rate(bytes_per_second: float) -> str:
    return f"{human_size(int(bytes_per_second))}/s"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if value == inf:
        return "beyond what is counted"
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.1f} s"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
