"""``entrepot read-only``: no client changes content, pulls go on."""

from pathlib import Path
from typing import Any

import click
import msgspec

from node.cli.control import Control
from node.cli.options import data_option, examples, json_option
from node.cli.output import Cell, Moment, print_fields, print_json


@click.group(
    "read-only",
    epilog=examples('entrepot read-only on --reason "the store moves tonight"', "entrepot read-only off"),
)
def read_only() -> None:
    """Refuse changes of content for a while.

    Pushes and deletes are refused with 405 and the reason, pulls go on. Collection waits, and so do images that other
    registries send; replication to others goes on. It survives a restart of the node.
    """


@read_only.command(epilog=examples('entrepot read-only on --reason "the store moves tonight"'))
@click.option("--reason", default="", metavar="TEXT", help="What clients are told.")
@json_option
@data_option
def on(reason: str, data: Path, as_json: bool) -> None:
    """Refuse changes of content. When this returns, none is on its way any more."""
    state = Control(data).call("PUT", "read-only", body=msgspec.json.encode({"reason": reason}))
    _print(state, as_json=as_json)


@read_only.command(epilog=examples("entrepot read-only off"))
@json_option
@data_option
def off(data: Path, as_json: bool) -> None:
    """Take changes of content again. Exit code 5 where the configuration says read-only, too."""
    _print(Control(data).call("DELETE", "read-only"), as_json=as_json)


@read_only.command(epilog=examples("entrepot read-only show", "entrepot read-only show --json"))
@json_option
@data_option
def show(data: Path, as_json: bool) -> None:
    """Show whether changes of content are refused, and why."""
    _print(Control(data).get("read-only"), as_json=as_json)


def _print(state: Any, *, as_json: bool) -> None:  # noqa: ANN401 - JSON.
    if as_json:
        print_json(state)
        return
    if not state["is_kept"]:
        click.echo("entrepot: the disk did not take it: a restart will not know of this", err=True)
    fields: list[tuple[str, Cell]] = [("read-only", "on" if state["read_only"] else "off")]
    fields += [(closer, why) for closer, why in sorted(state["reasons"].items())]
    if state["since"] is not None:
        fields.append(("since", Moment(state["since"])))
    print_fields(fields)
