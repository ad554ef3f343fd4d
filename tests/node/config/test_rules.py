"""Who has to log in follows from where the node listens, unless that is said."""

import msgspec
import pytest

from node.config.addresses import Address
from node.config.rules import requires_authentication
from node.config.settings import AuthSettings, Config, ListenSettings


@pytest.mark.parametrize(
    ("addresses", "is_allowed", "mode", "expected"),
    [
        (["127.0.0.1:5000", "[::1]:5000"], False, "auto", False),
        (["127.0.0.1:5000", "10.0.0.1:5000"], False, "auto", True),
        (["0.0.0.0:5000"], False, "auto", True),
        (["0.0.0.0:5000"], True, "auto", False),
        (["0.0.0.0:5000"], True, "required", True),
        (["127.0.0.1:5000"], False, "required", True),
        (["0.0.0.0:5000"], True, "open", False),
    ],
)
def test_who_has_to_log_in(addresses: list[str], is_allowed: bool, mode: str, expected: bool) -> None:
    listen = ListenSettings(address=tuple(map(Address, addresses)), allow_open_network=is_allowed)
    config = Config(listen=listen, auth=msgspec.convert({"mode": mode}, AuthSettings))
    assert requires_authentication(config) == expected
