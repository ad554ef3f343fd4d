"""``entrepot init``, ``invite``, ``join``, ``authority``: who a node is, and how it comes to an account."""

import sys
import time
from pathlib import Path

import click
import msgspec
import trio

from node.api.admin.control import InvitationAsked
from node.cli import directory
from node.cli.control import Control
from node.cli.options import Number, data_option, examples, json_option
from node.cli.output import print_fields, print_json, waiting
from node.peers.identity import Identity, create_identity
from node.peers.joining import join as join_account
from protocol.auth.names import account as parse_account
from protocol.auth.names import region as parse_region


@click.command(
    epilog=examples(
        "entrepot init --data a --account 111111111111 --region eu-west-1",
        "entrepot serve --data a --listen 127.0.0.1:5001 --peer-listen 127.0.0.1:6001",
    )
)
@click.option("--account", required=True, metavar="ACCOUNT", help="12 digits: all regions of an account trust another.")
@click.option("--region", required=True, metavar="REGION", help="Name of the region that the registry serves.")
@json_option
@data_option
def init(account: str, region: str, data: Path, as_json: bool) -> None:
    """Make the first node of an account.

    Makes the account's authority, and the node's key and certificate, in an empty or absent directory. Account and
    region never change afterwards. Further nodes of the account are made with `invite` and `join`.
    """
    identity = create_identity(data, parse_account(account), parse_region(region), now=time.time())
    _show(identity, data, as_json=as_json)


@click.command(
    epilog=examples(
        "entrepot invite --data a --region us-east-1",
        "entrepot invite --data a    # a replica of the same registry",
    )
)
@click.option("--region", metavar="REGION", help="Of the new node; without it a replica of the same registry.")
@click.option("--hours", type=Number(0, 24, min_open=True), default=24, show_default=True)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="HOST:PORT",
    help="Where the new node dials; without it what the running node advertises.",
)
@json_option
@data_option
def invite(region: str | None, hours: float, addresses: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Make a token with which another node joins.

    The token is printed once, lets one node in, and is a secret until then.
    """
    asked = InvitationAsked(region, hours * 3600, addresses)
    control = Control(data)
    if control.running():
        invited = control.call("POST", "invitations", body=msgspec.json.encode(asked))
    else:
        invited = msgspec.to_builtins(directory.invite(data, asked))
    if as_json:
        print_json(invited)
        return
    click.echo(invited["token"])
    if sys.stdout.isatty():
        until = time.strftime("%H:%M on %d %B", time.localtime(invited["expires"]))
        click.echo(f"Until {until}, on the new machine: entrepot join TOKEN --data DIR", err=True)


@click.command(
    epilog=examples(
        "entrepot join TOKEN --data b",
        "entrepot serve --data b --listen 127.0.0.1:5002 --peer-listen 127.0.0.1:6002",
        "entrepot invite --data a --region us-east-1 | entrepot join - --data b",
    )
)
@click.argument("token")
@json_option
@data_option
def join(token: str, data: Path, as_json: bool) -> None:
    """Make a node of an account that exists.

    TOKEN is what `entrepot invite` printed on a node of that account (- reads it from standard input, where other
    users of this machine do not see it). The directory is empty or absent; the node's key is made in it and never
    leaves it.
    """
    if token == "-":  # noqa: S105 - where to read it, not a token.
        token = sys.stdin.readline()
    with waiting("Asking the node that gave out the token"):
        identity = trio.run(_join, token, data)
    _show(identity, data, as_json=as_json)


@click.group(epilog=examples("entrepot authority show > ca.pem"))
def authority() -> None:
    """The authority of this account."""


@authority.command(epilog=examples("entrepot authority show --data a > ca.pem", "entrepot authority show --json"))
@json_option
@data_option
def show(data: Path, as_json: bool) -> None:
    """Print the authority's certificate, which another account's `trust add` takes.

    On a terminal its fingerprint goes to standard error, to be compared there.
    """
    control = Control(data)
    shown = control.get("authority") if control.running() else msgspec.to_builtins(directory.show_authority(data))
    if as_json:
        print_json(shown)
        return
    click.echo(shown["certificate"], nl=False)
    if sys.stderr.isatty():
        click.echo(f"account {shown['account']}, fingerprint {shown['fingerprint']}", err=True)


async def _join(token: str, data: Path) -> Identity:
    return await join_account(token, data, now=time.time())


def _show(identity: Identity, data: Path, *, as_json: bool) -> None:
    registry, node = identity.registry, identity.name.node
    if as_json:
        print_json({"account": registry.account, "region": registry.region, "node": node})
        return
    print_fields([("account", registry.account), ("region", registry.region), ("node", node)])
    if sys.stdout.isatty():
        click.echo(f"\nStart it: entrepot serve --data {data}", err=True)
