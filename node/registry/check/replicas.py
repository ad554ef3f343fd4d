"""What is wanted at destinations, uploads and documents: rows that stand for themselves."""

from node.registry.check.places import is_short
from node.registry.check.walk import Walk
from node.store.replicas import open_key
from node.store.uploads import UploadRow
from protocol.blobs.sealing import SEAL
from protocol.errors import DigestInvalid
from protocol.oci.digest import algorithm_name


def walk_replicas(walk: Walk) -> None:
    """Compare the rows that are not done with those that say so."""
    replicas, tally = walk.meta.replicas, walk.tallies["replication-open"]
    for key, row in walk.rows(replicas.statuses, "replication-open"):
        destination, _, image = key.partition(b"\0")
        if not is_short(image, 8):
            walk.malformed("replication-status", key)
            continue
        if row.status != "COMPLETE":
            tally.expect(open_key(destination.decode("ascii", "replace"), row.wanted, image))
        elif row.done < row.wanted:
            place = f"{walk.names.image(image)} at {destination.decode('ascii', 'replace')}"
            walk.tell("row", place, f"is complete, and done up to {row.done} of {row.wanted}")
    for key in walk.keys(replicas.open):
        tally.find(key)
    for key, clock in walk.values(replicas.taken_at):
        if key.count(b"\0") != 2 or len(clock) != 8:
            walk.malformed("replication-taken", key)


def walk_uploads(walk: Walk) -> None:
    """Look at each upload by itself; ``chunks`` looks for what it has."""
    for key, row in walk.rows(walk.meta.uploads.rows):
        if len(key) != 16:
            walk.malformed("uploads", key)
        elif not _is_consistent(row):
            walk.tell("upload", f"upload {key.hex()}", f"has {row.size} bytes and number {row.number}")


def walk_notes(walk: Walk) -> None:
    """Look at what is noted of each image by itself: nothing follows from it."""
    for key, _ in walk.rows(walk.meta.notes.rows):
        if not is_short(key, key.find(b"\0") + 1):
            walk.malformed("image-notes", key)


def walk_documents(walk: Walk) -> None:
    """Read each document, and the list of what is known to be damaged: the damage itself is told where it is."""
    for _ in walk.values(walk.meta.documents.rows):
        pass
    for _ in walk.rows(walk.meta.damages.rows):
        pass


def _is_consistent(row: UploadRow) -> bool:
    try:
        algorithm_name(row.algorithm)
    except DigestInvalid:
        return False
    more = SEAL if row.key else 0
    return not row.inline if row.number else len(row.inline) == row.size + more
