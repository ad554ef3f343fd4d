"""``entrepot kms``: the keys under which repositories are encrypted. ``entrepot master-key``: what they are under."""

from pathlib import Path
from typing import Any

import click
import msgspec

from node.cli.control import Control
from node.cli.options import data_option, examples, json_option
from node.cli.output import Cell, Moment, print_fields, print_json, print_rows

_HEADINGS = ("ALIAS", "STATE", "VERSION", "REPOSITORIES", "ARN")
_SHOWN = ("arn", "alias", "state", "version", "repositories", "stale", "description")


@click.group(epilog=examples("entrepot kms create --alias alias/builds", "entrepot kms list"))
def kms() -> None:
    """KMS keys: keys of this registry under which repositories are encrypted.

    A repository names one when it is made (encryptionType KMS or KMS_DSSE, kmsKey), by its ARN, id or alias; without a
    name it is alias/aws/ecr. KEY is any of these.
    """


@kms.command(epilog=examples("entrepot kms create --alias alias/builds --description 'what the builds push'"))
@click.option("--alias", default="", metavar="alias/NAME", help="Another name of the key.")
@click.option("--description", default="", metavar="TEXT", help="For people.")
@json_option
@data_option
def create(alias: str, description: str, data: Path, as_json: bool) -> None:
    """Make a key."""
    body = msgspec.json.encode({"alias": alias, "description": description})
    _print(Control(data).call("POST", "kms/keys", body=body), as_json=as_json)


@kms.command("list", epilog=examples("entrepot kms list", "entrepot kms list --json"))
@json_option
@data_option
def list_keys(data: Path, as_json: bool) -> None:
    """List all keys."""
    keys = Control(data).get("kms/keys")["keys"]
    if as_json:
        print_json(keys)
    else:
        rows = [(one["alias"], one["state"], one["version"], one["repositories"], one["arn"]) for one in keys]
        print_rows(_HEADINGS, [rows])


@kms.command(epilog=examples("entrepot kms rotate alias/builds"))
@click.argument("key")
@json_option
@data_option
def rotate(key: str, data: Path, as_json: bool) -> None:
    """Draw a new version of a key.

    Keys of repositories are wrapped anew in the background, and the version before is destroyed after that; `stale`
    says how many are left. No blob is written again.
    """
    _call(data, "rotate", {"key": key}, as_json=as_json)


@kms.command(epilog=examples("entrepot kms disable alias/builds"))
@click.argument("key")
@json_option
@data_option
def disable(key: str, data: Path, as_json: bool) -> None:
    """Let nobody read or write what is under a key, until it is enabled."""
    _call(data, "disable", {"key": key}, as_json=as_json)


@kms.command(epilog=examples("entrepot kms enable alias/builds"))
@click.argument("key")
@json_option
@data_option
def enable(key: str, data: Path, as_json: bool) -> None:
    """Let a key be used again that was disabled, or is to be deleted."""
    _call(data, "enable", {"key": key}, as_json=as_json)


@kms.command("schedule-deletion", epilog=examples("entrepot kms schedule-deletion alias/builds --days 7"))
@click.argument("key")
@click.option("--days", type=click.IntRange(7, 30), default=30, show_default=True, help="How long it waits.")
@json_option
@data_option
def schedule_deletion(key: str, days: int, data: Path, as_json: bool) -> None:
    """Have a key deleted: nobody can use it from now on, and in so many days all that is under it is lost for good."""
    _call(data, "schedule-deletion", {"key": key, "days": days}, as_json=as_json)


@click.group("master-key", epilog=examples("entrepot master-key rotate"))
def master_key() -> None:
    """The node's master key, under which all its other keys are kept (identity/master.key)."""


@master_key.command("rotate", epilog=examples("entrepot master-key rotate"))
@json_option
@data_option
def rotate_master(data: Path, as_json: bool) -> None:
    """Draw a new master key.

    All keys are wrapped anew in the background, and then the old one is destroyed. A backup that has the old one still
    opens what was backed up with it. Exit code 1: the last rotation has not ended.
    """
    state = Control(data).call("POST", "master-key/rotate")
    if as_json:
        print_json(state)


def _call(data: Path, what: str, body: dict[str, Any], *, as_json: bool) -> None:
    _print(Control(data).call("POST", f"kms/{what}", body=msgspec.json.encode(body)), as_json=as_json)


def _print(key: Any, *, as_json: bool) -> None:  # noqa: ANN401 - JSON.
    if as_json:
        print_json(key)
        return
    fields: list[tuple[str, Cell]] = [(name, key[name]) for name in _SHOWN]
    fields += [(name, Moment(key[name])) for name in ("created", "rotated", "deletion") if key[name]]
    print_fields(fields)
