"""Text that strangers chose, on its way to a log line or a terminal."""

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0, DEL and C1, what else ends a line, and what turns the direction of writing round."""


def escaped(text: str) -> str:
    r"""Return *text* with every control character as ``\uXXXX``; the rest is left alone."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
