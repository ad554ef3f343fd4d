"""Whatever is logged is one line, in JSON as in text, and a flood of one event is cut short."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from node.telemetry.lines import Lines
from node.telemetry.log import BURST, BURST_INTERVAL, Level, Style, _Limit, _render_json, _render_text, configure_log

Start = Callable[[Level, Style], None]

ANYTHING = st.text(st.characters(exclude_categories=[]))  # Lone surrogates too.


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    handlers, level = logging.root.handlers[:], logging.root.level
    with (tmp_path / "log").open("ab") as file:
        yield lambda level, style: configure_log(Lines(file.fileno()), level=level, style=style)
        structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_json_has_time_level_and_event_first(start: Start, tmp_path: Path) -> None:
    start("info", "json")
    log = structlog.get_logger()
    log.debug("below the level")
    log.warning("session refused", peer="n1\n\x9b", tries=3)
    [line] = (tmp_path / "log").read_text().splitlines()
    entry = json.loads(line)
    assert list(entry) == ["at", "level", "event", "peer", "tries"]
    assert (entry["level"], entry["event"], entry["peer"], entry["tries"]) == (
        "warning", "session refused", "n1\n\x9b", 3,
    )  # fmt: skip


def test_a_traceback_is_a_field_in_json_and_indented_in_text(start: Start, tmp_path: Path) -> None:
    for style in ("json", "text"):
        start("info", style)
        try:
            int("no\nsuch")
        except ValueError:
            structlog.get_logger().exception("bug")
    first, second, *rest = (tmp_path / "log").read_text().splitlines()
    assert "ValueError" in json.loads(first)["exception"]
    assert second[8:] == " error    bug"
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_what_libraries_log_has_the_same_shape(start: Start, tmp_path: Path) -> None:
    start("info", "json")
    logging.getLogger("some.library").warning("odd %s", "thing")
    entry = json.loads((tmp_path / "log").read_text())
    assert (entry["event"], entry["library"], entry["text"]) == ("library", "some.library", "odd thing")


@given(event=ANYTHING, value=ANYTHING)
def test_one_line_without_control_characters(event: str, value: str) -> None:
    for render in (_render_json, _render_text):
        line = render(None, "info", {"at": "2026-01-01T00:00:00", "level": "info", "event": event, "field": value})
        assert isinstance(line, bytes)
        text = line.decode()
        assert text.splitlines(keepends=True) == [text]
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text[:-1])


def test_a_flood_of_one_event_leaves_the_others_alone() -> None:
    now = 0.0
    limit = _Limit(lambda: now)

    def passes(event: str) -> dict[str, object] | None:
        try:
            return dict(limit(None, "info", {"event": event}))
        except structlog.DropEvent:
            return None

    assert sum(passes("flood") is not None for _ in range(BURST + 7)) == BURST
    assert passes("other") == {"event": "other"}
    now = BURST_INTERVAL
    assert passes("flood") == {"event": "flood", "left_out": 7}
    assert passes("flood") == {"event": "flood"}
