"""Who reads an old state is noticed, and readers of processes that ended are removed."""

import subprocess
import sys
from pathlib import Path

import pytest

from node.registry.disk import OLD, look_at_disk
from node.registry.registry import Registry
from node.store.meta import Meta
from node.store.readers import Readers
from tests.node.registry.world import World, opened


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def readers(meta: Meta, clock: Clock) -> Readers:
    return Readers(meta.env, clock)


def write(meta: Meta) -> None:
    with meta.env.begin(write=True) as txn:
        meta.documents.put_number(txn, "n", 1 + meta.documents.number(txn, "n"))


def test_a_reader_of_the_last_state_is_none_of_an_old_one(meta: Meta, readers: Readers, clock: Clock) -> None:
    write(meta)
    with meta.read():
        for _ in range(3):
            clock.now += 60
            assert readers.look() == 0.0


def test_the_age_counts_from_when_it_is_noticed_to_the_end_of_the_read(
    meta: Meta, readers: Readers, clock: Clock
) -> None:
    with meta.read():
        write(meta)
        assert readers.look() == 0.0
        clock.now += 7
        write(meta)
        assert (readers.look(), readers.count()) == (7.0, 1)
        with meta.read():
            write(meta)
            clock.now += 1
            assert (readers.look(), readers.count()) == (8.0, 2)
    assert (readers.look(), readers.count(), readers.oldest()) == (0.0, 0, 0.0)


def test_a_read_that_begins_again_is_a_new_one(meta: Meta, readers: Readers, clock: Clock) -> None:
    for _ in range(3):
        with meta.read():
            write(meta)
            assert readers.look() == 0.0
            clock.now += 6


def test_readers_of_a_process_that_was_killed_are_removed(meta: Meta, readers: Readers, tmp_path: Path) -> None:
    """B15."""
    source = (
        "import lmdb, os, sys; env = lmdb.open(sys.argv[1], max_dbs=64, readonly=True, lib_version=0);"
        "txn = env.begin(); txn.get(b'x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", source, tmp_path], check=False)  # noqa: S603 - our own Python.
    assert len(meta.env.readers().splitlines()) >= 2
    assert (readers.remove_stale(), readers.remove_stale(), readers.stale) == (1, 0, 1)


async def test_an_old_reader_raises_an_alarm_and_its_end_clears_it(tmp_path: Path) -> None:
    """B14."""
    async with opened(tmp_path / "data", World()) as registry:
        clock = Clock()
        registry.store.readers["meta"] = Readers(registry.store.meta.env, clock)
        with registry.store.meta.read():
            await registry.store.writer.write(lambda txn: registry.store.meta.documents.put_number(txn, "n", 1))
            await look_at_disk(registry)
            assert alarms(registry) == []
            clock.now += OLD + 1
            await look_at_disk(registry)
            assert alarms(registry) == ["old-reader"]
        await look_at_disk(registry)
        assert alarms(registry) == []


def alarms(registry: Registry) -> list[str]:
    return [alarm.name for alarm in registry.alarms.raised()]
