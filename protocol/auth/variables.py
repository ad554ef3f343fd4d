"""Policy variables: ``${aws:username}`` in a resource or a condition's value stands for what the request says.

``${aws:PrincipalTag/team, 'none'}`` has a value for requests that say nothing; without one, a variable that the
request does not have makes the whole text fit nothing. ``${*}``, ``${?}`` and ``${$}`` stand for themselves and are
never wildcards, nor is anything in what a variable stands for. Documents of 2008-10-17 have no variables.

Source: IAM user guide, "IAM policy elements: Variables and tags".
"""

import re
from collections.abc import Mapping

import msgspec

from protocol.auth.patterns import Pattern, literal, pattern

_VARIABLE = re.compile(r"\$\{([^}']{1,200}?)(?:,\s*'([^']{0,400})')?\}")
_LITERALS = frozenset("*?$")


class Variable(msgspec.Struct, frozen=True):
    """A key whose value stands here."""

    key: str  # Lower case.
    default: str | None = None


class Text(msgspec.Struct, frozen=True):
    """A text with variables and wildcards, as it was read."""

    text: str
    pieces: tuple[str | Variable | tuple[str], ...]
    """Text with wildcards, variables, and one-element tuples of text that stands for itself."""

    @property
    def has_variables(self) -> bool:
        """Whether what it says depends on the request."""
        return any(isinstance(piece, Variable) for piece in self.pieces)

    def pattern(self, keys: Mapping[str, tuple[str, ...]]) -> Pattern | None:
        """Return what it describes for a request, or ``None`` where the request lacks a variable."""
        found: Pattern = ()
        for piece in self.pieces:
            match piece:
                case str():
                    found += pattern(piece)
                case (text,):
                    found += literal(text)
                case Variable() as variable:
                    value = _value(variable, keys)
                    if value is None:
                        return None
                    found += literal(value)
        return found

    def parts(self, separator: str, count: int) -> tuple["Text", ...] | None:
        """Return the *count* parts between separators, the last with what separators are left; ``None``: too few."""
        parts: list[list[str | Variable | tuple[str]]] = [[]]
        for piece in self.pieces:
            if not isinstance(piece, str):
                parts[-1].append(piece)
                continue
            first, *more = piece.split(separator, count - len(parts))
            parts[-1].append(first)
            parts += [[one] for one in more]
        if len(parts) != count:
            return (self,) * count if self.text == "*" else None
        return tuple(Text("", tuple(part)) for part in parts)


def text_with_variables(text: str) -> Text:
    """Return *text* of a document of 2012-10-17."""
    pieces: list[str | Variable | tuple[str]] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        if found.start() > end:
            pieces.append(text[end : found.start()])
        key, default = found[1].strip(), found[2]
        pieces.append((key,) if key in _LITERALS else Variable(key.lower(), default))
        end = found.end()
    if end < len(text) or not pieces:
        pieces.append(text[end:])
    return Text(text, tuple(pieces))


def plain_text(text: str) -> Text:
    """Return *text* of a document of 2008-10-17, which has wildcards and no variables."""
    return Text(text, (text,))


def expand(text: Text, keys: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the text for a request, wildcards as they stand; ``None`` where the request lacks a variable."""
    found = []
    for piece in text.pieces:
        match piece:
            case str():
                found.append(piece)
            case (value,):
                found.append(value)
            case Variable() as variable:
                filled = _value(variable, keys)
                if filled is None:
                    return None
                found.append(filled)
    return "".join(found)


def _value(variable: Variable, keys: Mapping[str, tuple[str, ...]]) -> str | None:
    values = keys.get(variable.key)
    # A key of several values has none that could be put in one text.
    return values[0] if values is not None and len(values) == 1 else variable.default
