"""``entrepot reload``: the running node takes over its changed configuration and certificate."""

from pathlib import Path

import click

from node.cli.control import Control
from node.cli.options import data_option, examples, json_option
from node.cli.output import print_json


@click.command(epilog=examples("entrepot reload", "entrepot reload --data a --json"))
@json_option
@data_option
def reload(data: Path, as_json: bool) -> None:
    """Take over a changed configuration and certificate.

    The node reads the file that it was started with, and its certificate and key, checks all of it, and puts it in
    force at once or not at all: exit code 2, and what is wrong. What needs a restart is told. SIGHUP does the same.
    """
    done = Control(data).call("POST", "reload")
    if as_json:
        print_json(done)
        return
    for key in done["applied"]:
        click.echo(f"{key}: in force")
    if done["certificate"]:
        click.echo("certificate: replaced")
    for key in done["restart"]:
        click.echo(f"{key}: needs a restart")
    if not (done["applied"] or done["restart"] or done["certificate"]):
        click.echo("nothing has changed")
