"""``host:port``: where to listen, and the names by which others know us; and the URL of a collector."""

import re
from ipaddress import ip_address
from typing import NewType
from urllib.parse import urlsplit

Address = NewType("Address", str)
"""Parsed: ``HOST:PORT``, an IPv6 address in brackets, names in lower case."""

_ADDRESS = re.compile(r"(?:\[([0-9a-f:.]+(?:%[0-9a-z_.-]+)?)\]|([^:\[\]/\s]+)):([0-9]{1,5})", re.ASCII | re.IGNORECASE)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_ALIAS = re.compile(r"[a-z][a-z0-9]+(?:[._-][a-z0-9]+)*", re.ASCII)
_NUMERIC = re.compile(r"[0-9.]+", re.ASCII)


def address(text: str) -> Address:
    """Parse *text*, or raise ``ValueError`` with what would be right."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f"not an address: {text[:80]!r}; write {_hint(text)}")
    host, port = (found[1] or found[2]).lower(), int(found[3])
    if port > 65_535:
        raise ValueError(f"no port: {port}; ports end at 65535")
    if not _is_host(host):
        raise ValueError(f"neither a name nor an IP address: {host[:80]!r}")
    return Address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def public_host(text: str) -> str:
    """Parse ``HOST`` or ``HOST:PORT`` and return it in lower case, or raise ``ValueError``."""
    if text.startswith("[") and text.endswith("]"):
        return address(f"{text}:0").removesuffix(":0")
    return str(address(text)) if ":" in text else address(f"{text}:0").removesuffix(":0")


def public_alias(text: str) -> str:
    """Parse the alias of a public registry, as ECR Public takes it, or raise ``ValueError``."""
    if not 2 <= len(text) <= 50 or not _ALIAS.fullmatch(text):
        raise ValueError(f"not an alias: {text[:80]!r}; 2 to 50 of a-z, 0-9 and single . _ -, beginning with a letter")
    if text == "public":
        raise ValueError("public is what stands before every alias where images are not at a host of their own")
    return text


def endpoint(text: str) -> str:
    """Parse the URL of a collector: ``http://host:port`` or ``https://``, with or without a path; or ``ValueError``."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not _is_host(host.lower()):
        raise ValueError(f"{text[:80]!r} is not the URL of a collector; write http://HOST:4318 or https://HOST:PORT")
    if "@" in parts.netloc or parts.query or parts.fragment or not text.isascii() or any(one <= " " for one in text):
        raise ValueError("a URL with a user, a query or blanks; what a collector wants to know goes into headers_file")
    if port == 0:
        raise ValueError("no port: 0")
    return text


def host_port(address: Address) -> tuple[str, int]:
    """Return the host, without brackets, and the port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: Address) -> bool:
    """Whether only this machine can connect to *address*. Of names, ``localhost`` alone is believed."""
    host, _ = host_port(address)
    return host == "localhost" or (_is_ip(host) and ip_address(host).is_loopback)


def is_wildcard(address: Address) -> bool:
    """Whether *address* stands for all addresses of this machine."""
    host, _ = host_port(address)
    return _is_ip(host) and ip_address(host).is_unspecified


def _is_host(host: str) -> bool:
    return _is_ip(host) or (_NUMERIC.fullmatch(host) is None and _NAME.fullmatch(host) is not None)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _hint(text: str) -> str:
    if text.removeprefix(":").isdigit():
        port = text.removeprefix(":")
        return f"127.0.0.1:{port} for this machine alone, 0.0.0.0:{port} or [::]:{port} for the network"
    if text.count(":") > 1 and "[" not in text and _is_ip(text):
        return f"[{text}]:5000"
    if "/" in text:
        return "HOST:PORT, without a scheme or a path"
    return "HOST:PORT, as in 127.0.0.1:5000 or [::1]:5000"
