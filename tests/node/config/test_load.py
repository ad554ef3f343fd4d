"""Flags win over the environment, that over the file; what is wrong is named with its key, its place and the remedy."""

from pathlib import Path

import pytest

from node.config.load import ConfigInvalid, load
from node.config.settings import Config

TLS = {"listen.tls_certificate": "cert.pem", "listen.tls_key": "key.pem"}


def write(folder: Path, text: str) -> Path:
    path = folder / "entrepot.toml"
    path.write_text(text)
    return path


def refused(path: Path | None, environ: dict[str, str], overrides: dict[str, object]) -> list[str]:
    with pytest.raises(ConfigInvalid) as invalid:
        load(path, environ, overrides)
    assert str(invalid.value).splitlines() == [str(one) for one in invalid.value.problems]
    return [str(one) for one in invalid.value.problems]


def test_nothing_is_set() -> None:
    config = load(None, {"HOME": "/root"}, {})
    assert config == Config()
    assert (config.node.data, config.listen.address) == ("./entrepot-data", ("127.0.0.1:5000",))
    assert (config.registry.create_on_push, config.registry.missing_content) == ("any", "refuse")
    assert config.registry.manifest_limit == 4 * 2**20


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[node]\ndata = "a"\n[log]\nlevel = "debug"\naccess = false\n[limits]\nidle = 5\n')
    environ = {"ENTREPOT_NODE__DATA": "b", "ENTREPOT_LOG__LEVEL": "warning", "ENTREPOT_LIMITS__STREAMS": "7"}
    config = load(path, environ, {"node.data": Path("c"), "log.format": None})
    assert (config.node.data, config.log.level, config.log.access) == ("c", "warning", False)
    assert (config.limits.idle, config.limits.streams, config.log.format) == (5.0, 7, "auto")


def test_text_becomes_lists_numbers_and_truth() -> None:
    environ = {
        "ENTREPOT_LISTEN__ADDRESS": "127.0.0.1:5001, [::1]:0,",
        "ENTREPOT_LISTEN__PUBLIC_HOSTS": "Registry.Example.com,other:8443",
        "ENTREPOT_LOG__ACCESS": "false",
        "ENTREPOT_LIMITS__GRACE": "1.5",
    }
    config = load(None, environ, {"listen.peer": "10.0.0.1:6000", "limits.connections": 9})
    assert config.listen.address == ("127.0.0.1:5001", "[::1]:0")
    assert config.listen.public_hosts == ("registry.example.com", "other:8443")
    assert (config.log.access, config.limits.grace, config.limits.connections) == (False, 1.5, 9)
    assert load(None, {}, {"listen.address": ("localhost:1", "localhost:2")}).listen.address[1] == "localhost:2"


def test_the_short_name_of_the_data_directory_gives_way_to_the_long_one() -> None:
    assert load(None, {"ENTREPOT_DATA": "a"}, {}).node.data == "a"
    assert load(None, {"ENTREPOT_DATA": "a", "ENTREPOT_NODE__DATA": "b"}, {}).node.data == "b"


def test_variables_that_are_empty_or_not_ours_are_no_settings() -> None:
    environ = {"ENTREPOT_PORT": "tcp://10.0.0.1:80", "ENTREPOT_LISTEN__PEER": "", "ENTREPOT_DATA": "", "X__Y": "1"}
    assert load(None, environ, {}) == Config()


FILE = """# A comment
[listen]
adress = ["127.0.0.1:5000"]
address = ["5000"]
peer = 5
tls_key.x = 1
[registry]
create_on_push = "anny"
"manifest_limit" = "4"
colour = 1
[limits]
streams = 0
idle = true
level = "debug"
[regstry]
x = 1
"""


def test_all_that_is_wrong_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, FILE)
    assert refused(path, {}, {}) == [
        f"listen.adress ({path}, line 3): unknown; did you mean listen.address?",
        f"listen.address ({path}, line 4): not an address: '5000'; write 127.0.0.1:5000 for this machine alone, "
        "0.0.0.0:5000 or [::]:5000 for the network",
        f"listen.peer ({path}, line 5): '5' is not text",
        f"listen.tls_key ({path}, line 2): \"{{'x': 1}}\" is not text that is not empty",
        f"registry.create_on_push ({path}, line 8): 'anny' is not one of any, never, templates; did you mean 'any'?",
        f"registry.manifest_limit ({path}, line 9): '4' is not an integer from 65536 to 67108864",
        f"registry.colour ({path}, line 10): unknown; "
        "[registry] has create_on_push, missing_content, manifest_limit, read_only",
        f"limits.streams ({path}, line 12): '0' is not an integer from 1 to 1000",
        f"limits.idle ({path}, line 13): 'True' is not a number above 0 and up to 86400",
        f"limits.level ({path}, line 14): unknown; did you mean log.level?",
        f"regstry ({path}, line 15): unknown; did you mean [registry]?",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = [\n1,\n", ": not TOML"),
        ("a = 1\na = 2\n", ", line 2: not TOML"),
        ("listen = 5\n", ", line 1): has to be a table: [listen]"),
        ("[[listen]]\npeer = 1\n", "): has to be a table: [listen]"),
        (
            "zebra = 5\n",
            ", line 1): unknown; the sections are node, listen, auth, registry, quotas, public, limits, encryption, "
            "log, scrub, audit, tracing",
        ),
        ('listen.address = []\n', ", line 1): '[]' is not a list of 1 to 16 texts"),
        ('listen = { address = ["x"] }\n', ", line 1): not an address: 'x'"),
        ("x = " + "[" * 10_000, "not TOML"),
    ],
)  # fmt: skip
def test_a_file_that_is_none(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, text)
    [found] = refused(path, {}, {})
    assert str(path) in found
    assert problem in found


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.toml", {}, {})[0]
    (tmp_path / "latin.toml").write_bytes(b"[node]\ndata = '\xe9'\n")
    assert "not TOML" in refused(tmp_path / "latin.toml", {}, {})[0]


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"ENTREPOT_LOG__LEVEL": "warn"}, "log.level (ENTREPOT_LOG__LEVEL): 'warn' is not one of"),
        ({"ENTREPOT_LISTEN__TLS__KEY": "x"}, "listen.tls__key (ENTREPOT_LISTEN__TLS__KEY): unknown; did you mean"),
        ({"ENTREPOT_LIMITS__STREAMS": "1_0"}, "limits.streams (ENTREPOT_LIMITS__STREAMS): '1_0' is not an integer"),
        ({"ENTREPOT_LOG__ACCESS": "maybe"}, "log.access (ENTREPOT_LOG__ACCESS): 'maybe' is not true or false"),
        ({"ENTREPOT_LIMITS__GRACE": "-1"}, "limits.grace (ENTREPOT_LIMITS__GRACE): '-1' is not a number from 0"),
        ({"ENTREPOT_LIMITS__IDLE": "nan"}, "limits.idle (ENTREPOT_LIMITS__IDLE): 'nan' is not a number"),
    ],
)
def test_a_variable_that_is_wrong_is_named(environ: dict[str, str], problem: str) -> None:
    [found] = refused(None, environ, {})
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"listen.advertise": "a"}, "listen.advertise (command line): not an address"),
        ({"listen.address": "0.0.0.0:5000"}, "--allow-open-network"),
        ({"listen.address": "0.0.0.0:5000"}, "--allow-plain-network"),
        ({"listen.address": "0.0.0.0:5000", "auth.mode": "open", **TLS}, "--allow-open-network"),
        ({"listen.address": "0.0.0.0:5000", "auth.mode": "some"}, "auth.mode"),
        ({"listen.address": "127.0.0.1:1,example.com:2"}, "example.com:2 can be reached"),
        ({"listen.tls_key": "k"}, "listen.tls_certificate: missing"),
        ({"listen.tls_certificate": "k"}, "listen.tls_key: missing"),
        ({"listen.peer": "0.0.0.0:6000"}, "listen.advertise: missing"),
        ({"listen.peer": "[::]:0"}, "listen.advertise: missing"),
        ({"listen.advertise": "a.example:6000"}, "--peer-listen"),
        ({"listen.peer": "10.0.0.1:6000", "listen.advertise": "0.0.0.0:6000"}, "nobody can dial"),
        ({"listen.peer": "10.0.0.1:6000", "listen.advertise": "10.0.0.1:0"}, "nobody can dial"),
        ({"listen.address": "127.0.0.1:5,127.0.0.1:5"}, "listen.address (command line): 127.0.0.1:5 is listened"),
        ({"listen.peer": "127.0.0.1:5000"}, "listen.peer (command line): 127.0.0.1:5000 is listened"),
        ({"tracing.headers_file": "h"}, "tracing.headers_file (command line): there is nobody"),
        ({"tracing.endpoint": "collector:4318"}, "write http://HOST:4318"),
        ({"tracing.endpoint": "ftp://collector"}, "write http://HOST:4318"),
        ({"tracing.endpoint": "http://"}, "write http://HOST:4318"),
        ({"tracing.endpoint": "http://u:p@collector:4318"}, "goes into headers_file"),
        ({"tracing.endpoint": "http://collector:4318/?key=x"}, "goes into headers_file"),
        ({"tracing.endpoint": "http://collector:99999"}, "not a URL"),
        ({"tracing.endpoint": "http://collector:4318/a b"}, "goes into headers_file"),
    ],
)
def test_what_does_not_go_together(overrides: dict[str, object], problem: str) -> None:
    [found] = refused(None, {}, overrides)
    assert problem in found


@pytest.mark.parametrize(
    "overrides",
    [
        {"tracing.endpoint": "https://collector.example:4318/otlp", "tracing.headers_file": "h"},
        {"tracing.endpoint": "http://[::1]:4318"},
        {"listen.address": "0.0.0.0:5000", "listen.allow_open_network": True, **TLS},
        {"listen.address": "[::]:5000", "listen.allow_open_network": True},
        {"listen.address": "[::]:5000", **TLS},
        {"listen.address": "[::]:5000", "listen.allow_plain_network": True},
        {"auth.mode": "required"},
        {"listen.address": "127.0.0.1:0,127.0.0.1:0,[::1]:5000,localhost:5000,127.9.9.9:1"},
        {"listen.peer": "10.0.0.1:6000"},
        {"listen.peer": "[::]:6000", "listen.advertise": "node.example.com:6000"},
    ],
)
def test_what_goes_together(overrides: dict[str, object]) -> None:
    load(None, {}, overrides)


def test_the_public_host_is_none_of_the_private_ones() -> None:
    environ = {"ENTREPOT_LISTEN__PUBLIC_HOSTS": "registry.example.com", "ENTREPOT_PUBLIC__ALIAS": "acme"}
    config = load(None, environ | {"ENTREPOT_PUBLIC__HOST": "Public.Example.com"}, {})
    assert (config.public.alias, config.public.host) == ("acme", "public.example.com")
    [told] = refused(None, environ | {"ENTREPOT_PUBLIC__HOST": "registry.example.com"}, {})
    assert told.startswith("public.host (ENTREPOT_PUBLIC__HOST): registry.example.com is one of listen.public_hosts")
