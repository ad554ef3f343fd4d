"""A scripted client: push, move, mount, delete; a day later push again and delete while the node collects.

Short, so that a fault can be put at each system call of it. A step that the node refuses because its disk failed, or
whose connection breaks, is noted as not acknowledged, and the next one is tried.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from tests.e2e.history import Write
from tests.e2e.images import Blob, Image, make_image
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client, Unexpected
from tests.e2e.servers import Server
from tests.e2e.workload import BROKEN, Key, Ledger, Upload

ONE, TWO = "kill/one", "kill/two"
REFUSED = (503, 507)  # What a node answers whose disk failed or is full.
FOLLOWS = (202, 400, 404)  # What a later step may get where an earlier one was refused.

FIRST = make_image(1, layers=(3000, 70_000))  # Inline, one chunk.
SECOND = make_image(2, layers=(17_000, 1_500_000))  # Two chunks.
THIRD = make_image(3, layers=(200_000,))
LONE = Blob("", b"nothing names this" * 2000)
GONE = Blob("", b"deleted at once" * 2000)

Step: TypeAlias = Callable[[Client, Ledger], None]


@dataclass(slots=True)
class Outcome:
    """What became of the steps."""

    done: int = 0
    refused: list[str] = field(default_factory=list)


def run(server: Server, ledger: Ledger, steps: Sequence[Step]) -> Outcome:
    """Take all steps, for as long as the node lives."""
    outcome, client = Outcome(), Client(server)
    for step in steps:
        try:
            step(client, ledger)
            outcome.done += 1
        except BROKEN:
            client.close()
            if not wait_until(partial(ended_or_reads, server), patience=15) or server.process.poll() is not None:
                break
            client = Client(server)
            outcome.refused.append(f"{step.__name__}: broken")
        except Unexpected as error:
            allowed = REFUSED + (FOLLOWS if outcome.refused else ())
            if error.answer.status not in allowed:
                raise
            outcome.refused.append(f"{step.__name__}: {error.answer.status}")
    client.close()
    return outcome


def ended_or_reads(server: Server) -> bool:
    """Whether the node has ended, or answers reads: a disk that fails may make it open its store anew."""
    path = f"/v2/{ONE}/manifests/a"
    client = Client(server)
    try:
        return server.process.poll() is not None or client.call("GET", path).status in {200, 404}
    except BROKEN:
        return False
    finally:
        client.close()


def put_blob(client: Client, ledger: Ledger, repository: str, blob: Blob, *, parts: Sequence[int] = ()) -> None:
    """Push a blob."""
    with ledger.writing(blob.digest, ("blob", repository, blob.digest)):
        client.put_blob(repository, blob, parts=parts)


def put_manifest(client: Client, ledger: Ledger, repository: str, image: Image, *tags: str) -> None:
    """Push a manifest under several tags at once."""
    name = image.manifest.digest
    ledger.note(repository, image)
    keys: list[Key] = [("manifest", repository, name), *(("tag", repository, tag) for tag in tags)]
    with ledger.writing(name, *keys):
        query = "&".join(f"tag={tag}" for tag in tags)
        client.put_manifest(repository, f"{name}?{query}", image.manifest)


def push(client: Client, ledger: Ledger, repository: str, image: Image, *tags: str) -> None:
    """Push as docker does: what HEAD finds is not sent again."""
    for blob in image.blobs:
        start = time.monotonic()
        head = client.call("HEAD", f"/v2/{repository}/blobs/{blob.digest}")
        if head.status == 200:
            found = Write(blob.digest, start, time.monotonic())  # Promised for a day, as if it were pushed.
            ledger.writes["blob", repository, blob.digest].append(found)
        else:
            put_blob(client, ledger, repository, blob)
    put_manifest(client, ledger, repository, image, *tags)


def delete_image(client: Client, ledger: Ledger, repository: str, image: Image) -> None:
    """Delete by digest, which takes the tags along."""
    name = image.manifest.digest
    tags: dict[Key, str] = {("tag", repository, tag): name for tag in "abcd"}
    with ledger.writing(None, ("manifest", repository, name), only=tags):
        client.delete(f"/v2/{repository}/manifests/{name}")


# The first day.


def push_first(client: Client, ledger: Ledger) -> None:
    push(client, ledger, ONE, FIRST, "a", "b")


def push_second_in_parts(client: Client, ledger: Ledger) -> None:
    for blob in SECOND.blobs:
        put_blob(client, ledger, ONE, blob, parts=(len(blob.data) // 2, len(blob.data) // 3))
    put_manifest(client, ledger, ONE, SECOND, "c")


def move(client: Client, ledger: Ledger) -> None:
    put_manifest(client, ledger, ONE, SECOND, "a")


def mount(client: Client, ledger: Ledger) -> None:
    name = FIRST.layers[1].digest
    with ledger.writing(name, ("blob", TWO, name)):
        answer = client.call("POST", f"/v2/{TWO}/blobs/uploads/?mount={name}&from={ONE}", Content_Length="0")
        if answer.status != 201:
            raise Unexpected(answer, (201,))


def push_and_delete_blob(client: Client, ledger: Ledger) -> None:
    put_blob(client, ledger, TWO, LONE)
    put_blob(client, ledger, TWO, GONE)
    with ledger.writing(None, ("blob", TWO, GONE.digest)):
        client.delete(f"/v2/{TWO}/blobs/{GONE.digest}")


def delete_tag(client: Client, ledger: Ledger) -> None:
    with ledger.writing(None, ("tag", ONE, "b")):
        client.delete(f"/v2/{ONE}/manifests/b")


def delete_first(client: Client, ledger: Ledger) -> None:
    delete_image(client, ledger, ONE, FIRST)


def leave_upload(client: Client, ledger: Ledger) -> None:
    data = THIRD.layers[0].data * 7
    upload = Upload(client.open_upload(TWO), TWO, data, 0)
    ledger.uploads.append(upload)
    upload.path = client.append(upload.path, data[: len(data) // 2])
    upload.acknowledged = len(data) // 2


def read(client: Client, ledger: Ledger) -> None:
    client.get_manifest(ONE, "a")
    client.get_blob(ONE, SECOND.layers[1].digest)


FIRST_DAY: Sequence[Step] = (
    push_first, push_second_in_parts, move, mount, push_and_delete_blob, delete_tag, delete_first, leave_upload, read,
)  # fmt: skip

REPLICATED_DAY: Sequence[Step] = (push_second_in_parts, push_first, move)

# The second day: what nothing names is due, and the node collects it from its start on.


def may_be_collected(ledger: Ledger) -> None:
    """A day has gone by: what no image names may be gone, until somebody is told that it is there."""
    now = time.monotonic()
    for key, writes in ledger.writes.items():
        if key[0] == "blob":
            writes.append(Write(None, now, now, acknowledged=False))


def push_first_again(client: Client, ledger: Ledger) -> None:
    push(client, ledger, ONE, FIRST, "b")


def mount_again(client: Client, ledger: Ledger) -> None:
    mount(client, ledger)


def delete_second(client: Client, ledger: Ledger) -> None:
    delete_image(client, ledger, ONE, SECOND)


def push_third(client: Client, ledger: Ledger) -> None:
    push(client, ledger, TWO, THIRD, "d")


def wait_for_collection(client: Client, _ledger: Ledger) -> None:
    """Ask, without renewing it, for what nobody asks for any more, until it is gone."""
    deadline = time.monotonic() + 5
    while client.get_blob(TWO, LONE.digest) is not None and time.monotonic() < deadline:
        time.sleep(0.02)


SECOND_DAY: Sequence[Step] = (
    push_first_again, mount_again, delete_second, push_third, wait_for_collection, read,
)  # fmt: skip
