"""``entrepot check``: whether a store is as it has to be, of a node that runs or of one that does not."""

import secrets
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from cryptography.exceptions import InvalidSignature
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from node.cli.control import Control
from node.cli.failures import NotFound
from node.cli.options import data_option, examples, json_option
from node.cli.output import print_json, print_rows
from node.peers.identity import Identity, load_identity
from node.registry.check.findings import Checked
from node.registry.check.store import check_store, rows_of
from node.registry.check.walk import KeyOf, Own, no_key
from node.registry.keyring import Keyring
from node.registry.sealing import key_finder
from node.store.keyfiles import KeyFiles
from node.store.store import StoppedStore, open_stopped
from protocol.sync.record import Record

_LOOK = 0.5  # Seconds between two looks at how far a running node is.
_HEADINGS = ("KIND", "PLACE", "WHAT", "WHAT TO DO")


@click.command(
    epilog=examples(
        "entrepot check --data a",
        "entrepot check --data a --deep    # read every byte, too",
        "entrepot check --data a --json",
    )
)
@click.option("--deep", is_flag=True, help="Read and hash every blob, and verify every record.")
@json_option
@data_option
@click.pass_context
def check(context: click.Context, data: Path, *, deep: bool, as_json: bool) -> None:
    """Prove that a store is as it has to be.

    Counts, links, indexes, chunk maps, the journal and the fingerprints are worked out again and compared. Nothing is
    written. A node that runs does it beside its work, with pauses; one that does not cannot start meanwhile. Exit code
    1: something is wrong. Each finding has a line; notes are no faults.
    """
    control = Control(data)
    checked = _of_running(control, deep=deep) if control.running() else _of_stopped(data, deep=deep)
    if as_json:
        print_json(checked)
    else:
        _print(checked)
    context.exit(1 if checked.faults else 0)


def _of_running(control: Control, *, deep: bool) -> Checked:
    """Have the node check itself; look at how far it is meanwhile."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        ThreadPoolExecutor(1) as pool,
        Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown,
    ):
        asked = pool.submit(control.call, "POST", "check", query={"deep": int(deep)}, patience=None)
        task = shown.add_task("", total=None)
        while not wait([asked], timeout=_LOOK).done:
            progress = control.get("check") if sys.stderr.isatty() else None
            if progress is not None:
                shown.update(task, total=progress["total"], completed=progress["done"], description=progress["table"])
        return msgspec.convert(asked.result(), Checked)


def _of_stopped(data: Path, *, deep: bool) -> Checked:
    if not (data / "FORMAT").exists():
        raise NotFound(f"there is no store in {data}; name the data directory of a node with --data")
    identity = load_identity(data)
    with open_stopped(data) as store, _progress(store) as progress:
        keyring = Keyring(KeyFiles(data / "keys"), identity.master_keys, secrets.token_bytes)
        own = own_of(identity, key_finder(store.meta, keyring))
        return check_store(store, own, deep=deep, progress=progress)


def own_of(identity: Identity, key_of: KeyOf = no_key) -> Own:
    """Return as whom a stopped node wrote its records, and how what is sealed is opened."""
    key = identity.key.public_key()

    def verify(_record: Record, message: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return Own(str(identity.registry), identity.name.node, verify, key_of)


@contextmanager
def _progress(store: StoppedStore) -> Iterator[Callable[[str, int], None]]:
    """Show on standard error, where that is a terminal, how many rows were looked at."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as shown:
        task = shown.add_task("", total=rows_of(store))

        def tell(table: str, rows: int) -> None:
            shown.update(task, advance=0 if table == "bytes" else rows, description=table)

        yield tell


def _print(checked: Checked) -> None:
    rows = [(one.kind, one.place, one.what, one.remedy) for one in checked.findings]
    print_rows(_HEADINGS, [rows] if rows else [])
    if sys.stdout.isatty():
        total = sum(count for table, count in checked.counts.items() if table != "bytes")
        notes = len(checked.findings) - checked.faults
        click.echo(f"rows and chunks: {total}, faults: {checked.faults or 'none'}, notes: {notes or 'none'}")
