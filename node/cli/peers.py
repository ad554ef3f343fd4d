"""``entrepot peer``: the other nodes that this one knows."""

from pathlib import Path

import click

from node.cli.options import data_option, examples, json_option
from node.cli.output import Moment, print_json, print_rows
from node.cli.target import node_at


@click.group(epilog=examples("entrepot peer ls"))
def peer() -> None:
    """Other nodes."""


@peer.command(epilog=examples("entrepot peer ls", "entrepot peer ls --json"))
@json_option
@data_option
def ls(data: Path, as_json: bool) -> None:
    """List the nodes that this one knows, and whether it has a session with them."""
    answer = node_at(data).get("peers")
    if as_json:
        print_json(answer)
        return
    print_rows(
        ["NODE", "REGISTRY", "ADDRESSES", "STATE", "SINCE"],
        [
            [
                [row["node"], row["registry"], ",".join(row["addresses"]), row["state"], _moment(row["since"])]
                for row in answer["peers"]
            ]
        ],
        empty="No other nodes; `entrepot invite` makes a token with which one joins.",
    )


def _moment(since: float | None) -> Moment | None:
    return None if since is None else Moment(since)
