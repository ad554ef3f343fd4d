"""``Config`` as a TOML file that says what each key means, and as a JSON schema for editors."""

import json
from typing import Any

import msgspec

from node.config.settings import Config


def schema() -> dict[str, Any]:
    """Return the JSON schema of the file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "entrepot",
        **msgspec.json.schema(Config),
    }


def to_toml(config: Config) -> str:
    """Return a file that ``load`` reads as *config*; what is not set stands in it as a comment."""
    lines: list[str] = []
    for section in msgspec.structs.fields(Config):
        lines += [f"[{section.name}]"]
        settings = getattr(config, section.name)
        for field in msgspec.structs.fields(section.type):
            value = getattr(settings, field.name)
            lines.append(f"# {_description(field.type)}")
            lines.append(f"# {field.name} =" if value is None else f"{field.name} = {_value(value)}")
        lines.append("")
    return "\n".join(lines)


def _description(kind: Any) -> str:  # noqa: ANN401 - a type, for which typing has no name
    return str(msgspec.json.schema(kind).get("description", ""))


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        # A JSON string is a TOML string, but for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
