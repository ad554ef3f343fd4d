"""Keys that can be destroyed: a small file for each, in ``DIR/keys``.

LMDB writes what changes to other pages and leaves the old ones as they were until they are used again, so a key in a
table would be found in its file long after its row has gone. Here a key that goes is overwritten in its place, and that
is on the disk before it counts as gone. (A disk or a file system that writes elsewhere, as flash and btrfs do, may keep
what it was told to overwrite: then a rotation of the master key makes what is left of no use.)

A file is the key as it is *wrapped* under another one, and the name of that one; it is bound to its own name. A new
one is on disk beside the old one before that is overwritten, and takes its name after that. Who reads takes whichever
is whole, so a node that is killed in between loses nothing.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from protocol.errors import Damaged, StoreReadOnly

_NEW = ".new"
_MAX = 4096  # Bytes of one.
KEY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,100}", re.ASCII)


class WrappedKey(msgspec.Struct, frozen=True, array_like=True):
    """What is in a file."""

    version: int  # 1
    under: str  # Name of the key under which it is wrapped.
    wrapped: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WrappedKey).decode


class KeyFiles:
    """The files in one folder. Every method blocks."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet; the folder is made with the first key."""
        self.folder = folder

    def names(self) -> list[str]:
        """Return the names of all keys."""
        try:
            return sorted({one.name.removesuffix(_NEW) for one in self.folder.iterdir()})
        except FileNotFoundError:
            return []

    def get(self, name: str) -> WrappedKey | None:
        """Return a key as it is wrapped, ``None`` where there is none.

        Raises:
            Damaged: there is a file, and neither it nor one beside it is whole.
        """
        found = False
        old = self.folder / name
        for path in (old, self.folder / (name + _NEW), old):  # Again: it may have been replaced between the two.
            try:
                data = path.read_bytes()[:_MAX]
            except FileNotFoundError:
                continue
            except OSError as error:
                raise Damaged(f"keys/{path.name} cannot be read: {error.strerror}") from error
            found = True
            with suppress(msgspec.DecodeError):
                return _decode(data)
        if found:
            raise Damaged(f"keys/{name} is no key")
        return None

    def put(self, name: str, key: WrappedKey) -> None:
        """Add or replace a key; it is on disk when this returns, and what it was before is not any more.

        Raises:
            StoreReadOnly: the disk does not take it.
        """
        path = self.folder / name
        beside = self.folder / (name + _NEW)
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(_encode(key))
                file.flush()
                os.fsync(file.fileno())
            self._sync()  # Before the old one goes.
            _overwrite(path)
            beside.replace(path)
            self._sync()
        except OSError as error:
            raise StoreReadOnly(f"keys cannot be written: {error.strerror}") from error

    def destroy(self, name: str) -> None:
        """Overwrite a key and remove it; nothing where it is gone.

        Raises:
            StoreReadOnly: the disk does not take it; try again.
        """
        try:
            for path in (self.folder / (name + _NEW), self.folder / name):
                if _overwrite(path):
                    path.unlink(missing_ok=True)
            if self.folder.exists():
                self._sync()
        except OSError as error:
            raise StoreReadOnly(f"keys cannot be written: {error.strerror}") from error

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield what is in each file, for a backup."""
        for name in self.names():
            key = self.get(name)
            if key is not None:
                yield name, _encode(key)

    def _sync(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _overwrite(path: Path) -> bool:
    """Fill a file with zeros in its place; whether there is one."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        os.pwrite(fd, bytes(os.fstat(fd).st_size), 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    return True
