"""``entrepot key``: access keys, by which machines come in."""

import time
from pathlib import Path
from typing import Any

import click
import msgspec

from node.cli.granting import Aliased, tell
from node.cli.options import Number, data_option, examples, json_option
from node.cli.output import Cell, Moment, print_fields, print_json, print_rows
from node.cli.target import node_at

_DAY = 86_400.0
_HOUR = 3600.0


@click.group(
    cls=Aliased,
    epilog=examples("entrepot key create ci", "entrepot key rotate AKIAIOSFODNN7EXAMPLE", "entrepot key ls ci"),
)
def key() -> None:
    """Access keys of users.

    A key signs requests of the aws CLI and SDKs, and `docker login` takes its id and secret as name and password. A
    user has two at most, so that the next one is in use before the old one goes.
    """


@key.command(epilog=examples("entrepot key ls ci", "entrepot key ls ci --json"))
@click.argument("user")
@json_option
@data_option
def ls(user: str, data: Path, as_json: bool) -> None:
    """List the access keys of a user, and when this node saw each of them last."""
    answer = node_at(data).get(f"users/{user}/keys")
    if as_json:
        print_json(answer)
        return
    print_rows(
        ["KEY", "STATE", "CREATED", "EXPIRES", "LAST USED", "FROM", "SERVICE"],
        [
            [
                [one["id"], _state(one), Moment(one["created"]), _moment(one["expires"]), *_used(one)]
                for one in answer["keys"]
            ]
        ],
        empty=f"{user} has no access key; `entrepot key create {user}` makes one.",
    )


@key.command(epilog=examples("entrepot key show AKIAIOSFODNN7EXAMPLE"))
@click.argument("id", metavar="KEY")
@json_option
@data_option
def show(id: str, data: Path, as_json: bool) -> None:  # noqa: A002 - what it is called everywhere.
    """Show an access key, but for its secret, which nobody sees again."""
    one = node_at(data).get(f"keys/{id}")
    if as_json:
        print_json(one)
        return
    at, address, service = _used(one)
    fields: list[tuple[str, Cell]] = [
        ("key", one["id"]),
        ("user", one["user"]),
        ("state", _state(one)),
        ("created", Moment(one["created"])),
        ("expires", _moment(one["expires"])),
        ("last used", at),
        ("from", address),
        ("service", service),
    ]
    print_fields(fields)


@key.command(
    epilog=examples(
        "entrepot key create ci",
        "entrepot key create ci --days 90 --json > key.json",
        "entrepot key create ci --shell > key.env",
    )
)
@click.argument("user")
@click.option("--days", type=Number(min=0, min_open=True, max=36_500), help="Let it expire after so many days.")
@click.option("--shell", is_flag=True, help="Print it as a shell takes it: export AWS_ACCESS_KEY_ID=...")
@json_option
@data_option
def create(user: str, days: float | None, shell: bool, data: Path, as_json: bool) -> None:
    """Give a user an access key, and show its secret, this once."""
    expires = None if days is None else time.time() + days * _DAY
    answer = node_at(data).call("POST", f"users/{user}/keys", body=msgspec.json.encode({"expires": expires}))
    _print_made(answer, as_json=as_json, shell=shell)


@key.command(
    epilog=examples(
        "entrepot key rotate AKIAIOSFODNN7EXAMPLE", "entrepot key rotate AKIAIOSFODNN7EXAMPLE --keep-hours 0"
    )
)
@click.argument("id", metavar="KEY")
@click.option(
    "--keep-hours",
    type=Number(min=0, max=8760),
    default=24.0,
    show_default=True,
    help="How long the old one is good still.",
)
@click.option("--shell", is_flag=True, help="Print it as a shell takes it: export AWS_ACCESS_KEY_ID=...")
@json_option
@data_option
def rotate(id: str, keep_hours: float, shell: bool, data: Path, as_json: bool) -> None:  # noqa: A002 - what it is called everywhere.
    """Make the key that follows another one, which expires; the secret of the new one is shown this once."""
    body = msgspec.json.encode({"keep": keep_hours * _HOUR})
    _print_made(node_at(data).call("POST", f"keys/{id}/rotate", body=body), as_json=as_json, shell=shell)


@key.command(epilog=examples("entrepot key disable AKIAIOSFODNN7EXAMPLE"))
@click.argument("id", metavar="KEY")
@json_option
@data_option
def disable(id: str, data: Path, as_json: bool) -> None:  # noqa: A002 - what it is called everywhere.
    """Refuse a key until `enable`, and all that its user was issued so far."""
    node_at(data).call("POST", f"keys/{id}/disable")
    tell({"disabled": id}, f"{id} is disabled.", as_json=as_json)


@key.command(epilog=examples("entrepot key enable AKIAIOSFODNN7EXAMPLE"))
@click.argument("id", metavar="KEY")
@json_option
@data_option
def enable(id: str, data: Path, as_json: bool) -> None:  # noqa: A002 - what it is called everywhere.
    """Take a key again."""
    node_at(data).call("POST", f"keys/{id}/enable")
    tell({"enabled": id}, f"{id} is enabled.", as_json=as_json)


@key.command(epilog=examples("entrepot key rm AKIAIOSFODNN7EXAMPLE"))
@click.argument("id", metavar="KEY")
@json_option
@data_option
def rm(id: str, data: Path, as_json: bool) -> None:  # noqa: A002 - what it is called everywhere.
    """Delete a key for good; what its user was issued so far is refused."""
    node_at(data).call("DELETE", f"keys/{id}")
    tell({"deleted": id}, f"Deleted {id}", as_json=as_json)


def _print_made(made: dict[str, Any], *, as_json: bool, shell: bool) -> None:
    if as_json:
        print_json(made)
    elif shell:
        click.echo(f"export AWS_ACCESS_KEY_ID={made['id']}\nexport AWS_SECRET_ACCESS_KEY={made['secret']}")
    else:
        click.echo(f"The secret is shown this once. An access key of {made['user']}:", err=True)
        print_fields([("key", made["id"]), ("secret", made["secret"]), ("expires", _moment(made["expires"]))])


def _state(one: dict[str, Any]) -> str:
    if one["lost"]:
        return "lost"
    if one["expires"] is not None and one["expires"] <= time.time():
        return "expired"
    return "active" if one["active"] else "disabled"


def _used(one: dict[str, Any]) -> tuple[Cell, Cell, Cell]:
    used = one["last_used"]
    return (None, None, None) if used is None else (Moment(used["at"]), used["address"], used["service"])


def _moment(at: float | None) -> Moment | None:
    return None if at is None else Moment(at)
