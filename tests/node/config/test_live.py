"""What a changed configuration changes while a node runs, and what it does not."""

import msgspec

from node.config.live import LIVE, changes, in_force
from node.config.load import load
from node.config.settings import Config

HERE = load(None, {}, {})
TLS = {"listen.tls_certificate": "a.pem", "listen.tls_key": "a.key"}


def test_every_live_key_is_a_key() -> None:
    keys = {
        f"{one.name}.{key}"
        for one in msgspec.structs.fields(Config)
        for key in getattr(HERE, one.name).__struct_fields__
    }
    assert keys >= LIVE


def test_nothing_changes_nothing() -> None:
    assert changes(HERE, HERE).live == changes(HERE, HERE).restart == ()


def test_what_is_live_is_taken_and_the_rest_is_told() -> None:
    new = load(
        None, {}, {"limits.idle": "5", "listen.address": "127.0.0.1:5001", "node.data": "b", "log.access": "false"}
    )
    assert changes(HERE, new).live == ("limits.idle", "log.access")
    assert changes(HERE, new).restart == ("node.data", "listen.address")
    taken = in_force(HERE, new)
    assert (taken.limits.idle, taken.log.access) == (5.0, False)
    assert (taken.node.data, taken.listen.address) == (HERE.node.data, HERE.listen.address)
    assert changes(taken, new).restart == ("node.data", "listen.address")  # Told again each time.


def test_another_certificate_is_live_and_tls_itself_is_not() -> None:
    tls = load(None, {}, TLS)
    other = load(None, {}, {**TLS, "listen.tls_certificate": "b.pem"})
    assert changes(tls, other).live == ("listen.tls_certificate",)
    for one, next_one in ((HERE, tls), (tls, HERE)):
        assert changes(one, next_one).live == ()
        assert changes(one, next_one).restart == ("listen.tls_certificate", "listen.tls_key")
        assert in_force(one, next_one) == one
