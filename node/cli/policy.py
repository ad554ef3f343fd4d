"""``entrepot policy``: whether a policy document is one, what documents decide, and those that a node keeps."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from node.cli.failures import Refused, WrongUsage
from node.cli.granting import Aliased
from node.cli.options import data_option, examples, json_option
from node.cli.output import print_fields, print_json
from node.cli.policies import COMMANDS
from node.cli.target import Node, node_at
from protocol.auth.decision import Asked, Named, decide
from protocol.auth.policy import Kind, Policy, read_policy
from protocol.errors import PolicyInvalid

_MOST = 2**20  # Bytes of a document that are read.
_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group(
    cls=Aliased,
    epilog=examples(
        "entrepot policy check deployers.json",
        "entrepot policy put deployers deployers.json",
        "entrepot policy attach deployers --group developers",
    ),
)
def policy() -> None:
    """Policies: kept, attached, checked, and what they decide.

    Documents are those of IAM, as ECR has them. A managed policy is kept under a name and attached to users, groups
    and roles; policies that belong to one of them alone are put by `entrepot user put-policy` and the like.
    """


for _command in COMMANDS:
    policy.add_command(_command)


@policy.command(
    epilog=examples(
        "entrepot policy check pull-only.json",
        "entrepot policy check --kind repository shared.json --json",
    )
)
@click.argument("file", type=_file)
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    default=Kind.IDENTITY.value,
    show_default=True,
    help="Whose policy it is: a repository's and the registry's name principals, an identity's does not.",
)
@json_option
def check(file: Path, kind: str, as_json: bool) -> None:
    """Check one document; what is wrong is named with its place. Exit code 2: it is none."""
    read = _read(file, Kind(kind))
    if as_json:
        print_json({"valid": True, "statements": [statement.place for statement in read.statements]})
    else:
        click.echo(f"The policy is good: {len(read.statements)} statement{'s' * (len(read.statements) != 1)}.")


@policy.command(
    epilog=examples(
        "entrepot policy simulate --principal ana --action ecr:PutImage --resource team/app",
        "entrepot policy simulate --principal arn:aws:iam::111122223333:user/ana --action ecr:PutImage "
        "--resource team/app --policy identity=developers.json --policy repository=shared.json",
        "entrepot policy simulate --principal '*' --owner 111122223333 --action ecr:BatchGetImage "
        "--resource public/app --policy repository=public.json --key aws:SourceIp=203.0.113.9",
    )
)
@click.option("--principal", required=True, metavar="ARN", help="Who asks; '*' for somebody without credentials.")
@click.option("--action", required=True, help="Such as ecr:BatchGetImage.")
@click.option("--resource", default="*", show_default=True, help="A repository or an ARN; * for an action without one.")
@click.option("--owner", metavar="ACCOUNT", help="With --policy: account of the registry, else that of the principal.")
@click.option("--region", default="local", show_default=True, help="With --policy: of the registry, for ARNs.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="KIND=FILE",
    help="Ask no node, but this policy: identity=, repository=, registry= or session= and its file; repeatable.",
)
@click.option("--key", "keys", multiple=True, metavar="NAME=VALUE", help="A condition key of the request; repeatable.")
@json_option
@data_option
def simulate(
    *,
    principal: str,
    action: str,
    resource: str,
    policies: tuple[str, ...],
    keys: tuple[str, ...],
    data: Path,
    as_json: bool,
    **registry: str | None,
) -> None:
    """Say whether a request is allowed, by which document and statement. Exit code 5: it is denied.

    The node is asked, with all that is in force there; there --principal may be the name of a user, too. With --policy
    it is the given documents alone that decide, and no node is asked.
    """
    owner, region = registry["owner"], registry["region"]
    if not policies and owner is None:
        _ask(node_at(data), principal, action, resource, dict(_keys(keys)), as_json=as_json)
        return
    account = "" if principal == "*" else _account(principal)
    owning = owner or account
    if not owning:
        raise WrongUsage("name the account of the registry with --owner: the principal has none")
    where = resource if resource == "*" or resource.startswith("arn:") else _arn(region or "local", owning, resource)
    named = [_named(text) for text in policies]
    decision = decide(Asked(principal, account, action, where, owning, dict(_keys(keys))), named)
    if as_json:
        print_json({**msgspec.to_builtins(decision), "resource": where})
    else:
        fields = [("decision", "allowed" if decision.allowed else "denied"), ("why", decision.why.value)]
        fields += [("document", decision.document), ("statement", decision.statement)] if decision.document else []
        print_fields([*fields, ("resource", where)])
    if not decision.allowed:
        click.get_current_context().exit(Refused.exit_code)


def _ask(
    control: Node, principal: str, action: str, resource: str, keys: dict[str, tuple[str, ...]], *, as_json: bool
) -> None:
    """Ask the node, and print what it says."""
    asked = {"principal": principal, "action": action, "resource": resource, "keys": keys}
    found = control.call("POST", "policy-simulation", body=msgspec.json.encode(asked))
    if as_json:
        print_json(found)
    else:
        fields = [("decision", "allowed" if found["allowed"] else "denied"), ("why", found["why"])]
        fields += [(name, found[name]) for name in ("document", "statement", "resource", "message") if found[name]]
        print_fields([*fields, ("looked at", ", ".join(found["documents"]) or "no document")])
    if not found["allowed"]:
        click.get_current_context().exit(Refused.exit_code)


def _read(file: Path, kind: Kind) -> Policy:
    with file.open("rb") as opened:
        data = opened.read(_MOST + 1)
    if len(data) > _MOST:
        raise WrongUsage(f"{file}: a document of more than {_MOST} bytes")
    try:
        return read_policy(data, kind)
    except PolicyInvalid as error:
        raise WrongUsage(f"{file}: {error}") from error


def _named(text: str) -> Named:
    kind, equals, file = text.partition("=")
    if not equals or kind not in {one.value for one in Kind}:
        raise WrongUsage(f"--policy is KIND=FILE, such as identity=developers.json, not {text!r}")
    path = Path(file)
    if not path.is_file():
        raise WrongUsage(f"{file}: there is no such file")
    return Named(file, _read(path, Kind(kind)))


def _account(principal: str) -> str:
    parts = principal.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise WrongUsage("--principal is the ARN of a user, role or session, or '*'")
    return parts[4]


def _arn(region: str, account: str, name: str) -> str:
    return f"arn:aws:ecr:{region}:{account}:repository/{name}"


def _keys(texts: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise WrongUsage(f"--key is NAME=VALUE, such as aws:SourceIp=203.0.113.9, not {text!r}")
        found.setdefault(name.lower(), []).append(value)
    return ((name, tuple(values)) for name, values in found.items())
