"""Whether a backup is what its nodes wrote: every byte of every generation, without a node."""

from collections.abc import Callable

from node.registry.backup.archive import Archive, Vouch, blob_rows, generations, verified_records
from node.registry.backup.layout import Manifest, Progress, file_of, kind_of
from node.store.copies import domain_of_copy, unpacked_copy
from protocol.errors import Damaged
from protocol.oci.digest import algorithm, digest_of

Tell = Callable[[int, str], None]
"""``tell(generation, what)``: told of everything that is wrong."""


def verify_backup(
    archive: Archive, vouch: Vouch, *, only: int | None, tell: Tell, progress: Progress
) -> list[Manifest]:
    """Read all of a backup; return the manifests that can be trusted.

    What generations share is read once.

    Args:
        archive: the backup.
        vouch: says whose keys are whose.
        only: one generation; ``None`` for all.
        tell: told what is wrong.
        progress: told what was done.
    """
    good: list[Manifest] = []
    seen: set[bytes] = set()
    for generation in generations(archive.root) if only is None else [only]:
        try:
            manifest, verify = archive.trusted(generation, vouch)
            for _ in verified_records(archive, manifest, verify):
                progress("journal", 1)
        except Damaged as damage:
            tell(generation, str(damage))
            continue
        good.append(manifest)
        _verify_tables(archive, manifest, seen, tell, progress)
        _verify_contents(archive, manifest, seen, tell, progress)
        _verify_blobs(archive, manifest, seen, tell, progress)
    return good


def _verify_tables(archive: Archive, manifest: Manifest, seen: set[bytes], tell: Tell, progress: Progress) -> None:
    for table, parts in manifest.tables.items():
        for part in parts:
            if part.name in seen:
                continue
            seen.add(part.name)
            try:
                rows = archive.segment(kind_of(table), part.name)
                if not rows or rows[0][0] != part.first:
                    tell(manifest.generation, f"a segment of {table} begins with another row")
                progress(table, len(rows))
            except Damaged as damage:
                tell(manifest.generation, str(damage))
    if manifest.identity and manifest.identity not in seen:
        seen.add(manifest.identity)
        try:
            archive.segment("identity", manifest.identity)
        except Damaged as damage:
            tell(manifest.generation, str(damage))


def _verify_contents(archive: Archive, manifest: Manifest, seen: set[bytes], tell: Tell, progress: Progress) -> None:
    for name in manifest.contents:
        if name in seen:
            continue
        seen.add(name)
        try:
            rows = archive.segment("contents", name)
            for short, content in rows:
                digest = unpacked_copy(short)
                if domain_of_copy(digest):
                    continue  # It is sealed: the name of the segment says that it is what the node had.
                if digest_of(content, algorithm(digest)) != digest:
                    tell(manifest.generation, f"blob {digest} has other bytes than were written")
            progress("contents", len(rows))
        except Damaged as damage:
            tell(manifest.generation, str(damage))


def _verify_blobs(archive: Archive, manifest: Manifest, seen: set[bytes], tell: Tell, progress: Progress) -> None:
    contents = set(manifest.contents)
    try:
        for short, place in blob_rows(archive, manifest):
            if place.segment and place.segment not in contents:
                tell(manifest.generation, f"blob {unpacked_copy(short)} is in a segment without a name")
            elif not place.segment and short + place.file not in seen:
                seen.add(short + place.file)
                try:
                    for data in archive.blob(*file_of(short, place)):
                        progress("blobs", len(data))
                except Damaged as damage:
                    tell(manifest.generation, str(damage))
    except Damaged:
        return  # Told of the segments.
