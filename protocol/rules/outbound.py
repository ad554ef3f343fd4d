"""Where this node may connect to on somebody's word: URLs in rules, and the addresses behind their names.

A rule names a URL, and whoever may write rules could point it at what only this machine reaches: loopback, the cloud's
metadata service, the neighbours. So a URL has one spelling (no user, no fragment, no number that some resolvers read
as an address), and an address is dialled only if it is public or if the rule itself names it, as an address or a
network. An address that is wrapped in another (IPv4 in IPv6, NAT64, 6to4, Teredo) is looked at unwrapped. What is
link-local, where metadata services are, has to be named by itself and not by a network.

Source: reliability.md S27; RFC 6890 and the IANA registries of special-purpose addresses; RFC 6052; RFC 3986, 3.2.
"""

import ipaddress
import re
from typing import TypeAlias

import msgspec

from protocol.errors import RuleInvalid

MAX_URL = 2048  # Characters.
MAX_ALLOWED = 16  # Addresses or networks in one rule.

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?(/[!-~]*)?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)  # A last label that makes resolvers read an address.
_METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "fd00:ec2::254", "fd20:ce::254")))
"""Metadata services at addresses that do not look like it: Azure's, and those of AWS and GCP by IPv6."""
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "2001::/23", "3fff::/20", "5f00::/16"),
    )
)
"""Registered as not public, where the ``ipaddress`` of older versions of Python has it otherwise."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_WIDEST = {4: 8, 6: 7}  # Bits of the shortest prefix that a rule can allow.


class Target(msgspec.Struct, frozen=True):
    """A parsed URL."""

    is_tls: bool
    host: str  # A name in lower case, or an address without brackets.
    port: int
    path: str  # With the query; begins with a slash.

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The URL without path and query, which may hold what is nobody's business: for logs."""
        return f"{'https' if self.is_tls else 'http'}://{self.authority}"


def target(url: str, *, allow_http: bool) -> Target:
    """Parse *url*, or raise ``RuleInvalid`` with what is wrong."""
    if len(url) > MAX_URL:
        raise RuleInvalid(f"a URL of {len(url)} characters; at most {MAX_URL} are taken")
    found = _URL.fullmatch(url)
    if found is None or "#" in url or "\\" in url:
        shape = "https://HOST[:PORT]/PATH, in ASCII and without user, password and fragment"
        raise RuleInvalid(f"the URL is not {shape}")
    scheme, host, port, path = found.groups()
    if scheme == "http" and not allow_http:
        raise RuleInvalid(
            "a URL with http:// sends what it says in the clear; use https://, or allow that (--allow-http)"
        )
    number = int(port) if port else 443 if scheme == "https" else 80
    if not 0 < number < 65_536:
        raise RuleInvalid(f"{number} is not a port")
    return Target(scheme == "https", _host(host), number, path or "/")


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise RuleInvalid(f"{text[:64]} is not an IPv6 address") from None
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise RuleInvalid(f"{text[:64]} is not an IPv4 address in its usual form, as 192.0.2.1") from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise RuleInvalid(f"{text[:64]!r} is not the name of a host")
    return name


def allowed_network(text: str) -> Network:
    """Parse an address or network that a rule allows, or raise ``RuleInvalid``."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise RuleInvalid(f"{text[:64]!r} is not an address, nor a network as 10.1.0.0/16") from None
    if network.prefixlen < _WIDEST[network.version]:
        raise RuleInvalid(f"{network} is too much to allow; at least /{_WIDEST[network.version]} is needed")
    return network


def require_dialable(to: Target, allowed: tuple[Network, ...]) -> None:
    """Raise ``RuleInvalid`` where *to* is an address that will not be dialled; of a name that is seen when it is."""
    try:
        address = ipaddress.ip_address(to.host)
    except ValueError:
        return
    why = refusal(address, allowed, is_own=False)
    if why:
        raise RuleInvalid(f"{address} is {why}: the rule has to allow that (--allow-address)")


def refusal(address: Address, allowed: tuple[Network, ...], *, is_own: bool) -> str:
    """Return why *address* must not be dialled, ``""`` where it may.

    Args:
        address: as it was resolved, unscoped.
        allowed: what the rule names.
        is_own: whether it is one of this machine's.
    """
    bare = unwrapped(address)
    named = [network for network in allowed if network.version == bare.version and bare in network]
    if bare in _METADATA or bare.is_link_local:
        return "" if any(one.prefixlen == one.max_prefixlen for one in named) else "link-local, or a metadata service"
    if named:
        return ""
    if bare.is_loopback or bare.is_unspecified:
        return "this machine itself"
    # Multicast is global to ``ipaddress``, and nobody to talk to.
    is_special = any(bare in network for network in _SPECIAL if network.version == bare.version)
    if (
        is_special
        or not bare.is_global
        or bare.is_multicast
        or (isinstance(bare, ipaddress.IPv6Address) and bare.is_site_local)
    ):
        return "not public"
    return "this machine itself" if is_own else ""


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one leads to, or *address* itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
