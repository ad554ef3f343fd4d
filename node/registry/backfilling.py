"""Backfills as they are stored: what one is for, how far it is, and what became of each image.

    backfill/ID             ``Backfill``
    backfill-items/ID/PAGE  a list of ``Item``, at most ``PAGE_SIZE``; PAGE in 8 digits

Documents of this node: another replica of the registry has backfills of its own.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec

from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.names import RegistryName
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName

PAGE_SIZE = 500  # Items in one document: some 100 KB.

State: TypeAlias = Literal["PREPARING", "IN_PROGRESS", "COMPLETE", "FAILED", "STOPPING", "STOPPED"]
Outcome: TypeAlias = Literal["", "COMPLETE", "FAILED"]

RUNNING: frozenset[State] = frozenset({"PREPARING", "IN_PROGRESS", "STOPPING"})

_BACKFILL = "backfill/"
_ITEMS = "backfill-items/"
_ALL = 2**31


class Backfill(msgspec.Struct, frozen=True):
    """One backfill. Times are seconds since 1970, UTC."""

    id: str
    destination: RegistryName
    state: State
    started: float
    ended: float = 0.0
    failure: str = ""  # In ECR's words.
    total: int = 0  # Pairs of an image and a tag.
    completed: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()  # The codes that there were, each once.


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One image with one of its tags, or without."""

    repository: RepositoryName
    digest: Digest
    tag: TagName | None
    wanted: int  # What it is wanted for at the destination: a number in the journal; 0: it was there before.
    outcome: Outcome = ""  # Empty while it is under way.
    failure: str = ""


Page: TypeAlias = tuple[Item, ...]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Backfill).decode
_decode_page = msgspec.json.Decoder(Page).decode


def backfills(registry: Registry, txn: ReadTxn) -> list[Backfill]:
    """Return all, the latest first."""
    rows = registry.store.meta.documents.under(txn, _BACKFILL, limit=_ALL)
    return sorted((_decode(data) for _, data in rows), key=lambda one: (-one.started, one.id))


def find_backfill(registry: Registry, txn: ReadTxn, wanted: str) -> Backfill | None:
    """Return a backfill by its id."""
    data = registry.store.meta.documents.get(txn, _BACKFILL + wanted)
    return None if data is None else _decode(data)


def put_backfill(registry: Registry, txn: WriteTxn, backfill: Backfill) -> None:
    """Add or replace."""
    registry.store.meta.documents.put(txn, _BACKFILL + backfill.id, _encode(backfill))


def delete_backfill(registry: Registry, txn: WriteTxn, wanted: str) -> None:
    """Forget a backfill with its items."""
    forget_items(registry, txn, wanted)
    registry.store.meta.documents.delete(txn, _BACKFILL + wanted)


def pages_of(registry: Registry, txn: ReadTxn, wanted: str, *, after: int = -1, limit: int) -> list[tuple[int, Page]]:
    """Return at most *limit* pages of items beyond the page *after*, with their numbers."""
    prefix = f"{_ITEMS}{wanted}/"
    rows = registry.store.meta.documents.under(txn, prefix, after=f"{after:08}" if after >= 0 else "", limit=limit)
    return [(int(name), _decode_page(data)) for name, data in rows]


def put_page(registry: Registry, txn: WriteTxn, wanted: str, number: int, page: Page) -> None:
    """Add or replace a page of items."""
    registry.store.meta.documents.put(txn, f"{_ITEMS}{wanted}/{number:08}", _encode(page))


def forget_items(registry: Registry, txn: WriteTxn, wanted: str) -> None:
    """Delete all items of a backfill."""
    documents = registry.store.meta.documents
    for name in documents.names(txn, f"{_ITEMS}{wanted}/", limit=_ALL):
        documents.delete(txn, f"{_ITEMS}{wanted}/{name}")


def counted(backfill: Backfill, pages: Iterator[Page] | Sequence[Page]) -> Backfill:
    """Return *backfill* with its counts as its items have them."""
    outcomes, failures, total = Counter[Outcome](), dict[str, None](), 0
    for page in pages:
        total += len(page)
        outcomes.update(item.outcome for item in page)
        failures.update((item.failure, None) for item in page if item.failure)
    return msgspec.structs.replace(
        backfill,
        total=total,
        completed=outcomes["COMPLETE"],
        failed=outcomes["FAILED"],
        failures=tuple(failures),
    )
