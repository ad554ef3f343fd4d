"""The version of what lies in a data directory: ``DIR/FORMAT``, and the way from each version to the next.

    entrepot 3                  a whole store of version 3
    entrepot 2 to 3             one that is being brought from version 2 to 3
    entrepot restoring ...      one that is being restored from a backup

Any other text is refused, by this version and by all before it: they would misread what lies beside it. So a store
that is being changed is no store to anyone but who changes it.

An *upgrade* brings the store from one version to the next, and runs under the lock at the start of a node, before
anything is opened. ``FORMAT`` says that it runs before it begins, and the new version after all of it is on disk; where
it was killed it runs again from its beginning, so it has to bear that: it looks at what it finds and changes what is
still old. There is no way back but a backup from before.

A change on disk needs an upgrade where this version would misread what an older one wrote, or the older one what this
one writes: rows of another shape, keys in another order. A new table, or a new last field with a default, needs none.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import structlog

from node.store.lock import held
from protocol.errors import Damaged, NotReady

Tell: TypeAlias = Callable[[int], None]
"""``tell(rows)``: so many rows more were looked at."""

Upgrade: TypeAlias = Callable[[Path, Tell], None]
"""``upgrade(directory, tell)``: brings a store to the next version; durable when it returns. Blocks."""

VERSION = 3
FORMAT = f"entrepot {VERSION}\n"
"""What the file ``FORMAT`` of a whole store says."""


def _to_2(_path: Path, _tell: Tell) -> None:
    """Nothing has to be changed: of version 2 are stores in which a deleted repository's rows wait to be buried.

    Version 1 would show them under the name of the next repository that is called so.
    """


def _to_3(_path: Path, _tell: Tell) -> None:
    """Nothing has to be changed: of version 3 are stores in which copies of blobs may lie sealed.

    Version 2 would take what names one for a digest, and sealed bytes for damage.
    """


UPGRADES: Mapping[int, Upgrade] = {1: _to_2, 2: _to_3}
"""From version -> what brings a store to the next one."""

_KNOWN = re.compile(r"entrepot ([1-9][0-9]{0,5})(?: to ([1-9][0-9]{0,5}))?\n", re.ASCII)
_RESTORING = "entrepot restoring"
_SHARED = frozenset({"identity", "lock", "lost+found", "FORMAT", "FORMAT.new", "control.sock"})
"""What may lie in a directory that a store is restored into."""


def require_whole(path: Path) -> None:
    """Raise ``NotReady`` where a restore into *path* did not come to its end; says nothing of versions."""
    if _found(path).startswith(_RESTORING):
        raise NotReady(
            f"a restore into {path} did not come to its end: run `entrepot restore` again as before, or empty it"
        )


def require_current(path: Path) -> None:
    """Raise ``NotReady`` where what lies in *path* is not a whole store of this version."""
    require_whole(path)
    if not (path / "FORMAT").exists():
        raise NotReady(f"there is no store in {path}")
    found = _found(path)
    if found != FORMAT:
        version, _ = _parsed(path, found, VERSION)
        raise NotReady(f"{path} is in format {version}: start the node once, which brings it to format {VERSION}")


def prepare(path: Path, *, version: int = VERSION, upgrades: Mapping[int, Upgrade] = UPGRADES) -> None:
    """Make *path* ready to be opened in *version*: say so where it is empty, run upgrades where it is older.

    The lock is held by the caller.

    Raises:
        NotReady: it is of a version that is not known here, half restored, or has no ``FORMAT`` beside a store.
        Damaged: an upgrade cannot make sense of what it finds; nothing says that it is done.
    """
    require_whole(path)
    _require_ours(path)
    if not (path / "FORMAT").exists():
        if (path / "meta").exists():
            raise NotReady(f"{path} has a store without a FORMAT file; restore it from a backup")
        _write(path, f"entrepot {version}\n")
        return
    have, _ = _parsed(path, _found(path), version)
    while have < version:
        upgrade = upgrades.get(have)
        if upgrade is None:
            raise NotReady(f"{path} is in format {have}, from which this version knows no way to {version}")
        _run(path, have, upgrade)
        have += 1


def _require_ours(path: Path) -> None:
    """Raise ``NotReady`` where the store is another user's: root could write it, and then its own node could not."""
    for name in ("FORMAT", "meta/data.mdb"):
        file = path / name
        owner = file.stat().st_uid if file.exists() else os.geteuid()
        if owner != os.geteuid():
            raise NotReady(
                f"{file} belongs to user {owner}, and this is user {os.geteuid()}: run the node as user {owner}, or "
                f"give it the files (chown -R {os.geteuid()} {path})"
            )


def _run(path: Path, have: int, upgrade: Upgrade) -> None:
    log, rows = structlog.get_logger(), 0
    log.info("upgrading the store", path=str(path), format=have, to=have + 1)
    _write(path, f"entrepot {have} to {have + 1}\n")

    def tell(more: int) -> None:
        nonlocal rows
        if (rows + more) // 100_000 > rows // 100_000:
            log.info("upgrading the store", rows=rows + more)
        rows += more

    try:
        upgrade(path, tell)
    except Damaged as damage:
        raise Damaged(
            f"the store in {path} could not be brought from format {have} to {have + 1}: {damage}; "
            "restore a backup, or start the version before"
        ) from damage
    _write(path, f"entrepot {have + 1}\n")
    log.info("upgraded the store", path=str(path), format=have + 1, rows=rows)


@contextmanager
def new_store(path: Path, what: str) -> Iterator[None]:
    """Hold *path*, for a store that is made in it by other means than by starting a node.

    The block fills ``meta`` and ``chunks`` and ends with ``finish_new_store``; where it raises nothing of them is left.

    Args:
        path: the directory, made where it is missing. It holds no store, and nothing that is not ours.
        what: is going on, for whoever reads ``FORMAT``.

    Raises:
        NotReady: there is a store already, or something else.
    """
    made = not path.exists()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NotReady(f"cannot make {path}: {error.strerror}") from error
    with ExitStack() as stack:
        if made:
            stack.callback(_remove_empty, path)
        stack.enter_context(held(path))
        found = _found(path)
        again = found.startswith(_RESTORING)
        if found and not again:
            raise NotReady(f"there is a store in {path} already: name an empty or absent directory")
        others = {one.name for one in path.iterdir()} - _SHARED - ({"meta", "chunks", "keys"} if again else set())
        if others:
            raise NotReady(f"{path} is not empty ({min(others)}): name an empty or absent directory")
        _write(path, f"{_RESTORING}: {what}\n")
        try:
            _clear(path)
            for name in ("meta", "chunks"):
                (path / name).mkdir(mode=0o700)
            yield
        finally:
            if _found(path).startswith(_RESTORING):
                _clear(path)
                (path / "FORMAT").unlink()
                (path / "lock").unlink(missing_ok=True)


def _remove_empty(path: Path) -> None:
    if not any(path.iterdir()):
        path.rmdir()


def finish_new_store(path: Path) -> None:
    """Say that the store which was made in *path* is whole; everything of it is on disk."""
    for name in ("meta", "chunks"):
        sync_folder(path / name)
    _write(path, FORMAT)


def _clear(path: Path) -> None:
    for name in ("meta", "chunks", "keys"):
        shutil.rmtree(path / name, ignore_errors=True)


def _found(path: Path) -> str:
    file = path / "FORMAT"
    try:
        return file.read_bytes()[:1000].decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise NotReady(f"{file} cannot be read: {error.strerror}; run this as the user of the node") from error


def _parsed(path: Path, found: str, newest: int) -> tuple[int, bool]:
    """Return the version that a store has, and whether an upgrade from it was begun."""
    match = _KNOWN.fullmatch(found)
    have = int(match[1]) if match else 0
    begun = bool(match and match[2])
    if not match or have > newest or (begun and (int(match[2]) != have + 1 or have == newest)):
        raise NotReady(
            f"{path} is in format {found.strip()[:80]!r}, and this version reads 'entrepot {newest}': run the version "
            "that wrote it, or restore a backup from before"
        )
    return have, begun


def _write(path: Path, text: str) -> None:
    partial = path / "FORMAT.new"
    try:
        with partial.open("w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        partial.rename(path / "FORMAT")
        sync_folder(path)
    except OSError as error:
        raise NotReady(f"cannot write to {path}: {error.strerror}; give the node a directory of its own") from error


def sync_folder(path: Path) -> None:
    """Make what was made, renamed and removed in *path* durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
