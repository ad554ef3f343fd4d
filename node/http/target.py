"""What a request names: its target and its host, decoded once and strictly.

Routing and authorization see the same decoded path, so that no second reading of it can differ. A path that would
read differently after another round of decoding, or to a file system, is refused here: ``%2f``, ``%5c``, ``%00``,
a backslash, bytes that are not UTF-8. A Host is a name or an address with a port and nothing else, for it ends up
in the absolute URLs of answers.

Source: RFC 3986, 2.1 and 3.2.2; RFC 9112, 3.2 (only the origin form is served).
"""

import re
from urllib.parse import unquote_to_bytes

from node.http.failures import Rejected
from node.http.limits import Limits

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~:@!$&'()*+,;=/-]*")
_PATH = re.compile(r"/(?:[!$&-\[\]-~]|%[0-9A-Fa-f]{2})*")  # VCHAR without " # % and backslash.
_QUERY = re.compile(r"(?:[!$&-~]|%[0-9A-Fa-f]{2})*")
_HIDDEN = re.compile(r"%(?:2f|5c|00)", re.IGNORECASE)
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def parse_target(target: str, limits: Limits) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the path and the query of an origin-form *target*, or raise ``Rejected``."""
    if _PLAIN_PATH.fullmatch(target) and len(target) <= limits.target:
        return target, ()
    if len(target) > limits.target:
        raise Rejected(414, "the request target is too long", "target")
    raw_path, question, raw_query = target.partition("?")
    if not _PATH.fullmatch(raw_path):
        raise Rejected(400, "the request target is not an absolute path")
    if _HIDDEN.search(raw_path):
        raise Rejected(400, "the path hides a slash, a backslash or a NUL")
    return _decode(raw_path), _parse_query(raw_query, limits) if question else ()


def parse_host(host: str) -> str:
    """Return *host* if it is ``name[:port]``, ``address[:port]`` or ``[v6][:port]``; raise ``Rejected`` if not."""
    if not _HOST.fullmatch(host):
        raise Rejected(400, "the Host is not a name or an address with a port")
    return host


def host_name(host: str) -> str:
    """Return the name or address in a parsed *host*, lower-case, without port and brackets."""
    if host.startswith("["):
        return host[1 : host.index("]")].lower()
    return host.partition(":")[0].lower()


def _parse_query(raw: str, limits: Limits) -> tuple[tuple[str, str], ...]:
    if not _QUERY.fullmatch(raw):
        raise Rejected(400, "the query is not percent-encoded")
    if raw.count("&") >= limits.parameters:
        raise Rejected(400, "too many query parameters", "parameters")
    pairs = []
    for parameter in raw.split("&"):
        if parameter:
            name, _, value = parameter.replace("+", " ").partition("=")
            pairs.append((_decode(name), _decode(value)))
    return tuple(pairs)


def _decode(text: str) -> str:
    if "%" not in text:
        return text
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise Rejected(400, "the request target is not UTF-8") from error
    if "\0" in decoded:
        raise Rejected(400, "the request target has a NUL")
    return decoded
