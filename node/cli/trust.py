"""``entrepot trust``: accounts that this one trusts, by their authorities."""

from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from node.api.admin.control import TrustAsked
from node.cli import directory
from node.cli.control import Control
from node.cli.failures import Failed
from node.cli.options import data_option, examples, json_option
from node.cli.output import print_json, print_rows

MAX_CERTIFICATE = 64 * 1024  # Bytes; an authority's has 700.


@click.group(epilog=examples("entrepot trust add 222222222222 ca2.pem --address eu.example.com:6001"))
def trust() -> None:
    """Accounts that this one trusts."""


@trust.command(
    epilog=examples(
        "entrepot trust add 222222222222 ca2.pem --address eu.example.com:6001",
        "ssh other entrepot authority show | entrepot trust add 222222222222 - --address other:6001",
    )
)
@click.argument("account")
@click.argument("certificate", type=click.File("rb"), metavar="CA.pem")
@click.option("--address", "addresses", multiple=True, metavar="HOST:PORT", help="Peer port of one of its nodes.")
@json_option
@data_option
def add(account: str, certificate: BinaryIO, addresses: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Trust another account, whose `entrepot authority show` printed CA.pem.

    Compare the fingerprint that this prints with the one that the other side sees.
    """
    try:
        pem = certificate.read(MAX_CERTIFICATE).decode("ascii")
    except UnicodeDecodeError as error:
        raise Failed("this is no certificate in PEM: take what `entrepot authority show` prints there") from error
    asked = TrustAsked(account, pem, addresses)
    control = Control(data)
    if control.running():
        trusted = control.call("POST", "trust", body=msgspec.json.encode(asked))
    else:
        trusted = msgspec.to_builtins(directory.trust(data, asked))
    if as_json:
        print_json(trusted)
        return
    for fingerprint in trusted["fingerprints"]:
        click.echo(f"{trusted['account']}\t{fingerprint}")


@trust.command(epilog=examples("entrepot trust ls", "entrepot trust ls --json"))
@json_option
@data_option
def ls(data: Path, as_json: bool) -> None:
    """List the accounts that are trusted."""
    control = Control(data)
    if control.running():
        trusted = control.get("trust")["trusted"]
    else:
        trusted = msgspec.to_builtins(directory.list_trusted(data))
    if as_json:
        print_json({"trusted": trusted})
        return
    print_rows(
        ["ACCOUNT", "AUTHORITY", "ADDRESSES"],
        [[[one["account"], ",".join(one["fingerprints"]), ",".join(one["addresses"])] for one in trusted]],
        empty="No other account is trusted.",
    )


@trust.command(epilog=examples("entrepot trust rm 222222222222"))
@click.argument("account")
@json_option
@data_option
def rm(account: str, data: Path, as_json: bool) -> None:
    """Trust an account no longer; sessions with its nodes end."""
    control = Control(data)
    if control.running():
        control.call("DELETE", f"trust/{account}")
    else:
        directory.distrust(data, account)
    if as_json:
        print_json({"deleted": account})
    else:
        click.echo(f"Deleted {account}")
