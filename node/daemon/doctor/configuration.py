"""What is allowed and still not wise, and certificates."""

import time
from collections.abc import Mapping

from node.config.addresses import is_loopback
from node.config.settings import Config
from node.daemon.doctor.checks import Check, fail, ok, warn

_WEEK, _MONTH = 7 * 86_400.0, 30 * 86_400.0


def check_configuration(config: Config, restart: tuple[str, ...]) -> list[Check]:
    """Look at *config*, which is in force; *restart* are keys that the file says otherwise."""
    found = [_open(config)]
    if config.registry.read_only:
        found.append(
            warn("configuration", "read-only", "registry.read_only is set", "take it out, then `entrepot reload`")
        )
    if restart:
        found.append(warn("configuration", "file", f"{', '.join(restart)}: not what is in force", "restart the node"))
    return found


def check_certificates(expires: Mapping[str, float], now: float) -> list[Check]:
    """Look at when certificates run out, by who sees them; 0 is one that cannot be read."""
    return [_certificate(shown_to, at, now) for shown_to, at in expires.items()]


def _open(config: Config) -> Check:
    exposed = ", ".join(one for one in config.listen.address if not is_loopback(one))
    if not exposed:
        return ok(
            "configuration", "addresses", f"clients connect at {', '.join(config.listen.address)}, from here alone"
        )
    if config.listen.tls_certificate is None:
        text = f"{exposed}: everyone there may push and delete, and others on the way read and change it"
        return fail("configuration", "addresses", text, "serve TLS (listen.tls_certificate), or listen on 127.0.0.1")
    text = f"{exposed}: everyone who reaches it may push and delete"
    return warn(
        "configuration", "addresses", text, "let only those reach it who may, by a firewall or a network policy"
    )


def _certificate(shown_to: str, at: float, now: float) -> Check:
    left = at - now
    if not at:
        return fail("certificates", shown_to, "cannot be read", "look at the file, and `entrepot reload`")
    text = f"until {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(at))}"
    if left < 0:
        return fail("certificates", shown_to, f"{text}: it has run out", "renew it: handshakes fail")
    if left < _WEEK:
        return fail("certificates", shown_to, f"{text}, {left / 86_400:.1f} days", "renew it")
    if left < _MONTH and shown_to == "peers":
        return warn("certificates", shown_to, f"{text}, {left / 86_400:.0f} days", "have the node join anew in time")
    return ok("certificates", shown_to, text)
