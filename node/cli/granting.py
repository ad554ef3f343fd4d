"""The commands by which users, groups and roles get policies: the same for each of them."""

from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from node.cli.failures import WrongUsage
from node.cli.options import data_option, examples, json_option, read_whole
from node.cli.output import Cell, Moment, print_fields, print_json
from node.cli.target import node_at

_MAX_DOCUMENT = 256 * 1024  # Bytes, more than the node takes.
_OTHERS = {"list": "ls", "delete": "rm"}
_READ_ONLY = "AmazonEC2ContainerRegistryReadOnly"


class Aliased(click.Group):
    """A group that also knows its commands by the words of the API."""

    def get_command(  # type: ignore[explicit-override]  # 3.12 has it.
        self, ctx: click.Context, cmd_name: str
    ) -> click.Command | None:
        """Return the command of this name, or of the one that means the same."""
        found = super().get_command(ctx, cmd_name)
        return found or super().get_command(ctx, _OTHERS.get(cmd_name, cmd_name))


def read_document(file: BinaryIO) -> str:
    """Return a policy document as it stands in *file*; the node checks it."""
    try:
        return read_whole(file, limit=_MAX_DOCUMENT).decode()
    except UnicodeDecodeError:
        raise WrongUsage(f"{getattr(file, 'name', 'the file')} is not text in UTF-8") from None


def tags_of(texts: tuple[str, ...]) -> dict[str, str]:
    """Return tags that were given as KEY=VALUE."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise WrongUsage(f"a tag is KEY=VALUE, not {text!r}")
        found[key] = value
    return found


def tell(value: Any, text: str, *, as_json: bool) -> None:  # noqa: ANN401 - whatever the node answered.
    """Print *value* as JSON, or *text*."""
    if as_json:
        print_json(value)
    else:
        click.echo(text)


def print_principal(one: dict[str, Any]) -> None:
    """Print a user, group or role, a line for each thing that is known of it."""
    fields: list[tuple[str, Cell]] = []
    for name, value in one.items():
        if name == "created":
            fields.append((name, Moment(value)))
        elif isinstance(value, dict):
            fields += [("tag", f"{key}={text}") for key, text in value.items()]
        elif isinstance(value, list):
            fields += [(_singular(name), item) for item in value]
        elif isinstance(value, bool):
            fields.append((name.replace("_", " "), "yes" if value else "no"))
        elif value != "":
            fields.append((name.replace("_", " "), value))
    print_fields(fields)


def add_granting(group: click.Group, kind: str) -> None:
    """Add ``attach``, ``detach`` and the commands for policies of its own to the commands of a *kind*."""
    _add_attaching(group, kind)
    _add_own(group, kind)


def _add_attaching(group: click.Group, kind: str) -> None:
    @group.command(
        help=f"Attach a managed policy to a {kind}, by its name or ARN; `entrepot policy ls` shows all.",
        epilog=examples(
            f"entrepot {kind} attach ci {_READ_ONLY}",
            f"entrepot {kind} attach ci arn:aws:iam::111122223333:policy/deployers",
        ),
    )
    @click.argument("name")
    @click.argument("policy")
    @json_option
    @data_option
    def attach(name: str, policy: str, data: Path, as_json: bool) -> None:
        answer = node_at(data).call("PUT", f"{kind}s/{name}/attached/{policy}")
        tell(answer, f"{policy} is attached to the {kind} {name}.", as_json=as_json)

    @group.command(
        help=f"Detach a managed policy from a {kind}.", epilog=examples(f"entrepot {kind} detach ci {_READ_ONLY}")
    )
    @click.argument("name")
    @click.argument("policy")
    @json_option
    @data_option
    def detach(name: str, policy: str, data: Path, as_json: bool) -> None:
        answer = node_at(data).call("DELETE", f"{kind}s/{name}/attached/{policy}")
        tell(answer, f"{policy} is no longer attached to the {kind} {name}.", as_json=as_json)


def _add_own(group: click.Group, kind: str) -> None:
    @group.command(
        "put-policy",
        help=f"Give a {kind} a policy of its own, or replace it, by the document in FILE (- reads standard input).",
        epilog=examples(f"entrepot {kind} put-policy ci push-only push-only.json"),
    )
    @click.argument("name")
    @click.argument("policy")
    @click.argument("file", type=click.File("rb"))
    @json_option
    @data_option
    def put_policy(name: str, policy: str, file: BinaryIO, data: Path, as_json: bool) -> None:
        body = msgspec.json.encode({"document": read_document(file)})
        answer = node_at(data).call("PUT", f"{kind}s/{name}/policies/{policy}", body=body)
        tell(answer, f"The {kind} {name} has the policy {policy}.", as_json=as_json)

    @group.command(
        "show-policy",
        help=f"Print a policy of a {kind}'s own, as it was put.",
        epilog=examples(f"entrepot {kind} show-policy ci push-only > push-only.json"),
    )
    @click.argument("name")
    @click.argument("policy")
    @json_option
    @data_option
    def show_policy(name: str, policy: str, data: Path, as_json: bool) -> None:
        answer = node_at(data).get(f"{kind}s/{name}/policies/{policy}")
        tell(answer, answer["document"], as_json=as_json)

    @group.command(
        "rm-policy",
        help=f"Take a policy of a {kind}'s own away.",
        epilog=examples(f"entrepot {kind} rm-policy ci push-only"),
    )
    @click.argument("name")
    @click.argument("policy")
    @json_option
    @data_option
    def rm_policy(name: str, policy: str, data: Path, as_json: bool) -> None:
        answer = node_at(data).call("DELETE", f"{kind}s/{name}/policies/{policy}")
        tell(answer, f"The {kind} {name} has no policy {policy} any more.", as_json=as_json)


def _singular(name: str) -> str:
    return {"groups": "group", "keys": "key", "members": "member"}.get(name, name)
