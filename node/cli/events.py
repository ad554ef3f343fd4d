"""``entrepot events``: what happened, read from the journal at any position."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from node.cli.control import Control, Parameter
from node.cli.failures import NotRunning, Unreachable
from node.cli.options import data_option, examples, json_option
from node.cli.output import Cell, Moment, print_json, print_lines

_WAIT = 20  # Seconds that one question waits for something to happen: less than ``control.PATIENCE``.
_LAST = 10  # Records that are shown without --from.


@click.group(epilog=examples("entrepot events tail --follow", "entrepot events replay ci --from 2026-01-31T12:00:00Z"))
def events() -> None:
    """What happened: events, from any position."""


@events.command(
    epilog=examples(
        "entrepot events tail",
        "entrepot events tail --from 1 --json",
        "entrepot events tail --from 90m --follow --repository 'team/*' --format cloudevents",
    )
)
@click.option(
    "--from",
    "start",
    metavar="POSITION|TIME|AGO",
    help="Where to begin: a position, a time as 2026-01-31T12:00:00Z, or how long ago, as 90m. Else the last records.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until interrupted.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["ecr", "cloudevents"]),
    help="Print the documents that webhooks get, one JSON object a line.",
)
@click.option("--repository", "repositories", multiple=True, metavar="NAME|PREFIX*", help="Only of these; repeatable.")
@json_option
@data_option
def tail(
    start: str | None, follow: bool, form: str | None, repositories: tuple[str, ...], data: Path, as_json: bool
) -> None:
    """Print events, oldest first: position, time, kind, repository, tag, digest.

    With --json or --format each event is one JSON object on a line of its own.
    """
    control = Control(data)
    pages = _pages(control, start, follow=follow, form=form, repositories=repositories)
    try:
        for page in pages:
            if as_json or form:
                for event in page:
                    click.echo(msgspec.json.encode(event))
            else:
                print_lines(_cells(event) for event in page)
    except KeyboardInterrupt:
        if not follow:
            raise


@events.command(
    epilog=examples(
        "entrepot events replay ci --from 1200",
        "entrepot events replay ci --from 2026-01-31T12:00:00Z",
    )
)
@click.argument("webhook")
@click.option("--from", "start", required=True, metavar="POSITION|TIME|AGO", help="Where to begin, as of `tail`.")
@json_option
@data_option
def replay(webhook: str, start: str, data: Path, as_json: bool) -> None:
    """Deliver events to WEBHOOK again, in order, from a position on.

    What it was told before has the same ids, and the header entrepot-replay. New events come after them.
    """
    answer = Control(data).call("POST", f"webhooks/{webhook}/replay", body=msgspec.json.encode({"from": start}))
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{webhook} is told again what happened from position {answer['after'] + 1} on.")


def _pages(
    control: Control, start: str | None, *, follow: bool, form: str | None, repositories: tuple[str, ...]
) -> Iterator[list[dict[str, Any]]]:
    """Yield events page by page: up to the end of the journal, or for ever."""
    where: dict[str, Parameter] = {"last": _LAST} if start is None else {"from": start}
    after: int | None = None
    while True:
        query = {**where, "format": form, "wait": _WAIT if follow else 0, "repository": repositories}
        try:
            answer = control.call("GET", "events", query=query)
        except (NotRunning, Unreachable) as error:
            if not follow or after is None:
                raise
            raise NotRunning(f"the node stopped; --from {after + 1} goes on once it runs again") from error
        yield answer["events"]
        if not follow and answer["after"] >= answer["last"]:
            return
        after = int(answer["after"])
        where = {"after": after}


def _cells(event: dict[str, Any]) -> list[Cell]:
    return [
        event["position"],
        Moment(event["at"]),
        event["kind"],
        event["action"],
        event["repository"],
        event["tag"],
        event["digest"],
    ]
