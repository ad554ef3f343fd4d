"""The structured log: one line for each event, JSON for machines or text for a terminal.

    log = structlog.get_logger()
    log.warning("session refused", peer=peer, reason="no common version")

The event is a constant of the code and what varies goes into fields, so that a collector can group by event, and so
that a flood has a name: each event gets at most ``BURST`` lines in ``BURST_INTERVAL`` seconds; the first line after a
pause says how many were left out. Control characters of every kind are escaped, so that a field that a stranger
chose can neither end a line nor speak to a terminal.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from node.telemetry.lines import Lines
from node.telemetry.text import escaped

BURST = 50  # Lines of one event in an interval.
BURST_INTERVAL = 10.0  # Seconds.
_MAX_EVENTS = 512  # Different events that are counted apart; the code has fewer.
_MAX_FIELD = 4096  # Characters of one field in text; a traceback is cut in its middle.

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Style: TypeAlias = Literal["json", "text"]


def style_for(fd: int) -> Style:
    """Text where *fd* is a terminal, else JSON."""
    return "text" if os.isatty(fd) else "json"


def configure_log(lines: Lines, *, level: Level, style: Style) -> None:
    """Send structlog, and what libraries give to ``logging``, to *lines*. Called once, by the composition root."""
    render: Processor = _render_json if style == "json" else _render_text
    structlog.configure(
        processors=[_Limit(time.monotonic), structlog.processors.format_exc_info, _stamp, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Out(lines),
        cache_logger_on_first_use=False,  # A logger made at import would keep the set-up of that time.
    )
    logging.basicConfig(handlers=[_FromLogging()], level=logging.WARNING, force=True)


class _Out:
    """What structlog hands a finished line to."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def msg(self, line: bytes) -> None:
        self._lines.write_now(line)

    debug = info = warning = error = critical = exception = msg


class _FromLogging(logging.Handler):
    """Libraries log through the standard library; their lines get the same shape."""

    def emit(self, record: logging.LogRecord) -> None:  # type: ignore[explicit-override]  # 3.12 has it.
        log = structlog.get_logger()
        log.log(record.levelno, "library", library=record.name, text=record.getMessage(), exc_info=record.exc_info)


class _Limit:
    """At most ``BURST`` lines of one event in an interval."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._windows: dict[str, tuple[float, int]] = {}  # event -> (begin, lines so far)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        name, now = str(event.get("event")), self._now()
        if name not in self._windows and len(self._windows) >= _MAX_EVENTS:
            self._windows.clear()
        begin, count = self._windows.get(name, (now, 0))
        if now - begin < BURST_INTERVAL:
            self._windows[name] = (begin, count + 1)
            if count >= BURST:
                raise structlog.DropEvent
            return event
        self._windows[name] = (now, 1)
        if count > BURST:
            event["left_out"] = count - BURST
        return event


def _stamp(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Put time, level and event in front."""
    now = time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    return {"at": at, "level": method, "event": event.pop("event", ""), **event}


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    try:
        line = msgspec.json.encode(event, enc_hook=str)
    except (UnicodeEncodeError, TypeError):  # A lone surrogate, or a key that is no text.
        line = msgspec.json.encode({_clean(key): _clean(value) for key, value in event.items()})
    return escaped(line.decode()).encode() + b"\n"


def _clean(value: Any) -> str:  # noqa: ANN401 - anything may be logged.
    return str(value).encode("utf-8", "backslashreplace").decode()


def _render_text(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    """``08:10:43 warning  session refused  peer=n1 reason='no common version'``, a traceback indented below."""
    at, level, name = str(event.pop("at"))[11:19], event.pop("level"), _clean(event.pop("event"))
    traceback = _clean(event.pop("exception", ""))
    fields = " ".join(f"{key}={_quoted(_clean(value))}" for key, value in event.items())
    text = escaped(f"{at} {level:<7}  {name}{'  ' if fields else ''}{fields}") + "\n"
    for line in traceback.splitlines():
        text += f"    {escaped(line)[:_MAX_FIELD]}\n"
    return text.encode()


def _quoted(text: str) -> str:
    text = text[:_MAX_FIELD]
    return repr(text) if not text or " " in text or "'" in text else text
