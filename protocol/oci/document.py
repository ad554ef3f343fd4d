r"""JSON that every reader reads alike, or that is refused.

Readers differ: of a name that comes twice, one takes the first value, another the last; Go folds case, so that
``Layers`` (and ``layer\u017f``, with a long s) fills ``layers``; JavaScript rounds large numbers. Whoever signs or
scans one meaning and runs another has been deceived. So UTF-8 only, no byte order mark, no name twice, none that
equals another after case folding, no NaN, no half of a surrogate pair, at most ``MAX_DEPTH`` deep.

How long reading takes depends on the number of values, not of bytes: 4 MiB of ``[],`` are 1.4 million lists and took
most of a second, much of it in C, where no other thread runs. So what could begin a value is counted before anything
is parsed, which takes a millisecond for each MB.

The decoder is the standard library's, in C, which hands each object's pairs to a hook: 2 KB take some 20
microseconds. (msgspec is faster and keeps the last of two equal names in silence.)

Source: RFC 8259, sections 4, 6, 8; RFC 7493 (I-JSON).
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from protocol.errors import Refusal

MAX_DEPTH = 32
MAX_VALUES = 2**18  # Commas, colons and brackets, in text as well. The densest index of 8 192 manifests has half of it.
MAX_LISTS = 2**15  # Of these: what is in lists alone is read in C, without a hook of ours.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

Document: TypeAlias = dict[str, Any]
"""A JSON object. A number that is not written as an integer is a ``float``, also 1.0, 1e3 and -0."""

Names: TypeAlias = Mapping[str, str]
"""The names that an object may have, by what they are after case folding; see ``names``."""


class _Ambiguous(ValueError):
    """Two readers could differ."""


def read_object(data: bytes, refusal: type[Refusal]) -> Document:
    """Return the JSON object that *data* is, or raise *refusal*, saying why.

    Cost: linear, at most 0.4 s for what is made to be slow, in steps of Python that let other threads run.
    """
    lists = data.count(b"[")
    brackets = data.count(b"{") + lists
    if brackets + data.count(b",") + data.count(b":") > MAX_VALUES or lists > MAX_LISTS:
        raise refusal(f"more than {MAX_VALUES} names and values, or {MAX_LISTS} lists")
    try:
        text = data.decode("utf-8")
        document = _DECODER.decode(text)
        if brackets > MAX_DEPTH:
            _check_depth(document)
        if _SURROGATE.search(text):
            _check_texts(document)
    except UnicodeDecodeError as error:
        raise refusal(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise refusal(f"not JSON: {error.msg} at byte {len(error.doc[: error.pos].encode())}") from None
    except RecursionError:
        raise refusal(f"nested deeper than {MAX_DEPTH}") from None
    except ValueError as error:
        raise refusal(str(error)) from None
    if not isinstance(document, dict):
        raise refusal("not a JSON object")
    return document


def names(*known: str) -> Names:
    """Return *known* in the form that ``check_names`` takes."""
    return {name.casefold(): name for name in known}


def check_names(document: Document, known: Names, where: str, refusal: type[Refusal]) -> None:
    """Raise *refusal* where *document* has a name that only case tells from a known one. Others may stand there."""
    for name in document:
        spelled = known.get(name.casefold())
        if spelled is not None and spelled != name:
            raise refusal(f"{name!r} at `{where}` has to be written {spelled!r}")


def _object(pairs: list[tuple[str, Any]]) -> Document:
    document = dict(pairs)
    if len(pairs) < 2:
        return document
    if len({name.casefold() for name in document}) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name.casefold() in seen:
                raise _Ambiguous(f"the name {name[:80]!r} comes twice in one object, perhaps in another case")
            seen.add(name.casefold())
    return document


def _integer(text: str) -> int | float:
    if len(text) > 20:
        raise _Ambiguous(f"a number of {len(text)} digits")
    return -0.0 if text == "-0" else int(text)


def _float(text: str) -> float:
    """Here and not in C, so that other threads run in between."""
    if len(text) > 40:
        raise _Ambiguous(f"a number of {len(text)} characters")
    return float(text)


def _constant(text: str) -> None:
    raise _Ambiguous(f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _check_depth(document: object) -> None:
    level, depth = [[document]], 0
    while level := [below for value in level for below in _values(value) if type(below) in _CONTAINERS]:
        depth += 1
        if depth > MAX_DEPTH:
            raise _Ambiguous(f"nested deeper than {MAX_DEPTH}")


_CONTAINERS = frozenset((dict, list))


def _values(container: Any) -> Iterable[Any]:  # noqa: ANN401 - what JSON has.
    return container.values() if type(container) is dict else container


def _check_texts(document: object) -> None:
    """See whether every text has an UTF-8 form."""
    left: list[Any] = [document]
    while left:
        value = left.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            left += value.keys()
            left += value.values()
        elif isinstance(value, list):
            left += value


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _Ambiguous(f"half of a surrogate pair in {text[max(0, error.start - 20) : error.start]!r}...") from None
