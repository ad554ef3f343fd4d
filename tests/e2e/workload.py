"""Clients that push, move, delete and read at random, and a ledger of what they were told.

Repositories and tags are few and shared, so that the clients get in each other's way; contents are unique.
"""

import http.client
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from random import Random
from typing import TypeAlias

from tests.e2e.history import Read, Write, explains
from tests.e2e.images import Blob, Image, digest, make_image
from tests.e2e.pushes import Client, expect, location
from tests.e2e.servers import RIVAL, Server

Key: TypeAlias = tuple[str, str, str]
"""``("tag" | "manifest" | "blob", repository, tag or digest)``."""

REPOSITORIES = ("kill/one", "kill/two")
TAGS = ("a", "b", "c", "d")
BROKEN = (OSError, http.client.HTTPException)
RECENT = 600.0  # Seconds: less than a day of a node whose clock is hurried.
SIZES = (10, 3000, 17_000, 17_000, 70_000, 1_500_000)  # Around what is stored inline (16 320 bytes) and a chunk.


@dataclass(slots=True)
class Upload:
    """An upload that a client left open, with all that was acknowledged of it."""

    path: str
    repository: str
    data: bytes
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image that was pushed, or may have been; of its blobs the digests, for there are many."""

    repository: str
    manifest: Blob
    blobs: tuple[str, ...]
    when: float  # time.monotonic()


@dataclass(slots=True)
class Ledger:
    """What was written and read; used by many threads."""

    writes: dict[Key, list[Write]] = field(default_factory=lambda: defaultdict(list))
    reads: list[tuple[Key, Read]] = field(default_factory=list)
    images: dict[str, Pushed] = field(default_factory=dict)  # By the manifest's digest.
    uploads: list[Upload] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def copy(self) -> "Ledger":
        """Return one that goes on by itself from here."""
        copied = Ledger(images=dict(self.images), uploads=[replace(one) for one in self.uploads])
        for key, writes in self.writes.items():
            copied.writes[key] = list(writes)
        copied.reads = list(self.reads)
        return copied

    def note(self, repository: str, image: Image) -> Pushed:
        """Take note of an image that is about to be pushed."""
        pushed = Pushed(repository, image.manifest, tuple(blob.digest for blob in image.blobs), time.monotonic())
        with self.lock:
            self.images[image.manifest.digest] = pushed
        return pushed

    @contextmanager
    def writing(self, value: str | None, *keys: Key, only: dict[Key, str] = {}) -> Iterator[None]:  # noqa: B006 - read only
        """Record that *value* was written to *keys*, as acknowledged if the block ends well."""
        start, acknowledged = time.monotonic(), False
        try:
            yield
            acknowledged = True
        finally:
            end = time.monotonic()
            with self.lock:
                for key in keys:
                    self.writes[key].append(Write(value, start, end, acknowledged))
                for key, held in only.items():
                    self.writes[key].append(Write(value, start, end, acknowledged, held))

    def settle(self, key: Key, read: Read) -> None:
        """Check a read that nothing runs beside, and begin the register anew with its value."""
        assert explains(self.writes[key], read), f"{key} is {read.value}, which no history explains: {self.writes[key]}"
        self.writes[key] = [Write(read.value, read.start, read.start)]

    def settle_reads(self) -> None:
        """Check the reads that ran beside writes."""
        for key, read in self.reads:
            assert explains(self.writes[key], read), f"{key} was {read}, which no history explains: {self.writes[key]}"
        self.reads.clear()


class Worker(threading.Thread):
    """One client, until its node dies. ``error`` holds what should not have happened: a death before *dying* is set."""

    def __init__(
        self, server: Server, ledger: Ledger, random: Random, dying: threading.Event, *, pace: float = 0
    ) -> None:
        """Make a client that pauses *pace* seconds between two acts; with a pace it also ends when *dying* is set."""
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self.operations = 0
        self._ledger, self._random, self._dying = ledger, random, dying
        self._client, self._pace = Client(server), pace

    def run(self) -> None:
        """Act at random."""
        acts = [self._push, self._push, self._push, self._move, self._read, self._read, self._delete_image]
        acts += [self._push_blob, self._leave_upload] + ([] if RIVAL else [self._delete_tag])
        try:
            while not (self._pace and self._dying.wait(self._pace)):
                self._random.choice(acts)()
                self.operations += 1
        except BROKEN as error:
            if not self._dying.is_set():
                self.error = error
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self.error = error
        finally:
            self._client.close()

    def _push(self) -> None:
        repository, tag, random = *self._place(), self._random
        image = make_image(random.getrandbits(64), layers=random.choices(SIZES, k=random.randint(1, 3)))
        for blob in image.blobs:
            self._put_blob(repository, blob)
        self._put_manifest(tag, self._ledger.note(repository, image))

    def _move(self) -> None:
        """Put a manifest that is, or was, there once more under another tag.

        Not one from long ago: where it was deleted its blobs may be collected by now.
        """
        if (known := self._known_image()) and time.monotonic() - known.when < RECENT:
            self._put_manifest(self._random.choice(TAGS), known)

    def _put_manifest(self, tag: str, image: Pushed) -> None:
        name, repository = image.manifest.digest, image.repository
        with self._ledger.writing(name, ("tag", repository, tag), ("manifest", repository, name)):
            self._client.put_manifest(repository, tag, image.manifest)

    def _put_blob(self, repository: str, blob: Blob) -> None:
        half = len(blob.data) // 2
        parts = self._random.choice([(), (), (len(blob.data),), (half,)])
        with self._ledger.writing(blob.digest, ("blob", repository, blob.digest)):
            self._client.put_blob(repository, blob, parts=parts)

    def _push_blob(self) -> None:
        """Push a blob that no manifest names, and delete every second one again."""
        repository, _ = self._place()
        blob = Blob("", self._random.randbytes(self._random.choice(SIZES)))
        self._put_blob(repository, blob)
        if self._random.random() < 0.5:
            with self._ledger.writing(None, ("blob", repository, blob.digest)):
                self._client.delete(f"/v2/{repository}/blobs/{blob.digest}")

    def _leave_upload(self) -> None:
        repository, _ = self._place()
        data = self._random.randbytes(self._random.choice((5000, 1_200_000)))
        upload = Upload(self._client.open_upload(repository), repository, data, 0)
        with self._ledger.lock:
            self._ledger.uploads.append(upload)
        half = len(data) // 2
        upload.path = self._client.append(upload.path, data[:half])
        upload.acknowledged = half

    def _delete_tag(self) -> None:
        repository, tag = self._place()
        with self._ledger.writing(None, ("tag", repository, tag)):
            self._client.delete(f"/v2/{repository}/manifests/{tag}")

    def _delete_image(self) -> None:
        if self._random.random() < 0.5 and (known := self._known_image()):
            name, repository = known.manifest.digest, known.repository
            tags: dict[Key, str] = {("tag", repository, tag): name for tag in TAGS}
            with self._ledger.writing(None, ("manifest", repository, name), only=tags):
                self._client.delete(f"/v2/{repository}/manifests/{name}")

    def _read(self) -> None:
        repository, tag = self._place()
        start = time.monotonic()
        found = self._client.get_manifest(repository, tag)
        read = Read(digest(found) if found is not None else None, start, time.monotonic())
        with self._ledger.lock:
            self._ledger.reads.append((("tag", repository, tag), read))

    def _place(self) -> tuple[str, str]:
        return self._random.choice(REPOSITORIES), self._random.choice(TAGS)

    def _known_image(self) -> Pushed | None:
        with self._ledger.lock:
            known = list(self._ledger.images.values())
        return self._random.choice(known) if known else None


def check(server: Server, ledger: Ledger) -> None:
    """Read everything that was touched since the last check, with nothing running beside: all of it is explained.

    What is there is there whole: a manifest with all its blobs, a blob with all its bytes, a tag in the listing.
    """
    ledger.settle_reads()
    client = Client(server)
    touched = [key for key, writes in ledger.writes.items() if len(writes) != 1 or not writes[0].acknowledged]
    present: dict[str, set[str]] = defaultdict(set)
    for key in sorted({*touched, *(("tag", repository, tag) for repository in REPOSITORIES for tag in TAGS)}):
        kind, repository, name = key
        start = time.monotonic()
        found = client.get_blob(repository, name) if kind == "blob" else client.get_manifest(repository, name)
        value = digest(found) if found is not None else None
        ledger.settle(key, Read(value, start))
        if kind == "tag" and value is not None:
            present[repository].add(name)
            _check_image(client, ledger, value)
    for repository in REPOSITORIES:
        listed = expect(client.call("GET", f"/v2/{repository}/tags/list"), 200, 404)
        tags = json.loads(listed.body).get("tags") if listed.status == 200 else None
        assert set(tags or ()) == present[repository]
    for upload in ledger.uploads:
        _finish(client, upload)
    ledger.uploads.clear()
    client.close()


def check_all(server: Server, ledger: Ledger, *, kept: float = inf, most: int = 10**9) -> None:
    """Read everything that was ever acknowledged, images with all their blobs; at *most* so many, drawn at random.

    Blobs that were last written more than *kept* seconds ago may be gone, where no image names them.
    """
    client, random = Client(server), Random(most)
    chosen = random.sample(sorted(ledger.writes), min(most, len(ledger.writes)))
    for (kind, repository, name), writes in ((key, ledger.writes[key]) for key in chosen):
        get = client.get_blob if kind == "blob" else client.get_manifest
        found = get(repository, name)
        value = digest(found) if found is not None else None
        now = time.monotonic()
        may_be_gone = kind == "blob" and value is None and all(write.start < now - kept for write in writes)
        assert may_be_gone or explains(writes, Read(value, now)), f"{kind} {repository} {name} is {value}: {writes}"
        if kind == "manifest" and value is not None:
            _check_image(client, ledger, value)
    client.close()


def _check_image(client: Client, ledger: Ledger, name: str) -> None:
    image = ledger.images[name]
    assert client.get_manifest(image.repository, name) == image.manifest.data
    for blob in image.blobs:
        found = client.get_blob(image.repository, blob)
        assert found is not None, f"{blob} of {name} is not there"
        assert digest(found) == blob, f"{blob} of {name} has other bytes"


def _finish(client: Client, upload: Upload) -> None:
    """Go on with an upload where the node says that it is; no acknowledged byte is missing."""
    answer = expect(client.call("GET", upload.path), 204, *(() if upload.acknowledged else (404,)))
    if answer.status == 204:
        stored = int(answer.headers.get("Range", "0--1").split("-", 1)[1]) + 1
        assert upload.acknowledged <= stored <= len(upload.data), f"{stored} bytes of {upload.acknowledged}"
        client.finish(location(answer), digest(upload.data), upload.data[stored:])
        assert client.get_blob(upload.repository, digest(upload.data)) == upload.data
