"""``entrepot replication``: rules that copy images to other registries, and what they have done."""

from pathlib import Path
from typing import BinaryIO

import click

from node.cli.control import Control
from node.cli.options import data_option, examples, json_option, read_whole
from node.cli.output import Moment, print_json, print_rows

_MAX_DOCUMENT = 4 * 2**20  # Bytes, as many as the node takes.


@click.group(epilog=examples("entrepot replication put rules.json", "entrepot replication status"))
def replication() -> None:
    """Replication to other registries."""


@replication.command(
    epilog=examples(
        "entrepot replication put rules.json --data a",
        """echo '{"rules": [{"destinations": [{"region": "us-east-1", "registryId": "111111111111"}]}]}' |""",
        "  entrepot replication put -",
    )
)
@click.argument("file", type=click.File("rb"))
@json_option
@data_option
def put(file: BinaryIO, data: Path, as_json: bool) -> None:
    """Replace the rules by the JSON document in FILE (- reads standard input).

    The document is that of Amazon ECR's PutReplicationConfiguration: at most 25 rules, each with destinations and
    repositoryFilters of type PREFIX_MATCH. It covers what is pushed from now on. No rules: nothing is replicated.
    """
    stored = Control(data).call("PUT", "replication", body=read_whole(file, limit=_MAX_DOCUMENT))
    if as_json:
        print_json(stored)
    else:
        rules = len(stored["rules"])
        click.echo(f"{rules} {'rule' if rules == 1 else 'rules'} in force.")


@replication.command(epilog=examples("entrepot replication show", "entrepot replication show > rules.json"))
@json_option
@data_option
def show(data: Path, as_json: bool) -> None:  # noqa: ARG001 - it is JSON either way.
    """Print the rules, as the document that `put` takes."""
    print_json(Control(data).get("replication"))


@replication.command(
    epilog=examples("entrepot replication status", "entrepot replication status --repository team/app --json")
)
@click.option("--repository", metavar="REPO", help="Only images of this repository.")
@json_option
@data_option
def status(repository: str | None, data: Path, as_json: bool) -> None:
    """Show, for each destination and image, whether the image is there."""
    pages = Control(data).pages("replication/status", "images", repository=repository)
    if as_json:
        print_json({"images": [row for page in pages for row in page]})
        return
    print_rows(
        ["DESTINATION", "REPOSITORY", "DIGEST", "STATE", "SINCE", "REASON"],
        (
            [
                [row["destination"], row["repository"], row["digest"], row["state"], Moment(row["at"]), row["reason"]]
                for row in page
            ]
            for page in pages
        ),
        empty="No image was pushed that a rule covers.",
    )
