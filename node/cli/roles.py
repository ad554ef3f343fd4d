"""``entrepot role``: rights that others take on for a while."""

from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from node.cli.failures import WrongUsage
from node.cli.granting import Aliased, add_granting, print_principal, read_document, tags_of, tell
from node.cli.options import data_option, examples, json_option
from node.cli.output import Moment, print_json, print_rows
from node.cli.target import node_at


@click.group(
    cls=Aliased,
    epilog=examples(
        "entrepot role create deploy --trust trust.json",
        "entrepot role attach deploy AmazonEC2ContainerRegistryPullOnly",
    ),
)
def role() -> None:
    """Roles, which others assume.

    Users assume a role by sts:AssumeRole, workloads by a token of an issuer that is trusted. Its trust policy says who.
    """


@role.command(epilog=examples("entrepot role ls", "entrepot role ls --json"))
@json_option
@data_option
def ls(data: Path, as_json: bool) -> None:
    """List the roles."""
    pages = node_at(data).pages("roles", "roles")
    if as_json:
        print_json({"roles": [row for page in pages for row in page]})
        return
    print_rows(
        ["NAME", "CREATED", "POLICIES", "SESSION", "DESCRIPTION"],
        (
            [
                [
                    row["name"],
                    Moment(row["created"]),
                    len(row["attached"]) + len(row["inline"]),
                    f"{row['max_session']} s",
                    row["description"],
                ]
                for row in page
            ]
            for page in pages
        ),
        empty="No roles; `entrepot role create` makes one.",
    )


@role.command(epilog=examples("entrepot role show deploy"))
@click.argument("name")
@json_option
@data_option
def show(name: str, data: Path, as_json: bool) -> None:
    """Show a role: who may assume it, its policies and tags."""
    answer = node_at(data).get(f"roles/{name}")
    if as_json:
        print_json(answer)
    else:
        print_principal(answer)


@role.command(
    epilog=examples(
        "entrepot role create deploy --trust trust.json",
        "entrepot role create nightly --trust - --max-session 7200 --description 'nightly builds' < trust.json",
    )
)
@click.argument("name")
@click.option("--trust", type=click.File("rb"), required=True, help="Policy document: who may assume it; - is stdin.")
@click.option("--max-session", type=int, default=3600, show_default=True, metavar="SECONDS", help="900 to 43200.")
@click.option("--description", default="", help="For people.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="For conditions of policies; repeatable.")
@json_option
@data_option
def create(name: str, trust: BinaryIO, tags: tuple[str, ...], data: Path, as_json: bool, **asked: str | int) -> None:
    """Create a role, which may do nothing yet."""
    body = msgspec.json.encode({"name": name, "trust": read_document(trust), "tags": tags_of(tags), **asked})
    answer = node_at(data).call("POST", "roles", body=body)
    tell(answer, f"Created the role {name}, {answer['arn']}", as_json=as_json)


@role.command("set", epilog=examples("entrepot role set deploy --trust trust.json --max-session 900"))
@click.argument("name")
@click.option("--trust", type=click.File("rb"), help="Policy document: who may assume it; - is standard input.")
@click.option("--max-session", type=int, metavar="SECONDS", help="900 to 43200.")
@click.option("--description", help="For people.")
@json_option
@data_option
def set_(name: str, trust: BinaryIO | None, data: Path, as_json: bool, **asked: Any) -> None:  # noqa: ANN401 - as click gives them.
    """Change who may assume a role, how long a session lasts, or what it says of itself."""
    changes = {key: value for key, value in asked.items() if value is not None}
    if trust is not None:
        changes["trust"] = read_document(trust)
    if not changes:
        raise WrongUsage("say what to change: --trust, --max-session or --description")
    answer = node_at(data).call("POST", f"roles/{name}", body=msgspec.json.encode(changes))
    tell(answer, f"Changed the role {name}.", as_json=as_json)


@role.command(epilog=examples("entrepot role rm deploy"))
@click.argument("name")
@json_option
@data_option
def rm(name: str, data: Path, as_json: bool) -> None:
    """Delete a role; its sessions are over."""
    node_at(data).call("DELETE", f"roles/{name}")
    tell({"deleted": name}, f"Deleted the role {name}", as_json=as_json)


@role.command(epilog=examples("entrepot role tag deploy team=web", "entrepot role tag deploy --remove team"))
@click.argument("name")
@click.argument("tags", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--remove", multiple=True, metavar="KEY", help="Remove this tag; repeatable.")
@json_option
@data_option
def tag(name: str, tags: tuple[str, ...], remove: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Set and remove tags of a role, for conditions of policies."""
    body = msgspec.json.encode({"set": tags_of(tags), "remove": remove})
    answer = node_at(data).call("POST", f"roles/{name}/tags", body=body)
    tell(answer, f"{name} has {len(answer['tags'])} tags.", as_json=as_json)


add_granting(role, "role")
