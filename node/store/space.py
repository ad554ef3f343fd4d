"""How much room there is to write; asked of the file system and of the files, for LMDB's own errors come too late.

Theory of operation
===================
Pushes are refused while there is still room, so that deletes, collection and the journal always find some:

* the disk keeps a *reserve*: below it no file grows for a push;
* the map of each environment keeps one as well, for a full map cannot even delete;
* behind the end of each file lies a ballast that nobody else can take (``pages``). While too little is left of one,
  because others have filled the disk and deletes or rows of pushes have used it, nothing is taken at all.

What was deleted is room again without the disk knowing of it: below the reserve a push is taken where it fits into free
pages of the files, less a margin for what is scattered too much.
"""

import os
from pathlib import Path

from node.store.pages import Pages
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import StoreFull

RESERVE = 256 * 2**20  # Bytes, or 2 % of the disk if that is more, at most a quarter: deletes need room to happen.
_MARGIN = 16 * 2**20  # Bytes of free pages in ``chunks`` that are not counted on: what two transactions freed last ...
_SCATTERED = 8  # ... and an eighth: a chunk needs 256 pages side by side.
_SMALL = 2**18  # Bytes that the map of ``meta`` has to have for rows and journal: a commit copies as much.


def map_size_for(path: Path) -> int:
    """Return the address space for each file of a store in *path*: 1 TiB, or four times a larger disk."""
    status = os.statvfs(path)
    return max(2**40, 4 * status.f_blocks * status.f_frsize // 2**30 * 2**30)


class Space:
    """The room of a store: the file system that the directory *path* lies on, and the store's two files."""

    def __init__(self, path: Path, *, meta: Pages, chunks: Pages, reserve: int = RESERVE) -> None:
        self._path = path
        self._reserve = reserve
        self.meta = meta
        self.chunks = chunks

    def free(self) -> int:
        """Return the bytes that may still be pushed; 0 where pushes are refused."""
        growth = self._growth(self.chunks)
        if not self._reserve:
            return growth
        if not (self.meta.is_held and self.chunks.is_held):
            return 0
        if self._of_map(self.meta) + self.meta.count().free < min(_SMALL, self._reserve):
            return 0
        inside = self.chunks.count().free
        return growth + max(0, inside - inside // _SCATTERED - min(_MARGIN, self._reserve))

    def require(self, size: int) -> None:
        """Raise ``StoreFull`` where there is no room for *size* more bytes, and for those of a chunk."""
        size = max(size, CHUNK_SIZE) if self._reserve else size
        if self._is_wide(size):
            return
        if self.free() < size:
            raise StoreFull("the disk of this node is full; delete images or add room, then push again")

    def is_full(self) -> bool:
        """Whether pushes are refused."""
        return not self._is_wide(CHUNK_SIZE) and self.free() < CHUNK_SIZE

    def hold_ballast(self) -> bool:
        """Take what is missing of the ballast, and return whether it is whole. May wait for the disk."""
        held = [self.meta.hold(), self.chunks.hold()]
        return all(held)

    def _is_wide(self, size: int) -> bool:
        """Whether both files may grow by *size*; quicker than ``free``."""
        held = not self._reserve or (self.meta.is_held and self.chunks.is_held)
        return held and min(self._growth(self.meta), self._growth(self.chunks)) >= size

    def _growth(self, pages: Pages) -> int:
        """Return by how many bytes a file may grow for pushes."""
        status = os.statvfs(self._path)
        total, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
        if self._reserve:
            free -= max(min(self._reserve, total // 4), total // 50)
        return max(0, min(free, self._of_map(pages)))

    def _of_map(self, pages: Pages) -> int:
        return pages.growth() - (min(self._reserve, pages.map_size // 4) if self._reserve else 0)
