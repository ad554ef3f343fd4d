"""From a file, the environment and flags to a ``Config``, or to all that is wrong with them.

Each value is converted by itself, so that a fault is told with its dotted key and where that was set. The environment
and flags are text: lists are separated by commas, ``true`` and ``false`` are truth values.

    [listen]                        ENTREPOT_LISTEN__ADDRESS=127.0.0.1:5000,[::1]:5000
    address = ["127.0.0.1:5000"]    ENTREPOT_DATA=/var/lib/entrepot  (also ENTREPOT_NODE__DATA)
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from node.config.addresses import address, endpoint, public_alias, public_host
from node.config.places import lines_of
from node.config.rules import faults
from node.config.settings import Config
from protocol.errors import EntrepotError

PREFIX = "ENTREPOT_"
MAX_FILE = 2**20  # Bytes that are read: a larger file is not a configuration.
_FLAG = "command line"


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    key: str  # Dotted; ``""`` for a file as a whole.
    where: str  # The file and its line, the variable, the command line; ``""`` for a default.
    message: str  # What is wrong, and what would be right.

    def __str__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        head = f"{self.key} ({self.where})" if self.key and self.where else self.key or self.where
        return f"{head}: {self.message}"


class ConfigInvalid(EntrepotError):
    """The node cannot be run like this; its text has one line for each problem."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class _Setting(msgspec.Struct, frozen=True):
    """A value that was found, before it is converted."""

    value: Any
    where: str
    is_text: bool  # From the environment or a flag, where numbers and lists are text.


_SECTIONS = Config.__struct_fields__
_TYPES: dict[str, Any] = {
    f"{section.name}.{field.name}": field.type
    for section in msgspec.structs.fields(Config)
    for field in msgspec.structs.fields(section.type)
}
_LISTS = frozenset(("listen.address", "listen.public_hosts"))
_PARSERS: dict[str, Callable[[str], str]] = {
    "listen.address": address,
    "listen.peer": address,
    "listen.advertise": address,
    "listen.public_hosts": public_host,
    "public.alias": public_alias,
    "public.host": public_host,
    "tracing.endpoint": endpoint,
}


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Config:
    """Return the configuration, or raise ``ConfigInvalid``.

    Args:
        path: the file, ``None`` for none. It is read whole; at start, before there is an event loop.
        environ: variables that begin with ``ENTREPOT_`` and hold a ``__``, and ``ENTREPOT_DATA``, are settings; not the
            empty ones.
        overrides: flags by dotted key; text or values of the right type, ``None`` for one that was not given.
    """
    problems: list[Problem] = []
    found = _from_file(path, problems) if path is not None else {}
    found |= _from_environment(environ)
    found |= {key: _Setting(value, _FLAG, is_text=True) for key, value in overrides.items() if value is not None}
    sections: dict[str, dict[str, Any]] = {}
    for key, setting in found.items():
        if key in _TYPES:
            section, _, name = key.partition(".")
            try:
                sections.setdefault(section, {})[name] = _converted(key, setting)
            except ValueError as error:
                problems.append(Problem(key, setting.where, str(error)))
        else:
            problems.append(Problem(key, setting.where, _unknown(key)))
    if not problems:
        config = msgspec.convert(sections, Config)
        problems = [Problem(key, found[key].where if key in found else "", message) for key, message in faults(config)]
        if not problems:
            return config
    raise ConfigInvalid(tuple(problems))


def _from_file(path: Path, problems: list[Problem]) -> dict[str, _Setting]:
    """Return the settings of the file by dotted key; what is wrong with it as a whole is added to *problems*."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).decode()
        document = tomllib.loads(text)
    except OSError as error:
        problems.append(Problem("", str(path), f"cannot be read: {error.strerror}"))
        return {}
    except (ValueError, RecursionError) as error:  # Not UTF-8, or not TOML: the parser names the line.
        line = re.search(r"\(at line (\d+), column \d+\)", str(error))
        problems.append(Problem("", f"{path}, line {line[1]}" if line else str(path), f"not TOML: {error}"))
        return {}
    lines = lines_of(text)
    found: dict[str, _Setting] = {}
    for section, table in document.items():
        for key, value in _keys(section, table):
            line_number = lines.get(key, lines.get(section))
            where = f"{path}, line {line_number}" if line_number else str(path)
            found[key] = _Setting(value, where, is_text=False)
    return found


def _keys(section: str, table: object) -> list[tuple[str, object]]:
    """Return (dotted key, value) for what stands in a section; a section that is none, or not known, as one key."""
    if isinstance(table, dict) and section in _SECTIONS:
        return [(f"{section}.{name}", value) for name, value in table.items()]
    return [(section, table)]


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Setting]:
    found: dict[str, _Setting] = {}
    if environ.get(f"{PREFIX}DATA"):
        found["node.data"] = _Setting(environ[f"{PREFIX}DATA"], f"{PREFIX}DATA", is_text=True)
    for name, value in sorted(environ.items()):
        # Others that begin alike are not ours: Kubernetes sets ENTREPOT_PORT for a service named entrepot.
        if value and name.startswith(PREFIX) and "__" in name:
            key = name.removeprefix(PREFIX).lower().replace("__", ".", 1)
            found[key] = _Setting(value, name, is_text=True)
    return found


def _converted(key: str, setting: _Setting) -> object:
    value = str(setting.value) if isinstance(setting.value, Path) else setting.value
    if setting.is_text and isinstance(value, str) and key in _LISTS:
        value = [part for part in (part.strip() for part in value.split(",")) if part]
    try:
        converted = msgspec.convert(value, _TYPES[key], strict=not setting.is_text)
    except msgspec.ValidationError:
        raise ValueError(_in_words(_TYPES[key], value)) from None
    parse = _PARSERS.get(key)
    if parse is None or converted is None:
        return converted
    return tuple(parse(one) for one in converted) if key in _LISTS else parse(converted)


def _in_words(kind: Any, value: object) -> str:  # noqa: ANN401 - a type, for which typing has no name
    """Say what would be right: msgspec's own words are those of its types."""
    schema = msgspec.json.schema(kind)
    schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    if "enum" in schema:
        close = difflib.get_close_matches(str(value), schema["enum"], 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{value!r} is not one of {', '.join(schema['enum'])}{hint}"
    match schema["type"]:
        case "integer":
            wanted = f"an integer from {schema['minimum']} to {schema['maximum']}"
        case "number" if "minimum" in schema:
            wanted = f"a number from {schema['minimum']} to {schema['maximum']}"
        case "number":
            wanted = f"a number above {schema['exclusiveMinimum']} and up to {schema['maximum']}"
        case "boolean":
            wanted = "true or false"
        case "array":
            wanted = f"a list of {schema.get('minItems', 0)} to {schema['maxItems']} texts"
        case _:
            wanted = "text" if not schema.get("minLength") else "text that is not empty"
    return f"{str(value)[:80]!r} is not {wanted}"


def _unknown(key: str) -> str:
    """Return what *key*, which is none, may have been meant for."""
    section, _, name = key.partition(".")
    names = {one.partition(".")[2]: one for one in _TYPES}
    if section in _SECTIONS and not name:
        return f"has to be a table: [{section}]"
    if section in _SECTIONS:
        inside = [one for one in names if names[one].startswith(f"{section}.")]
        close = difflib.get_close_matches(name, inside, 1) or difflib.get_close_matches(name, names, 1, 0.9)
        hint = f"did you mean {names[close[0]]}?" if close else f"[{section}] has {', '.join(inside)}"
    else:
        close = difflib.get_close_matches(section, _SECTIONS, 1)
        hint = f"did you mean [{close[0]}]?" if close else f"the sections are {', '.join(_SECTIONS)}"
    return f"unknown; {hint}"
