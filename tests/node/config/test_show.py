"""What is shown can be loaded again, and explains each key."""

import json
import tomllib
from pathlib import Path

import msgspec

from node.config.load import load
from node.config.settings import Config
from node.config.show import schema, to_toml


def test_what_is_shown_loads_as_the_same(tmp_path: Path) -> None:
    flags: dict[str, object] = {
        "node.data": 'a "b"\\\n\u00e9\x7f',
        "listen.address": ["127.0.0.1:1", "[::1]:2"],
        "listen.peer": "10.0.0.1:6000",
        "limits.grace": 0.5,
        "log.access": False,
    }
    for config in (Config(), load(None, {}, flags)):
        (tmp_path / "entrepot.toml").write_text(to_toml(config))
        assert load(tmp_path / "entrepot.toml", {}, {}) == config


def test_every_key_is_shown_and_explained() -> None:
    shown = to_toml(Config())
    sections = tomllib.loads(shown)
    for section in msgspec.structs.fields(Config):
        assert section.name in sections
        for field in msgspec.structs.fields(section.type):
            assert f"\n{field.name} =" in shown or f"\n# {field.name} =" in shown
    assert "# \n" not in shown


def test_the_schema_is_json_and_closed() -> None:
    definitions = json.loads(msgspec.json.encode(schema()))["$defs"]
    assert all(one["additionalProperties"] is False for one in definitions.values())
    assert set(definitions["RegistrySettings"]["properties"]["create_on_push"]["enum"]) == {"any", "templates", "never"}
