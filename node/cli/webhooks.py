"""``entrepot webhook``: who is told of what happens."""

from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from node.cli.control import Control
from node.cli.failures import Failed
from node.cli.options import data_option, examples, json_option, read_whole
from node.cli.output import Cell, Moment, print_fields, print_json, print_rows
from protocol.events.event import KINDS
from protocol.events.webhook import FORMATS

_MAX_SECRET = 4096  # Bytes of a file that holds one.
_MAX_AUTHORITY = 256 * 1024  # As many as the node takes.


@click.group(epilog=examples("entrepot webhook put ci --url https://ci.example/hook", "entrepot webhook show ci"))
def webhook() -> None:
    """Webhooks: who is told of what happens."""


@webhook.command(
    epilog=examples(
        "entrepot webhook put ci --url https://ci.example/hook",
        "entrepot webhook put ci --url https://ci.example/hook --secret-file secret --events push,delete",
        "entrepot webhook put audit --url https://10.1.2.3/in --allow-address 10.1.2.3 --ca-file ca.pem",
        "entrepot webhook put dev --url http://127.0.0.1:9000/ --allow-http --allow-address 127.0.0.1",
    )
)
@click.argument("name")
@click.option("--url", required=True, help="Where events are posted. Redirects are not followed, no proxy is used.")
@click.option("--format", type=click.Choice(FORMATS), default="ecr", show_default=True, help="How.")
@click.option(
    "--events",
    metavar="KIND,...",
    multiple=True,
    default=["push,delete,replication,pull-through,storage"],
    show_default=True,
    help=f"Of what: {', '.join(KINDS)}.",
)
@click.option(
    "--repositories", multiple=True, metavar="NAME|PREFIX*,...", help="Of which repositories; without it of all."
)
@click.option("--secret-file", type=click.File("rb"), help="File of the secret that signs; - is standard input.")
@click.option(
    "--from", "start", metavar="POSITION|TIME|AGO", help="Begin there, and not with what happens from now on."
)
@click.option("--allow-http", is_flag=True, help="Take a URL with http://: what is told can be read on the way.")
@click.option(
    "--allow-address",
    "allow_addresses",
    multiple=True,
    metavar="ADDRESS|NETWORK",
    help="Connect to this though it is not public; repeatable.",
)
@click.option("--ca-file", type=click.File("rb"), help="PEM of who signed the receiver's certificate.")
@click.option("--timeout", type=float, metavar="SECONDS", help="For one delivery; 10 without it.")
@click.option("--attempts", type=int, metavar="N", help="Before an event that is refused (4xx) is set aside; else 12.")
@click.option("--hours", type=float, metavar="H", help="Before one that fails otherwise is set aside; else 72.")
@json_option
@data_option
def put(
    name: str,
    secret_file: BinaryIO | None,
    ca_file: BinaryIO | None,
    start: str | None,
    data: Path,
    as_json: bool,
    **document: Any,  # noqa: ANN401 - the rest of the options, named as the fields of the document.
) -> None:
    """Tell a URL of events, or change what it is told.

    Each event is posted until it is taken (2xx), in order for each repository, and signed. Without --secret-file a new
    webhook gets a secret that is shown this once; one that is changed keeps its secret and its place.
    """
    for field in ("events", "repositories", "allow_addresses"):
        document[field] = _split(document[field])
    document["authority"] = (
        "" if ca_file is None else read_whole(ca_file, limit=_MAX_AUTHORITY).decode("ascii", "replace")
    )
    asked = {
        "webhook": {key: value for key, value in document.items() if value is not None},
        "secret": _secret(secret_file),
        "from": start,
    }
    answer = Control(data).call("PUT", f"webhooks/{name}", body=msgspec.json.encode(asked))
    _print_put(answer, f"{name} is told of events.", as_json=as_json)


@webhook.command(epilog=examples("entrepot webhook ls", "entrepot webhook ls --json"))
@json_option
@data_option
def ls(data: Path, as_json: bool) -> None:
    """List the webhooks, and how far each is."""
    answer = Control(data).get("webhooks")
    if as_json:
        print_json(answer)
        return
    print_rows(
        ["NAME", "STATE", "URL", "EVENTS", "LAG", "ASIDE", "REASON"],
        [
            [
                [
                    one["name"],
                    one["state"],
                    one["webhook"]["url"],
                    ",".join(one["webhook"]["events"]),
                    one["lag_records"],
                    one["aside"],
                    one["reason"] if one["state"] == "failing" else "",
                ]
                for one in answer["webhooks"]
            ]
        ],
        empty="Nobody is told of events; `entrepot webhook put` says who is.",
    )


@webhook.command(epilog=examples("entrepot webhook show ci", "entrepot webhook show ci --json"))
@click.argument("name")
@json_option
@data_option
def show(name: str, data: Path, as_json: bool) -> None:
    """Show a webhook: how far it is, what went wrong last, and events that were set aside."""
    answer = Control(data).get(f"webhooks/{name}")
    if as_json:
        print_json(answer)
        return
    print_fields(_fields(answer["webhook"]))
    for one in answer["aside"]:
        what = " ".join(str(one[key]) for key in ("action", "repository", "tag", "digest") if one[key])
        print_fields(
            [("set aside", f"position {one['position']}: {what or '?'}: {one['reason']}, {one['tries']} tries")]
        )


@webhook.command(epilog=examples("entrepot webhook rm ci"))
@click.argument("name")
@json_option
@data_option
def rm(name: str, data: Path, as_json: bool) -> None:
    """Delete a webhook, its place and its secret."""
    _call(data, "DELETE", f"webhooks/{name}", {"deleted": name}, f"Deleted {name}", as_json=as_json)


@webhook.command(epilog=examples("entrepot webhook pause ci"))
@click.argument("name")
@json_option
@data_option
def pause(name: str, data: Path, as_json: bool) -> None:
    """Tell a webhook nothing until `resume`; it keeps its place."""
    _call(data, "POST", f"webhooks/{name}/pause", {"paused": name}, f"{name} is paused.", as_json=as_json)


@webhook.command(epilog=examples("entrepot webhook resume ci"))
@click.argument("name")
@json_option
@data_option
def resume(name: str, data: Path, as_json: bool) -> None:
    """Go on telling a webhook where it stopped; what fails is tried again at once."""
    _call(data, "POST", f"webhooks/{name}/resume", {"resumed": name}, f"{name} goes on.", as_json=as_json)


@webhook.command(epilog=examples("entrepot webhook clear ci"))
@click.argument("name")
@json_option
@data_option
def clear(name: str, data: Path, as_json: bool) -> None:
    """Forget the events that were set aside; `events replay` would tell them again instead."""
    answer = Control(data).call("POST", f"webhooks/{name}/clear")
    if as_json:
        print_json(answer)
    else:
        click.echo(f"Forgot {answer['cleared']} events.")


@webhook.command(
    epilog=examples("entrepot webhook rotate ci", "entrepot webhook rotate ci --secret-file new --keep-hours 1")
)
@click.argument("name")
@click.option("--secret-file", type=click.File("rb"), help="File of the new secret; without it one is made and shown.")
@click.option("--keep-hours", type=float, default=24.0, show_default=True, help="How long the old one signs too.")
@json_option
@data_option
def rotate(name: str, secret_file: BinaryIO | None, keep_hours: float, data: Path, as_json: bool) -> None:
    """Sign with a new secret, and with the old one beside it for a while."""
    asked = {"secret": _secret(secret_file), "keep_hours": keep_hours}
    answer = Control(data).call("POST", f"webhooks/{name}/rotate", body=msgspec.json.encode(asked))
    _print_put(answer, f"{name} has a new secret.", as_json=as_json)


@webhook.command(epilog=examples("entrepot webhook test ci"))
@click.argument("name")
@json_option
@data_option
def test(name: str, data: Path, as_json: bool) -> None:
    """Send a signed request that tells of nothing, and say what came back; 1 where it was not taken."""
    answer = Control(data).call("POST", f"webhooks/{name}/test")
    if as_json:
        print_json(answer)
    elif answer["taken"]:
        click.echo(f"{name} took it: status {answer['status']}.")
    if not answer["taken"]:
        said = f"\nIt said: {answer['text']}" if answer["text"].strip() else ""
        raise Failed(f"{name} did not take it: {answer['reason']}{said}")


def _call(data: Path, method: str, path: str, value: dict[str, str], text: str, *, as_json: bool) -> None:
    Control(data).call(method, path)
    if as_json:
        print_json(value)
    else:
        click.echo(text)


def _print_put(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    click.echo(text if answer["secret"] is None else f"{text} Its secret, shown this once:", err=bool(answer["secret"]))
    if answer["secret"]:
        click.echo(answer["secret"])


def _secret(file: BinaryIO | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read(_MAX_SECRET).decode()
    except UnicodeDecodeError:
        raise Failed("the secret is not text; write whsec_ and base64 of its bytes") from None


def _split(texts: tuple[str, ...]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _fields(shown: dict[str, Any]) -> list[tuple[str, Cell]]:
    hook = shown["webhook"]
    fields: list[tuple[str, Cell]] = [
        ("name", shown["name"]),
        ("state", shown["state"]),
        ("url", hook["url"]),
        ("format", hook["format"]),
        ("events", ",".join(hook["events"])),
        ("repositories", ",".join(hook["repositories"]) or "all"),
        ("addresses", ",".join(hook["allow_addresses"]) or None),
        *(("secret since", Moment(since)) for since in shown["secrets_since"]),
        ("position", shown["position"]),
        ("lag", f"{shown['lag_records']} records, {shown['lag_seconds']:.0f} s"),
        *(("behind", f"{repository} from position {place + 1}") for repository, place, *_ in shown["behind"]),
        ("delivered", shown["delivered"]),
        ("failed tries", shown["failed"]),
        ("last delivered", None if shown["last_delivered"] is None else Moment(shown["last_delivered"])),
        ("failing since", None if shown["failing_since"] is None else Moment(shown["failing_since"])),
        ("last failure", shown["reason"] or None),
        ("set aside", shown["aside"]),
    ]
    return [field for field in fields if field[1] is not None]
