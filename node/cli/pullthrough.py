"""``entrepot pull-through``: repositories whose images come from another registry when they are not here."""

from pathlib import Path

import click
import msgspec

from node.cli.control import Control
from node.cli.options import data_option, examples, json_option
from node.cli.output import print_json, print_rows


@click.group("pull-through", epilog=examples("entrepot pull-through put eu/ --registry 111111111111/eu-west-1"))
def pull_through() -> None:
    """Repositories that are pulled through."""


@pull_through.command(
    epilog=examples(
        "entrepot pull-through put team/ --registry 111111111111/eu-west-1",
        "entrepot pull-through put eu/ --registry 111111111111/eu-west-1 --upstream-prefix team/",
    )
)
@click.argument("prefix")
@click.option("--registry", required=True, metavar="ACCOUNT/REGION", help="Where the images come from.")
@click.option("--upstream-prefix", metavar="P", help="What PREFIX is called there; without it names stay the same.")
@json_option
@data_option
def put(prefix: str, registry: str, upstream_prefix: str | None, data: Path, as_json: bool) -> None:
    """Pull repositories whose names begin with PREFIX through another registry.

    PREFIX ends at a slash, or is ROOT for every name; of two that fit, the longer decides.
    """
    document = {"prefix": prefix, "registry": registry, "upstream_prefix": upstream_prefix}
    stored = Control(data).call("PUT", "pull-through", body=msgspec.json.encode(document))
    if as_json:
        print_json(stored)
    else:
        click.echo(f"{prefix} is pulled through {registry}.")


@pull_through.command(epilog=examples("entrepot pull-through ls", "entrepot pull-through ls --json"))
@json_option
@data_option
def ls(data: Path, as_json: bool) -> None:
    """List the rules."""
    answer = Control(data).get("pull-through")
    if as_json:
        print_json(answer)
        return
    print_rows(
        ["PREFIX", "REGISTRY", "UPSTREAM PREFIX"],
        [[[rule["prefix"], rule["registry"], rule["upstream_prefix"]] for rule in answer["rules"]]],
        empty="Nothing is pulled through.",
    )


@pull_through.command(epilog=examples("entrepot pull-through rm team/"))
@click.argument("prefix")
@json_option
@data_option
def rm(prefix: str, data: Path, as_json: bool) -> None:
    """Delete the rule of PREFIX; what was pulled through it stays."""
    Control(data).call("DELETE", "pull-through", query={"prefix": prefix})
    if as_json:
        print_json({"deleted": prefix})
    else:
        click.echo(f"Deleted {prefix}")
