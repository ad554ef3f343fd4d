"""``entrepot restore``: a data directory made of a backup."""

import time
from pathlib import Path

import click

from node.cli.backup import open_backup, shown, tell_damage
from node.cli.failures import Failed, Refused
from node.cli.options import data_option, examples, json_option
from node.cli.output import print_fields, print_json
from node.cli.progress import phases
from node.peers.identity import (
    add_local_identity,
    has_identity,
    load_identity,
    renew_incarnation,
    restore_identity,
)
from node.peers.vouching import authority_of, vouch
from node.registry.backup.archive import Archive, generations
from node.registry.backup.layout import Manifest
from node.registry.backup.restore import Generation, restore_store
from protocol.auth.names import LOCAL_ACCOUNT
from protocol.errors import Damaged


@click.command(
    epilog=examples(
        "entrepot restore /mnt/backup --data new",
        "entrepot restore /mnt/backup --data new --at 12",
        "entrepot join TOKEN --data new && entrepot restore /mnt/backup --data new    # without the old node's keys",
    )
)
@click.argument("source", type=click.Path(path_type=Path, file_okay=False))
@click.option("--at", "generation", type=click.IntRange(1), metavar="N", help="This generation; without it the last.")
@click.option(
    "--authority", metavar="FINGERPRINT", help="What `entrepot authority show` says of the account; another is refused."
)
@json_option
@data_option
@click.pass_context
def restore(
    context: click.Context, source: Path, data: Path, *, generation: int | None, authority: str | None, as_json: bool
) -> None:
    """Make a data directory out of a backup.

    The directory is empty or absent, or has nothing but the identity of a node of the same registry, from `init` or
    `join`, which a backup without keys needs. Everything is verified before it counts: a backup that was changed is
    refused, and nothing is left behind. The node begins a new incarnation, so that no number is given twice.

    Exit code 1 also where all went well but something was damaged at the node already when the backup was made.
    """
    archive = open_backup(source, generation)
    if data.resolve().is_relative_to(source.resolve()):
        raise Refused(f"{data} is in the backup {source}; give the node a directory of its own")
    number = generations(source)[-1] if generation is None else generation
    try:
        manifest, verify = archive.trusted(number, vouch)
        _require_authority(manifest, data, authority)
        with phases(manifest.size) as progress:
            restore_store(
                Generation(archive, manifest, verify),
                data,
                now=time.time(),
                settle=lambda: _settle(archive, manifest, data),
                progress=progress,
            )
    except Damaged as damage:
        raise Failed(
            f"generation {number} of {source} is refused: {damage}; nothing was left in {data}. "
            "`entrepot backup verify` lists what is wrong; another generation may be whole (--at)"
        ) from damage
    node = load_identity(data).name.node
    if as_json:
        print_json({**shown(manifest), "node": node, "damaged": manifest.damaged})
    else:
        print_fields([("registry", manifest.registry), ("node", node), ("generation", number), ("data", str(data))])
        click.echo(f"Start it: entrepot serve --data {data}", err=True)
    tell_damage(manifest)
    context.exit(1 if manifest.damaged else 0)


def _require_authority(manifest: Manifest, data: Path, wanted: str | None) -> None:
    """Refuse a backup that is not of the registry, or under the authority, that is expected."""
    theirs = authority_of(manifest.certificates[manifest.node]).fingerprint.hex()
    if wanted and wanted.lower().replace(":", "") != theirs:
        raise Damaged(f"it is signed under the authority {theirs}")
    if has_identity(data):
        identity = load_identity(data)
        if str(identity.registry) != manifest.registry:
            raise Failed(f"{data} has a node of {identity.registry}, and the backup is one of {manifest.registry}")
        ours = identity.authority.fingerprint.hex()
        if not wanted and ours != theirs and not identity.is_local:  # Each of those has an authority of its own.
            raise Damaged(
                f"it is signed under the authority {theirs}, and the node in {data} has {ours}; if that is right, as "
                "after the loss of an authority, say so with --authority"
            )
    elif not manifest.identity and manifest.registry.partition("/")[0] != LOCAL_ACCOUNT:
        account, _, region = manifest.registry.partition("/")
        raise Failed(
            f"the backup has no keys: make a node of {manifest.registry} in {data} first, and restore into it. With a "
            f"token from `entrepot invite --region {region}` on another node of the account: entrepot join TOKEN "
            f"--data {data}; where none is left: entrepot init --data {data} --account {account} --region {region}"
        )


def _settle(archive: Archive, manifest: Manifest, data: Path) -> None:
    """Give the new store its node: the one that is there, the one in the backup, or, of a registry alone, a new one."""
    if not has_identity(data):
        if manifest.identity:
            files = {name.decode(): content for name, content in archive.segment("identity", manifest.identity)}
            restore_identity(data, files)
        else:
            add_local_identity(data, now=time.time())
    renew_incarnation(data, above=int.from_bytes(manifest.incarnation[:8], "big"))
