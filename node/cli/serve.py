"""``entrepot serve``."""

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from node.cli.failures import Failed, WrongUsage
from node.cli.options import data_flag, examples, json_option
from node.config.load import ConfigInvalid, load
from node.daemon.main import Announce
from node.daemon.main import main as run_node
from node.registry.identity.first import Administrator
from protocol.errors import EntrepotError

KEYS = {
    "data": "node.data",
    "listen": "listen.address",
    "peer_listen": "listen.peer",
    "advertise": "listen.advertise",
    "tls_cert": "listen.tls_certificate",
    "tls_key": "listen.tls_key",
    "allow_open_network": "listen.allow_open_network",
    "allow_plain_network": "listen.allow_plain_network",
    "auth": "auth.mode",
}
"""Flag -> key of the configuration."""


@click.command(
    epilog=examples(
        "entrepot serve",
        "entrepot serve --data a --listen 127.0.0.1:5001 --peer-listen 127.0.0.1:6001",
        "entrepot serve --config /etc/entrepot.toml",
        "entrepot serve --listen 0.0.0.0:443 --tls-cert server.pem --tls-key server.key",
        "entrepot serve --auth required",
    )
)
@click.option("--config", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="TOML file.")
@data_flag
@click.option("--listen", multiple=True, metavar="HOST:PORT", help="For clients; repeated for several addresses.")
@click.option("--peer-listen", metavar="HOST:PORT", help="For other nodes; without it none can dial this one.")
@click.option("--advertise", metavar="HOST:PORT", help="Where other nodes reach --peer-listen from outside.")
@click.option("--tls-cert", metavar="F", help="Certificate chain for clients, PEM.")
@click.option("--tls-key", metavar="F", help="Its key, PEM.")
@click.option("--auth", type=click.Choice(["auto", "open", "required"]), help="Whether callers have to log in.")
@click.option("--allow-open-network", is_flag=True, help="Listen off loopback and let everyone there do everything.")
@click.option("--allow-plain-network", is_flag=True, help="Take passwords off loopback without TLS (behind a proxy).")
@click.option("--hints/--no-hints", default=None, help="Print how to push and pull; on a terminal that is the default.")
@json_option
def serve(file: Path | None, hints: bool | None, as_json: bool, **flags: object) -> None:
    """Start a node.

    Runs until it gets SIGTERM or SIGINT, and then lets requests in flight finish; a second one cuts them. SIGHUP and
    `entrepot reload` take over a changed file and certificate. Flags win over the environment
    (ENTREPOT_LISTEN__ADDRESS=...), that over the file; `entrepot config schema` names every key. An empty data
    directory on a loopback address initializes itself, for a node without peers.

    Where callers have to log in, the first start makes the user admin and prints its access key, this once; where
    standard output is a journal or a container's log it makes no key, and `entrepot key create admin` does.

    With --json one line of JSON says where the node listens, once it does, and who was made.
    """
    overrides = {KEYS[name]: value for name, value in flags.items() if value not in {None, (), False}}
    try:
        code = run_node(
            partial(load, file, os.environ, overrides),
            announce=_announcement(as_json=as_json, hints=hints),
            shows_secrets=not is_kept(os.environ),
        )
    except ConfigInvalid as error:
        raise WrongUsage(str(error)) from error
    except (OSError, ExceptionGroup) as error:
        raise _expected(error) from error
    sys.exit(code)


_REMEDIES = {
    errno.EADDRINUSE: "; stop what listens there, or choose another address",
    errno.EADDRNOTAVAIL: "; no network interface of this machine has that address",
}


def _announcement(*, as_json: bool, hints: bool | None) -> Announce:
    def announce(addresses: Sequence[str], administrator: Administrator | None) -> None:
        try:
            if as_json:
                click.echo(msgspec.json.encode(announced(addresses, administrator)))
                return
            if administrator is not None:
                click.echo(_presented(administrator, addresses[0]))
            if sys.stdout.isatty() if hints is None else hints:
                click.echo(how_to_use(addresses[0]))
        except OSError:  # Nobody reads it, or the disk is full: no reason not to serve.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    return announce


def announced(addresses: Sequence[str], administrator: Administrator | None) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    if administrator is None:
        return {"addresses": addresses}
    key = administrator.key
    shown = None if key is None else {"id": key.key.id, "secret": key.secret.value.decode()}
    return {"addresses": addresses, "administrator": {"user": administrator.name, "key": shown}}


def _presented(administrator: Administrator, address: str) -> str:
    name = administrator.name
    if administrator.key is None:
        return f"The user {name} was made, who may do everything. Its access key: entrepot key create {name}"
    secret = administrator.key.secret.value.decode()
    return f"""The user {name} was made, who may do everything. Its access key, shown this once:

  AWS_ACCESS_KEY_ID={administrator.key.key.id}
  AWS_SECRET_ACCESS_KEY={secret}

  docker login {address} -u {administrator.key.key.id}

Who loses it makes another one on this machine: entrepot key create {name}
"""


def is_kept(environ: Mapping[str, str]) -> bool:
    """Whether standard output is a log that others keep (the journal of systemd, or that of a container), or closed.

    Source: systemd.exec(5), ``JOURNAL_STREAM``.
    """
    if sys.__stdout__ is None:
        return True
    if sys.stdout.isatty():
        return False
    if os.getpid() == 1:
        return True
    try:
        found = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _expected(error: Exception) -> Exception:
    """Return what ended the start, out of the groups of the nurseries that it came through; a bug stays as it is."""
    cause: Exception = error
    while isinstance(cause, ExceptionGroup) and len(cause.exceptions) == 1:
        cause = cause.exceptions[0]
    if isinstance(cause, OSError):
        place = f": {cause.filename}" if cause.filename else ""
        remedy = _REMEDIES.get(cause.errno or 0, "")
        return Failed(f"{cause.strerror or cause}{place}{remedy}")
    return cause if isinstance(cause, EntrepotError) else error


def how_to_use(address: str) -> str:
    """Return the lines with which an image is pushed and pulled at *address*."""
    return f"""Listening on {address}. Push and pull an image:

  docker tag IMAGE {address}/IMAGE && docker push {address}/IMAGE
  docker pull {address}/IMAGE

  skopeo copy --dest-tls-verify=false docker://docker.io/library/busybox docker://{address}/library/busybox
  skopeo inspect --tls-verify=false docker://{address}/library/busybox

Stop it with Ctrl-C."""
