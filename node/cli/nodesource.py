"""A running node as the source of a backup: asked over its control socket, one question at a time."""

import http.client
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from node.cli.control import Control
from node.cli.failures import Failed, NotFound
from node.registry.backup.source import Content, Ending, Page, Started
from protocol.errors import BlobUnknown, Damaged
from protocol.oci.digest import Digest

Answer = TypeVar("Answer")

_PART = 2**20  # Bytes that are read of a blob at once.
_decode_contents = msgspec.msgpack.Decoder(list[Content]).decode


class NodeSource:
    """The node that serves *data*; raises what ``Control`` does where it does not answer.

    Args:
        data: its data directory.
        rate: bytes of large blobs a second at most, so that a disk or a link is left to others; 0: as they come.
    """

    def __init__(self, data: Path, *, rate: float = 0) -> None:
        self._control = Control(data)
        self._rate = rate

    def close(self) -> None:
        """Close the connection."""
        self._control.close()

    def start(self) -> Started:
        """Return who the node is, and how far."""
        return self._ask("GET", "backup", Started)

    def record(self, position: int) -> bytes | None:
        """Return one record."""
        return self._ask("GET", f"backup/record?position={position}", bytes | None)  # type: ignore[arg-type]  # A union.

    def records(self, after: int, last: int) -> Page:
        """Return a page of records."""
        return self._ask("GET", f"backup/records?after={after}&last={last}", Page)

    def rows(self, table: str, after: bytes) -> Page:
        """Return a page of a table."""
        return self._ask("GET", f"backup/rows/{table}?after={after.hex()}", Page)

    def ending(self) -> Ending:
        """Fix the last record."""
        return self._ask("POST", "backup/ending", Ending)

    def contents(self, digests: Sequence[bytes]) -> list[Content]:
        """Return small blobs."""
        return _decode_contents(self._control.send("POST", "backup/contents", msgspec.msgpack.encode(digests)))

    def blob(self, digest: Digest, start: int) -> Iterator[bytes]:
        """Yield a large blob as it comes; the node breaks it off where a chunk is damaged."""
        began, came = time.monotonic(), 0
        try:
            with self._control.streaming("GET", f"backup/blobs/{digest}?start={start}") as response:
                while data := response.read(_PART):
                    came += len(data)
                    yield data
                    if self._rate:
                        time.sleep(max(0.0, came / self._rate - (time.monotonic() - began)))
        except NotFound as error:
            raise BlobUnknown(str(error)) from error
        except (http.client.IncompleteRead, OSError) as error:
            if not self._control.running():
                raise Failed("the node stopped; what was backed up stays: run this again when it is back") from error
            raise Damaged(f"it cannot be read beyond {start + came} bytes; the node's log says why") from error

    def sealed(self, copy: Digest) -> tuple[bytes, int]:
        """Return the BLAKE3 and the length of a large copy that is sealed."""
        try:
            return self._ask("GET", f"backup/sealed/{copy}", tuple[bytes, int])
        except NotFound as error:
            raise BlobUnknown(str(error)) from error

    def keys(self) -> dict[str, bytes]:
        """Return the files with wrapped keys."""
        return self._ask("GET", "backup/keys", dict[str, bytes])

    def sign(self, message: bytes) -> bytes:
        """Return the node's signature."""
        return self._ask("POST", "backup/signature", bytes, message)

    def identity(self) -> dict[str, bytes]:
        """Return the files with the node's keys."""
        return self._ask("GET", "backup/identity", dict[str, bytes])

    def _ask(self, method: str, path: str, kind: type[Answer], body: bytes = b"") -> Answer:
        return msgspec.msgpack.decode(self._control.send(method, path, body), type=kind)
