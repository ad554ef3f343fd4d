"""``entrepot version``."""

import platform

import click
import msgspec

from node import __version__
from node.cli.options import data_flag, examples, json_option


@click.command(epilog=examples("entrepot version", "entrepot version --json"))
@data_flag
@json_option
def version(data: str | None, as_json: bool) -> None:  # noqa: ARG001 - of what is installed, not of what runs.
    """Show the version."""
    if as_json:
        click.echo(msgspec.json.encode({"version": __version__, "python": platform.python_version()}).decode())
    else:
        click.echo(f"entrepot {__version__}")
