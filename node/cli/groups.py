"""``entrepot group``: users who have policies in common."""

from pathlib import Path

import click
import msgspec

from node.cli.granting import Aliased, add_granting, print_principal, tell
from node.cli.options import data_option, examples, json_option
from node.cli.output import Moment, print_json, print_rows
from node.cli.target import node_at


@click.group(
    cls=Aliased,
    epilog=examples(
        "entrepot group create developers",
        "entrepot group attach developers AmazonEC2ContainerRegistryPowerUser",
        "entrepot group add developers ana ben",
    ),
)
def group() -> None:
    """Groups of users.

    Who is in a group may what its policies say, besides what the user's own say.
    """


@group.command(epilog=examples("entrepot group ls", "entrepot group ls --json"))
@json_option
@data_option
def ls(data: Path, as_json: bool) -> None:
    """List the groups."""
    pages = node_at(data).pages("groups", "groups")
    if as_json:
        print_json({"groups": [row for page in pages for row in page]})
        return
    print_rows(
        ["NAME", "CREATED", "MEMBERS", "POLICIES"],
        (
            [
                [
                    row["name"],
                    Moment(row["created"]),
                    len(row["members"]),
                    len(row["attached"]) + len(row["inline"]),
                ]
                for row in page
            ]
            for page in pages
        ),
        empty="No groups; `entrepot group create` makes one.",
    )


@group.command(epilog=examples("entrepot group show developers"))
@click.argument("name")
@json_option
@data_option
def show(name: str, data: Path, as_json: bool) -> None:
    """Show a group: its members and policies."""
    answer = node_at(data).get(f"groups/{name}")
    if as_json:
        print_json(answer)
    else:
        print_principal(answer)


@group.command(epilog=examples("entrepot group create developers"))
@click.argument("name")
@json_option
@data_option
def create(name: str, data: Path, as_json: bool) -> None:
    """Create a group, with nobody in it."""
    answer = node_at(data).call("POST", "groups", body=msgspec.json.encode({"name": name}))
    tell(answer, f"Created the group {name}, {answer['arn']}", as_json=as_json)


@group.command(epilog=examples("entrepot group rm developers"))
@click.argument("name")
@json_option
@data_option
def rm(name: str, data: Path, as_json: bool) -> None:
    """Delete a group; its members stay, without what it let them do."""
    node_at(data).call("DELETE", f"groups/{name}")
    tell({"deleted": name}, f"Deleted the group {name}", as_json=as_json)


@group.command(epilog=examples("entrepot group add developers ana ben"))
@click.argument("name")
@click.argument("users", nargs=-1, required=True)
@json_option
@data_option
def add(name: str, users: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Put users into a group."""
    _set(name, users, data, "PUT", as_json=as_json)


@group.command(epilog=examples("entrepot group remove developers ben"))
@click.argument("name")
@click.argument("users", nargs=-1, required=True)
@json_option
@data_option
def remove(name: str, users: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Take users out of a group."""
    _set(name, users, data, "DELETE", as_json=as_json)


add_granting(group, "group")


def _set(name: str, users: tuple[str, ...], data: Path, method: str, *, as_json: bool) -> None:
    node, answer = node_at(data), {}
    for one in users:
        answer = node.call(method, f"groups/{name}/members/{one}")
    members = ", ".join(answer["members"]) or "nobody"
    tell(answer, f"In the group {name}: {members}.", as_json=as_json)
