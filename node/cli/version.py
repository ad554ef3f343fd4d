"""``entrepot version``."""

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import click
import msgspec

from node.cli.options import examples, json_option


@click.command(epilog=examples("entrepot version", "entrepot version --json"))
@json_option
def version(as_json: bool) -> None:
    """Show the version."""
    number = installed_version()
    if as_json:
        click.echo(msgspec.json.encode({"version": number, "python": platform.python_version()}).decode())
    else:
        click.echo(f"entrepot {number}")


def installed_version() -> str:
    """Return the version of the distribution; ``unknown`` where the code runs without being installed."""
    try:
        return installed("entrepot")
    except PackageNotFoundError:
        return "unknown"
