"""Lines reach the descriptor in order and whole; a reader that does not read loses lines and holds up nobody."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.telemetry.lines import FLUSH_AT, FLUSH_INTERVAL, MAX_HELD, Lines

LINE = b"x" * 199 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            assert fd == reader, "a test closes the reader's end only"


def test_a_line_waits_for_the_flush(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[1])
    lines.write(b"one\n")
    os.set_blocking(pipe[0], False)
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 10)
    lines.write_now(b"two\n")
    assert os.read(pipe[0], 100) == b"one\ntwo\n"


def test_a_full_buffer_is_written_at_once(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        lines = Lines(file.fileno())
        for _ in range(FLUSH_AT // len(LINE) + 1):
            lines.write(LINE)
        assert (tmp_path / "log").stat().st_size >= FLUSH_AT


def test_a_full_pipe_drops_whole_lines_and_counts_them(pipe: tuple[int, int]) -> None:
    lines, written = Lines(pipe[1]), 5000
    for _ in range(written):  # A blocking write would stop here for ever.
        lines.write_now(LINE)
    assert 0 < lines.dropped < written
    os.set_blocking(pipe[0], False)
    read = b""
    for _ in range(MAX_HELD):
        lines.flush()
        try:
            read += os.read(pipe[0], 2**16)
        except BlockingIOError:
            break
    assert read == LINE * (written - lines.dropped)


def test_a_reader_that_went_away_is_survived(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[1])
    os.close(pipe[0])
    lines.write(LINE)
    lines.write_now(LINE)
    assert lines.dropped == 2


async def test_the_flusher_writes_every_interval_and_when_it_ends(
    pipe: tuple[int, int], autojump_clock: MockClock
) -> None:
    lines = Lines(pipe[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lines.flush_forever)
        lines.write(b"one\n")
        await trio.sleep(FLUSH_INTERVAL * 1.5)
        assert os.read(pipe[0], 100) == b"one\n"
        lines.write(b"two\n")
        nursery.cancel_scope.cancel()
    assert os.read(pipe[0], 100) == b"two\n"
