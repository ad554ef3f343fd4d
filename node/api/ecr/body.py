"""The body of a call: received within bounds, and read.

The signature covers the hash of the body, so all of it is in memory before it is known who sends it. What that may
cost is bounded three ways: by operation (only a part of a layer is large), by how many large ones are received at once
(others wait), and by how long one may take.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from node.http.message import Body
from protocol.ecr.shapes import Model
from protocol.errors import Busy, InputMalformed, InputTooLarge, InputTooSlow

SMALL = 2**20
"""Bytes of the body of most operations."""
_LARGE = {
    "CreateRepository": 2 * 2**20,  # A logo as base64, and 50 000 characters, each perhaps an escape.
    "PutRepositoryCatalogData": 2 * 2**20,
    "PutImage": 12 * 2**20,  # A manifest of 4 MiB within a string of JSON; few of its characters need an escape.
    "UploadLayerPart": 28 * 2**20,  # 20 971 520 bytes as base64.
}
_SLOTS = 4  # Bodies above ``SMALL`` at once, each of which takes twice its size when it is read.
_PATIENCE = 20.0  # Seconds that a large one waits for a slot: SDKs give up after 60.
_SLOWEST = 64 * 1024  # Bytes a second.
_LEAST = 10.0  # Seconds that any body has.
_THREAD = 64 * 1024  # Bytes from which a body is read in a thread.


class Bodies:
    """Receives bodies; one for the whole door."""

    def __init__(self) -> None:
        self._slots = trio.Semaphore(_SLOTS)

    def is_large(self, operation: str) -> bool:
        """Whether the body of *operation* may be one of those that wait for one another."""
        return operation in _LARGE

    @asynccontextmanager
    async def received(self, operation: str, body: Body) -> AsyncIterator[bytes]:
        """Give the whole body for as long as the block.

        Raises:
            InputTooLarge: it is larger than *operation* takes.
            InputTooSlow: it did not come in time.
            Busy: too many large ones are at work.
        """
        limit = _LARGE.get(operation, SMALL)
        if body.length is not None and body.length > limit:
            raise InputTooLarge(f"The body has {body.length} bytes; {operation} takes {limit}")
        if limit == SMALL or (body.length is not None and body.length <= SMALL):
            yield await _receive(operation, body, limit)
            return
        with trio.move_on_after(_PATIENCE) as waiting:
            await self._slots.acquire()
        if waiting.cancelled_caught:
            raise Busy("Too many large bodies are being received at once; try again")
        try:
            yield await _receive(operation, body, limit)
        finally:
            self._slots.release()


async def _receive(operation: str, body: Body, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    with trio.move_on_after(_LEAST + limit / _SLOWEST) as receiving:
        while part := await body.receive():
            parts.append(part)
            size += len(part)
            if size > limit:
                raise InputTooLarge(f"The body has more than {limit} bytes, which is what {operation} takes")
    if receiving.cancelled_caught:
        raise InputTooSlow("The body did not come in time")
    return b"".join(parts)


async def read_input(data: bytes, blobs: Collection[str]) -> object:
    """Return what the body says; members that are in *blobs* as bytes. ``InputMalformed`` where it says nothing."""
    if len(data) > _THREAD:
        return await trio.to_thread.run_sync(_read, data, blobs)
    return _read(data, blobs)


def blob_members(model: Model, operation: str) -> frozenset[str]:
    """Return the names of those members of an operation's input that are bytes."""
    members = model.shapes[model.operations[operation].input].members
    return frozenset(name for name, shape in members.items() if model.shapes[shape].kind == "blob")


def _read(data: bytes, blobs: Collection[str]) -> object:
    try:
        if not blobs:
            return msgspec.json.decode(data) if data else {}
        raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        return {name: _member(one, is_blob=name in blobs) for name, one in raw.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputMalformed(f"The body is not JSON of this operation: {str(error)[:200]}") from None


def _member(raw: msgspec.Raw, *, is_blob: bool) -> Any:  # noqa: ANN401 - whatever JSON holds.
    return msgspec.json.decode(raw, type=bytes | None) if is_blob else msgspec.json.decode(raw)
