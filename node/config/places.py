"""Where a key is set in a TOML file: the parser does not say, so the text is looked through for it.

Good enough for the files that people write: tables in brackets, one key a line. What it does not find has no line in
the message; it never has a wrong one for a key that is set once in that way.
"""

import re

_TABLE = re.compile(r"\s*\[\s*([A-Za-z0-9_\-. \t\"']+?)\s*\]\s*(?:#.*)?", re.ASCII)
_KEY = re.compile(r"\s*([A-Za-z0-9_\-. \t\"']+?)\s*=", re.ASCII)


def lines_of(text: str) -> dict[str, int]:
    """Return the first line, from 1, at which each dotted key or table of *text* stands."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        header, key = _TABLE.fullmatch(line), _KEY.match(line)
        if header is not None:
            table = _dotted(header[1])
            lines.setdefault(table, number)
        elif key is not None:
            lines.setdefault(f"{table}.{_dotted(key[1])}".removeprefix("."), number)
    return lines


def _dotted(text: str) -> str:
    return ".".join(part.strip(" \t\"'") for part in text.split("."))
