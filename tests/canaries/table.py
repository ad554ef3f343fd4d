"""Twelve changes that each break one promise, and the tests that have to notice.

A patch is a text that stands exactly once in a file, and what replaces it. ``tests/test_canaries.py`` fails when a text
is not there any more: then somebody moved the line, and the canary has to follow.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Canary:
    """One promise, broken."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]  # Arguments of pytest.


_LIFE = "tests/node/registry/test_blob_life.py"
_ANOMALIES = "tests/e2e/test_anomalies.py"

CANARIES = (
    Canary(
        "commits are not synced",
        "node/store/meta.py",
        "        sync=sync,\n",
        "        sync=False,\n",
        ("tests/e2e/test_power.py",),
    ),
    Canary(
        "meta is committed before the chunks",
        "node/store/ingest.py",
        "        await self._sink.writer.write(lambda txn: self._sink.chunks.put(txn, number, index, kept))\n\n"
        "    def _spend_tail",
        "        async def late() -> None:\n"
        "            await trio.sleep(0.05)\n"
        "            await self._sink.writer.write(lambda txn: self._sink.chunks.put(txn, number, index, kept))\n"
        "\n"
        "        trio.lowlevel.spawn_system_task(late)\n\n"
        "    def _spend_tail",
        ("tests/e2e/test_kill.py",),
    ),
    Canary("no grace before collection", "node/store/blobs.py", "DUE_AFTER = 25 * 3600", "DUE_AFTER = 0", (_LIFE,)),
    Canary(
        "HEAD does not renew",
        "node/registry/blobs.py",
        "    if not await _renewed(registry, row.number, digest, link):\n        raise _unknown",
        "    if link.due < 0 and not await _renewed(registry, row.number, digest, link):\n        raise _unknown",
        (_LIFE,),
    ),
    Canary(
        "a lease keeps nothing",
        "node/store/extents.py",
        "        return number in self.counts\n",
        "        return number in self.counts and not number\n",
        (_LIFE,),
    ),
    Canary(
        "tombstones are dropped at once",
        "protocol/sync/images.py",
        "    return ImageState(dots, tombstones)\n\n\ndef bury_image",
        "    return ImageState(dots, ())\n\n\ndef bury_image",
        ("tests/protocol/sync/test_convergence.py",),
    ),
    Canary(
        "the cursor moves before the effect",
        "node/registry/replication.py",
        "                await registry.store.writer.write(lambda txn: _follow(registry, txn))\n",
        "                before, journal = [0], registry.store.meta.journal\n"
        "\n"
        "                def early(txn: WriteTxn) -> None:\n"
        "                    before[0] = journal.cursor(txn, FOLLOWER)\n"
        "                    journal.move(txn, FOLLOWER, journal.last(txn))\n"
        "\n"
        "                def late(txn: WriteTxn) -> None:\n"
        "                    journal.move(txn, FOLLOWER, before[0])\n"
        "                    _follow(registry, txn)\n"
        "\n"
        "                await registry.store.writer.write(early)\n"
        "                await registry.store.writer.write(late)\n",
        ("-m", "soak", _ANOMALIES, "-k", "follower and fdatasync"),
    ),
    Canary(
        "stamps are the wall clock",
        "protocol/sync/clock.py",
        "        self._raise(max(self.last + 1, stamp_of(wall)) if self.tick(now) else self.last + 1)\n",
        "        self._raise(stamp_of(wall))\n",
        ("tests/protocol/sync/test_clock.py",),
    ),
    Canary(
        "the last push to an immutable tag wins",
        "protocol/sync/tags.py",
        "    hlc = -value.hlc if value.frozen else value.hlc\n",
        "    hlc = value.hlc\n",
        ("tests/protocol/sync/test_tags.py",),
    ),
    Canary(
        "HEAD asks for no link",
        "node/registry/blobs.py",
        "        blob = meta.blobs.get(txn, copy) if link is not None and link.seen else None\n",
        "        blob = meta.blobs.get(txn, copy) if link is not None else None\n",
        ("tests/node/registry/test_images.py",),
    ),
    Canary(
        "a deleted repository keeps its key",
        "node/registry/state.py",
        "        change.meta.blobs.shred(change.txn, row.number)\n        row =",
        "        row =",
        ("tests/node/registry/test_sealing.py",),
    ),
    Canary(
        "chunks are not compared",
        "node/store/extents.py",
        "        return blake3(os.pread(fd, length, offset)).digest() == expected\n",
        "        return len(blake3(os.pread(fd, length, offset)).digest()) == len(expected)\n",
        ("tests/node/store/test_extents.py",),
    ),
    Canary(
        "no catch-all at the root of a connection",
        "node/http/serve.py",
        "    except* Exception as group:  # noqa: BLE001",
        "    except* ZeroDivisionError as group:  # noqa: BLE001",
        ("tests/node/http",),
    ),
)
