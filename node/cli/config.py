"""``entrepot config``: what a node would be started with, without starting it."""

import os
from pathlib import Path

import click
import msgspec

from node.cli.failures import WrongUsage
from node.cli.options import data_flag, examples, json_option
from node.config.load import ConfigInvalid, load
from node.config.settings import Config
from node.config.show import schema as config_schema
from node.config.show import to_toml

_file = click.option(
    "--config", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="TOML file."
)


@click.group(epilog=examples("entrepot config check --config entrepot.toml"))
def config() -> None:
    """The configuration."""


@config.command(epilog=examples("entrepot config check --config entrepot.toml", "entrepot config check --json"))
@_file
@data_flag
@json_option
@click.pass_context
def check(ctx: click.Context, file: Path | None, data: str | None, as_json: bool) -> None:
    """Check a file and the environment; each fault is named with its key and place.

    Exit code 2: a node would refuse to start with it.
    """
    try:
        _load(file, data)
    except ConfigInvalid as error:
        if not as_json:
            raise WrongUsage(str(error)) from error
        click.echo(msgspec.json.encode({"valid": False, "problems": error.problems}).decode())
        ctx.exit(WrongUsage.exit_code)
    click.echo('{"valid":true,"problems":[]}' if as_json else "The configuration is good.")


@config.command(
    epilog=examples(
        "entrepot config show",
        "entrepot config show --config entrepot.toml --json",
        "entrepot config show > entrepot.toml    # a file with every key and what it means",
    )
)
@_file
@data_flag
@json_option
def show(file: Path | None, data: str | None, as_json: bool) -> None:
    """Print the configuration that file, environment and defaults give, as a file that says what each key means."""
    try:
        found = _load(file, data)
    except ConfigInvalid as error:
        raise WrongUsage(str(error)) from error
    click.echo(_indented(found) if as_json else to_toml(found).rstrip("\n"))


@config.command(epilog=examples("entrepot config schema > entrepot.schema.json"))
@data_flag
@json_option
def schema(data: str | None, as_json: bool) -> None:  # noqa: ARG001 - it is JSON either way, for any directory.
    """Print the JSON schema of the file, for editors."""
    click.echo(_indented(config_schema()))


def _load(file: Path | None, data: str | None) -> Config:
    return load(file, os.environ, {"node.data": data})


def _indented(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
