"""``entrepot policy ls|show|create|put|rm|attach|detach``: managed policies, which a node keeps."""

from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from node.cli.failures import NotFound, Refused, WrongUsage
from node.cli.granting import read_document, tell
from node.cli.options import data_option, examples, json_option
from node.cli.output import print_json, print_rows
from node.cli.target import node_at

_READ_ONLY = "AmazonEC2ContainerRegistryReadOnly"


@click.command(epilog=examples("entrepot policy ls", "entrepot policy ls --own --json"))
@click.option("--own", is_flag=True, help="Without those that every registry has.")
@json_option
@data_option
def ls(own: bool, data: Path, as_json: bool) -> None:
    """List the managed policies, and whom they are attached to."""
    found = [one for one in node_at(data).get("policies")["policies"] if not (own and one["builtin"])]
    if as_json:
        print_json({"policies": found})
        return
    print_rows(
        ["NAME", "ATTACHED TO", "ARN", "DESCRIPTION"],
        [[[one["name"], ", ".join(one["attached_to"]), one["arn"], one["description"]] for one in found]],
        empty="No policies of your own; `entrepot policy create` makes one.",
    )


@click.command(epilog=examples(f"entrepot policy show {_READ_ONLY}", "entrepot policy show deployers --json"))
@click.argument("policy")
@json_option
@data_option
def show(policy: str, data: Path, as_json: bool) -> None:
    """Print the document of a managed policy, by its name or ARN; with --json all that is known of it."""
    answer = node_at(data).get(f"policies/{policy}")
    tell(answer, answer["document"], as_json=as_json)


@click.command(epilog=examples("entrepot policy create deployers deployers.json --description 'who deploys'"))
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.option("--description", default="", help="For people.")
@json_option
@data_option
def create(name: str, file: BinaryIO, description: str, data: Path, as_json: bool) -> None:
    """Create a managed policy of the document in FILE (- reads standard input)."""
    body = msgspec.json.encode({"name": name, "document": read_document(file), "description": description})
    answer = node_at(data).call("POST", "policies", body=body)
    tell(answer, f"Created the policy {name}, {answer['arn']}", as_json=as_json)


@click.command(epilog=examples("entrepot policy put deployers deployers.json"))
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@json_option
@data_option
def put(name: str, file: BinaryIO, data: Path, as_json: bool) -> None:
    """Create a managed policy, or replace its document wherever it is attached, by FILE (- reads standard input)."""
    node, document = node_at(data), read_document(file)
    try:
        answer = node.call("POST", "policies", body=msgspec.json.encode({"name": name, "document": document}))
    except Refused as refused:  # It is there, or creating is what the caller may not.
        try:
            answer = node.call("PUT", f"policies/{name}", body=msgspec.json.encode({"document": document}))
        except NotFound:  # It is not, so that was not the reason.
            raise refused from None
    tell(answer, f"The policy {name} is in force, for {len(answer['attached_to'])} it is attached to.", as_json=as_json)


@click.command(epilog=examples("entrepot policy rm deployers"))
@click.argument("policy")
@json_option
@data_option
def rm(policy: str, data: Path, as_json: bool) -> None:
    """Delete a managed policy that is attached to nobody."""
    node_at(data).call("DELETE", f"policies/{policy}")
    tell({"deleted": policy}, f"Deleted the policy {policy}", as_json=as_json)


@click.command(
    epilog=examples(f"entrepot policy attach {_READ_ONLY} --user ci", "entrepot policy attach dev --group dev")
)
@click.argument("policy")
@click.option("--user", help="To this user.")
@click.option("--group", help="To this group.")
@click.option("--role", help="To this role.")
@json_option
@data_option
def attach(policy: str, data: Path, as_json: bool, **to: str | None) -> None:
    """Attach a managed policy to a user, group or role."""
    kind, name = _one(to)
    answer = node_at(data).call("PUT", f"{kind}s/{name}/attached/{policy}")
    tell(answer, f"{policy} is attached to the {kind} {name}.", as_json=as_json)


@click.command(epilog=examples(f"entrepot policy detach {_READ_ONLY} --user ci"))
@click.argument("policy")
@click.option("--user", help="From this user.")
@click.option("--group", help="From this group.")
@click.option("--role", help="From this role.")
@json_option
@data_option
def detach(policy: str, data: Path, as_json: bool, **to: str | None) -> None:
    """Detach a managed policy from a user, group or role."""
    kind, name = _one(to)
    answer = node_at(data).call("DELETE", f"{kind}s/{name}/attached/{policy}")
    tell(answer, f"{policy} is no longer attached to the {kind} {name}.", as_json=as_json)


COMMANDS = (ls, show, create, put, rm, attach, detach)


def _one(to: dict[str, str | None]) -> tuple[str, str]:
    given = [(kind, name) for kind, name in to.items() if name is not None]
    if len(given) != 1:
        raise WrongUsage("say whom: --user, --group or --role, and one of them")
    return given[0]
