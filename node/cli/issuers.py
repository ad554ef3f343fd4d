"""``entrepot issuer``: who is trusted to say who somebody is, so that tokens of theirs open sessions of roles."""

from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import click
import msgspec

from node.cli.granting import Aliased, read_document, tell
from node.cli.options import data_option, examples, json_option
from node.cli.output import Moment, print_json, print_rows
from node.cli.target import node_at

_GITHUB = "https://token.actions.githubusercontent.com"


@click.group(
    cls=Aliased,
    epilog=examples(
        f"entrepot issuer put {_GITHUB} --audience sts.amazonaws.com",
        "entrepot issuer ls",
    ),
)
def issuer() -> None:
    """OpenID issuers whose tokens open sessions of roles.

    GitHub Actions, Kubernetes, a company's sign-in. To trust one lets nobody in: a role's trust policy has to name it
    and compare what its tokens claim.
    """


@issuer.command(epilog=examples("entrepot issuer ls", "entrepot issuer ls --json"))
@json_option
@data_option
def ls(data: Path, as_json: bool) -> None:
    """List the trusted issuers."""
    answer = node_at(data).get("issuers")
    if as_json:
        print_json(answer)
        return
    print_rows(
        ["ISSUER", "AUDIENCES", "SINCE", "DESCRIPTION"],
        [[[one["url"], ", ".join(one["audiences"]), Moment(one["created"]), one["description"]]
          for one in answer["issuers"]]],
        empty="No issuer is trusted; `entrepot issuer put` trusts one.",
    )  # fmt: skip


@issuer.command(
    epilog=examples(
        f"entrepot issuer put {_GITHUB} --audience sts.amazonaws.com",
        "entrepot issuer put https://kubernetes.default.svc --audience entrepot --keys jwks.json",
        "entrepot issuer put https://login.example/realms/a --audience entrepot --client entrepot --secret secret.txt",
    )
)
@click.argument("url")
@click.option("--audience", "audiences", multiple=True, required=True, help="Whom its tokens are made for; repeatable.")
@click.option("--description", default="", help="For people.")
@click.option("--allow-address", "allow_addresses", multiple=True, metavar="NETWORK", help="Of it, though not public.")
@click.option("--authority", type=click.File("rb"), help="Certificates in PEM that it is verified by.")
@click.option("--keys", type=click.File("rb"), help="Its JSON Web Key Set, where it cannot be asked.")
@click.option("--endpoint-url", "endpoints", multiple=True, metavar="URL", help="Elsewhere, which it may name.")
@click.option("--client", default="", metavar="ID", help="As whom codes of people who log in are exchanged.")
@click.option("--secret", type=click.File("rb"), help="File with the secret of --client; - is standard input.")
@click.option("--allow-http", is_flag=True, help="Take a URL with http://, whose answers anyone may change.")
@json_option
@data_option
def put(
    url: str,
    authority: BinaryIO | None,
    keys: BinaryIO | None,
    secret: BinaryIO | None,
    data: Path,
    as_json: bool,
    **asked: str | bool | tuple[str, ...],
) -> None:
    """Trust the issuer at URL, or replace what is said of it.

    URL is what its tokens have under `iss`, to the letter.
    """
    texts = {"authority": authority, "keys": keys, "client_secret": secret}
    read = {name: read_document(file) for name, file in texts.items() if file is not None}
    if "client_secret" in read:
        read["client_secret"] = read["client_secret"].strip()
    body = msgspec.json.encode({"url": url, **asked, **read})
    answer = node_at(data).call("PUT", f"issuers/{_name(url)}", body=body)
    tell(answer, f"Trusted {url}; in policies it is {answer['arn']}", as_json=as_json)


@issuer.command(epilog=examples(f"entrepot issuer rm {_GITHUB}"))
@click.argument("url")
@json_option
@data_option
def rm(url: str, data: Path, as_json: bool) -> None:
    """Trust an issuer no longer; sessions that are open end by themselves."""
    node_at(data).call("DELETE", f"issuers/{_name(url)}")
    tell({"deleted": url}, f"Trusted no longer: {url}", as_json=as_json)


def _name(url: str) -> str:
    return quote(url.partition("://")[2] or url, safe="/:@!$&'()*+,;=~")
