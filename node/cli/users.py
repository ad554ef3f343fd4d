"""``entrepot user``: who may come in."""

import sys
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from node.cli.failures import WrongUsage
from node.cli.granting import Aliased, add_granting, print_principal, tags_of, tell
from node.cli.options import data_option, examples, json_option, read_whole
from node.cli.output import Moment, print_json, print_rows
from node.cli.target import node_at

_MAX_PASSWORD = 1024  # Bytes.


@click.group(
    cls=Aliased,
    epilog=examples(
        "entrepot user create ci",
        "entrepot user attach ci AmazonEC2ContainerRegistryPowerUser",
        "entrepot key create ci",
    ),
)
def user() -> None:
    """Users, their groups, passwords and policies.

    A user that was just created may do nothing: attach a policy, or put it into a group that has one. Machines come in
    by access keys (`entrepot key create`), people by a password as well.
    """


@user.command(epilog=examples("entrepot user ls", "entrepot user ls --json"))
@json_option
@data_option
def ls(data: Path, as_json: bool) -> None:
    """List the users."""
    pages = node_at(data).pages("users", "users")
    if as_json:
        print_json({"users": [row for page in pages for row in page]})
        return
    print_rows(
        ["NAME", "STATE", "CREATED", "GROUPS", "POLICIES", "KEYS"],
        (
            [
                [
                    row["name"],
                    "disabled" if row["disabled"] else "enabled",
                    Moment(row["created"]),
                    ",".join(row["groups"]),
                    len(row["attached"]) + len(row["inline"]),
                    len(row["keys"]),
                ]
                for row in page
            ]
            for page in pages
        ),
        empty="No users; `entrepot user create` makes one.",
    )


@user.command(epilog=examples("entrepot user show ci", "entrepot user show ci --json"))
@click.argument("name")
@json_option
@data_option
def show(name: str, data: Path, as_json: bool) -> None:
    """Show a user: its groups, policies, keys and tags."""
    answer = node_at(data).get(f"users/{name}")
    if as_json:
        print_json(answer)
    else:
        print_principal(answer)


@user.command(epilog=examples("entrepot user create ci", "entrepot user create ana --tag team=web --group developers"))
@click.argument("name")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="For conditions of policies; repeatable.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="Put it into this group; repeatable.")
@json_option
@data_option
def create(name: str, tags: tuple[str, ...], groups: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Create a user, who may do nothing yet."""
    node = node_at(data)
    for group in groups:  # Before there is a user: one that is not there is a mistake in typing.
        node.get(f"groups/{group}")
    answer = node.call("POST", "users", body=msgspec.json.encode({"name": name, "tags": tags_of(tags)}))
    for group in groups:
        node.call("PUT", f"groups/{group}/members/{name}")
    if groups:
        answer["groups"] = sorted(groups)
    tell(answer, f"Created the user {name}, {answer['arn']}", as_json=as_json)


@user.command(epilog=examples("entrepot user rm ci"))
@click.argument("name")
@json_option
@data_option
def rm(name: str, data: Path, as_json: bool) -> None:
    """Delete a user and its keys; whatever it holds is good for nothing from now on."""
    node_at(data).call("DELETE", f"users/{name}")
    tell({"deleted": name}, f"Deleted the user {name}", as_json=as_json)


@user.command(epilog=examples("entrepot user disable ci"))
@click.argument("name")
@json_option
@data_option
def disable(name: str, data: Path, as_json: bool) -> None:
    """Let a user do nothing until `enable`: its keys, passwords and tokens are refused."""
    tell(node_at(data).call("POST", f"users/{name}/disable"), f"{name} is disabled.", as_json=as_json)


@user.command(epilog=examples("entrepot user enable ci"))
@click.argument("name")
@json_option
@data_option
def enable(name: str, data: Path, as_json: bool) -> None:
    """Let a user come in again; tokens from before stay refused."""
    tell(node_at(data).call("POST", f"users/{name}/enable"), f"{name} is enabled.", as_json=as_json)


@user.command(
    epilog=examples(
        "entrepot user password ana",
        "entrepot user password ana --file password.txt",
        "entrepot user password ana --remove",
    )
)
@click.argument("name")
@click.option("--file", type=click.File("rb"), help="File with the password, its last line end left out; - is stdin.")
@click.option("--remove", is_flag=True, help="Take the password away.")
@json_option
@data_option
def password(name: str, file: BinaryIO | None, remove: bool, data: Path, as_json: bool) -> None:
    """Give a user a password of 12 to 128 characters, or take it away; log-ins from before are over."""
    if remove:
        answer = node_at(data).call("DELETE", f"users/{name}/password")
        tell(answer, f"{name} has no password.", as_json=as_json)
        return
    body = msgspec.json.encode({"password": _password(file)})
    tell(node_at(data).call("PUT", f"users/{name}/password", body=body), f"{name} has a password.", as_json=as_json)


@user.command(epilog=examples("entrepot user groups ana developers ops", "entrepot user groups ana --none"))
@click.argument("name")
@click.argument("groups", nargs=-1)
@click.option("--none", is_flag=True, help="Take it out of all groups.")
@json_option
@data_option
def groups(name: str, groups: tuple[str, ...], none: bool, data: Path, as_json: bool) -> None:
    """Replace the groups that a user is in."""
    if none == bool(groups):
        raise WrongUsage("name the groups that it is in from now on, or say --none")
    answer = node_at(data).call("PUT", f"users/{name}/groups", body=msgspec.json.encode({"groups": groups}))
    tell(answer, f"{name} is in {', '.join(answer['groups']) or 'no group'}.", as_json=as_json)


@user.command(epilog=examples("entrepot user tag ana team=web", "entrepot user tag ana --remove team"))
@click.argument("name")
@click.argument("tags", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--remove", multiple=True, metavar="KEY", help="Remove this tag; repeatable.")
@json_option
@data_option
def tag(name: str, tags: tuple[str, ...], remove: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Set and remove tags of a user, for conditions of policies."""
    body = msgspec.json.encode({"set": tags_of(tags), "remove": remove})
    answer = node_at(data).call("POST", f"users/{name}/tags", body=body)
    tell(answer, f"{name} has {len(answer['tags'])} tags.", as_json=as_json)


add_granting(user, "user")


def _password(file: BinaryIO | None) -> str:
    if file is None:
        if not sys.stdin.isatty():
            raise WrongUsage("nobody is there to type a password; give it by --file (- is standard input)")
        text: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return text
    try:
        return read_whole(file, limit=_MAX_PASSWORD).decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise WrongUsage("a password is text in UTF-8") from None
