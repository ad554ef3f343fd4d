"""``entrepot backup``: of a node that runs, through its control socket, or of the store of one that does not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from node.cli.control import Control
from node.cli.failures import NotFound, Refused
from node.cli.nodesource import NodeSource
from node.cli.options import Number, data_option, examples, json_option
from node.cli.output import Moment, Size, human_size, print_json, print_rows
from node.cli.progress import phases
from node.daemon.control import who_is
from node.peers.identity import identity_files, load_identity
from node.peers.vouching import authority_of, vouch
from node.registry.backup.archive import Archive, generations, open_archive
from node.registry.backup.destination import Destination, open_destination
from node.registry.backup.layout import Manifest
from node.registry.backup.run import back_up, keep_which
from node.registry.backup.source import Source, StoppedSource
from node.registry.backup.verify import verify_backup
from node.store.keyfiles import KeyFiles
from node.store.store import open_stopped
from protocol.errors import Damaged

_FIELDS = ("made", "registry", "node", "software", "position", "blobs", "bytes", "identity")


class _Backup(click.Group):
    """A group whose first argument is a directory unless it is the name of a command."""

    def list_commands(self, _ctx: click.Context) -> list[str]:  # type: ignore[explicit-override]  # 3.12 has it.
        """Return what is no directory."""
        return [name for name in self.commands if name != "make"]

    def get_command(  # type: ignore[explicit-override]  # 3.12 has it.
        self, _ctx: click.Context, cmd_name: str
    ) -> click.Command | None:
        """Return the command, of a directory ``make``."""
        return self.commands.get(cmd_name, self.commands["make"])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # type: ignore[explicit-override]  # 3.12 has it.
        """Put ``make`` before a directory, and before its options."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["make", *args]
        return super().parse_args(ctx, args)

    def format_options(  # type: ignore[explicit-override]  # 3.12 has it.
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Show the options of ``make`` as ours."""
        self.commands["make"].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(
    cls=_Backup,
    subcommand_metavar="DEST | COMMAND",
    epilog=examples(
        "entrepot backup /mnt/backup --data a",
        "entrepot backup /mnt/backup --keep 30 --rate 50    # at most 50 MiB/s, the last 30 stay",
        "entrepot backup ls /mnt/backup",
        "entrepot backup verify /mnt/backup",
        "entrepot restore /mnt/backup --data new",
    ),
)
def backup() -> None:
    """Back up a node, running or stopped.

    Each run adds a generation to the directory DEST: all that the node had at one moment. It writes only what no
    earlier one has, pulls and pushes go on meanwhile, and a run that was killed goes on where it was. What was damaged
    at the node is told (exit code 1), and all else is backed up. A directory named like a command is written ./verify.

    The node's keys are secrets and stay out of it without --with-identity.
    """


@backup.command(hidden=True)
@click.argument("dest", type=click.Path(path_type=Path, file_okay=False))
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Afterwards remove all but the last N generations.")
@click.option("--keep-days", type=Number(0), metavar="D", help="As --keep: also keep those of the last D days.")
@click.option(
    "--with-identity", is_flag=True, help="Also the node's keys: whoever reads the backup can then be the node."
)
@click.option("--rate", type=Number(0, min_open=True), metavar="MIB", help="MiB a second of blobs at most.")
@json_option
@data_option
@click.pass_context
def make(
    context: click.Context,
    dest: Path,
    data: Path,
    *,
    keep: int | None,
    keep_days: float | None,
    with_identity: bool,
    rate: float | None,
    as_json: bool,
) -> None:
    """Add a generation."""
    _require_apart(dest, data)
    with _source(data, (rate or 0) * 2**20) as source, open_destination(dest) as destination, phases(None) as progress:
        manifest = back_up(source, destination, identity=with_identity, progress=progress)
        removed, problem = _prune(destination, keep, keep_days)
        written = destination.written
    if as_json:
        print_json({**shown(manifest), "written": written, "removed": removed, "damaged": manifest.damaged})
    else:
        click.echo(
            f"Generation {manifest.generation} in {dest}: {manifest.blobs} blobs of {human_size(manifest.size)}, "
            f"record {manifest.position}; {human_size(written)} were new."
        )
        if removed:
            click.echo(f"Removed generation{'s' if len(removed) > 1 else ''} {', '.join(map(str, removed))}.")
    tell_damage(manifest)
    if problem:
        click.echo(f"entrepot: nothing was removed: {problem}; see `entrepot backup verify {dest}`", err=True)
    context.exit(1 if manifest.damaged or problem else 0)


def _prune(destination: Destination, last: int | None, days: float | None) -> tuple[list[int], str]:
    """Remove what is not to be kept; return what that was, and why nothing was where a generation cannot be read."""
    try:
        keep = keep_which(Archive(destination.root), last=last, days=days, now=time.time())
        return destination.prune(keep), ""
    except Damaged as damage:
        return [], str(damage)


@backup.command(epilog=examples("entrepot backup ls /mnt/backup", "entrepot backup ls /mnt/backup --json"))
@click.argument("dest", type=click.Path(path_type=Path, file_okay=False))
@json_option
def ls(dest: Path, *, as_json: bool) -> None:
    """List the generations of a backup."""
    archive = open_backup(dest)
    rows = [_listed(archive, number) for number in generations(dest)]
    if as_json:
        print_json({"generations": rows})
        return
    print_rows(
        ["GENERATION", "MADE", "REGISTRY", "NODE", "RECORD", "BLOBS", "SIZE", "KEYS", "DAMAGED"],
        [
            [
                [
                    row["generation"],
                    None if row["made"] is None else Moment(row["made"]),
                    row["registry"],
                    row["node"],
                    row["position"],
                    row["blobs"],
                    None if row["bytes"] is None else Size(row["bytes"]),
                    None if row["identity"] is None else "yes" if row["identity"] else "no",
                    row["wrong"] or str(len(row["damaged"])),
                ]
                for row in rows
            ]
        ],
    )


@backup.command(
    epilog=examples("entrepot backup verify /mnt/backup", "entrepot backup verify /mnt/backup --at 3 --json")
)
@click.argument("dest", type=click.Path(path_type=Path, file_okay=False))
@click.option("--at", "generation", type=click.IntRange(1), metavar="N", help="Only this generation.")
@json_option
@click.pass_context
def verify(context: click.Context, dest: Path, *, generation: int | None, as_json: bool) -> None:
    """Read all of a backup, and compare every byte.

    Needs no node. Exit code 1: something is not what the node wrote; each such thing has a line.
    """
    archive = open_backup(dest, generation)
    wrong: list[tuple[int, str]] = []
    with phases(None) as progress:
        good = verify_backup(
            archive, vouch, only=generation, tell=lambda one, what: wrong.append((one, what)), progress=progress
        )
    if as_json:
        trusted = [{**shown(one), "authority": _authority(one)} for one in good]
        print_json({"generations": trusted, "wrong": [{"generation": one, "what": what} for one, what in wrong]})
    else:
        print_rows(["GENERATION", "WHAT"], [wrong] if wrong else [], empty="All of it is as it was written.")
        for authority in sorted({_authority(one) for one in good}):
            click.echo(f"signed under the authority {authority}: compare it with `entrepot authority show`", err=True)
        if wrong:
            click.echo("Remove the files that are named, and run the backup again: it writes them anew.", err=True)
    context.exit(1 if wrong else 0)


@contextmanager
def _source(data: Path, rate: float) -> Iterator[Source]:
    if Control(data).running():
        source = NodeSource(data, rate=rate)
        try:
            yield source
        finally:
            source.close()
        return
    if not (data / "FORMAT").exists():
        raise NotFound(f"there is no store in {data}; name the data directory of a node with --data")
    identity = load_identity(data)
    with open_stopped(data) as store:
        files = KeyFiles(data / "keys")
        own = partial(identity_files, identity)
        yield StoppedSource(store, who_is(identity), time.time(), identity.sign, own, files)


def _require_apart(dest: Path, data: Path) -> None:
    """Refuse a backup within what it is to outlive."""
    if dest.resolve().is_relative_to(data.resolve()):
        raise Refused(f"{dest} is in the node's own directory {data}, and would be lost with it; name another place")


def open_backup(dest: Path, generation: int | None = None) -> Archive:
    """Return the backup in *dest*, or say that there is none, or no such generation."""
    archive = open_archive(dest)
    if generation is not None and generation not in generations(dest):
        raise NotFound(f"there is no generation {generation} in {dest}: see `entrepot backup ls {dest}`")
    return archive


def _listed(archive: Archive, generation: int) -> dict[str, Any]:
    try:
        manifest = archive.manifest(generation)
    except Damaged as damage:
        return {**dict.fromkeys(_FIELDS), "generation": generation, "damaged": [], "wrong": str(damage)}
    return {**shown(manifest), "damaged": manifest.damaged, "wrong": ""}


def shown(manifest: Manifest) -> dict[str, Any]:
    """Return what is printed of a generation."""
    return {
        "generation": manifest.generation,
        "made": manifest.made,
        "registry": manifest.registry,
        "node": manifest.node,
        "software": manifest.software,
        "position": manifest.position,
        "blobs": manifest.blobs,
        "bytes": manifest.size,
        "identity": bool(manifest.identity),
    }


def _authority(manifest: Manifest) -> str:
    return authority_of(manifest.certificates[manifest.node]).fingerprint.hex()


def tell_damage(manifest: Manifest) -> None:
    """Say on standard error what is not in a generation."""
    for one in manifest.damaged:
        click.echo(
            f"entrepot: damaged at the node, and not in the backup: {one.kind} {one.place}: {one.what}", err=True
        )
        click.echo(f"entrepot: {one.remedy}", err=True)
