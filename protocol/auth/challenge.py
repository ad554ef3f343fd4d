"""How an OCI client is told to log in, and what it asks a token for.

    WWW-Authenticate: Bearer realm="https://HOST/token",service="HOST",scope="repository:team/app:pull,push"

A scope is ``type:name:actions``. The name may hold colons (a host with a port), so the type is cut off at the left and
the actions at the right. What is not understood is left out rather than refused: a client that asks for more than
there is gets a token for the rest.

Source: RFC 9110, 11.6.1; Docker registry token authentication, "Token Scope Documentation".
"""

import re
from collections.abc import Iterable

import msgspec

from protocol.errors import NameInvalid
from protocol.oci.names import repository_name

MAX_SCOPES = 16
ACTIONS = ("pull", "push", "delete", "*")
CATALOG = "registry:catalog:*"
_SCOPE = re.compile(r"(repository(?:\([a-z]+\))?|registry):([^\s]{1,300}):([a-z*,]{1,64})", re.ASCII)


class Scope(msgspec.Struct, frozen=True):
    """What a client asks a token for: *actions* on repository *name*, or on the catalog where it is ``*``."""

    name: str
    actions: tuple[str, ...]  # Of ``ACTIONS``, in that order.


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Return the scopes that *texts* name, each text with one or more between spaces; those of one name as one."""
    found: dict[str, set[str]] = {}
    for text in (one for many in texts for one in many.split(" ")):
        if text == CATALOG:
            found.setdefault("*", set()).add("*")
        elif (parsed := _SCOPE.fullmatch(text)) and parsed[1].startswith("repository") and _is_name(parsed[2]):
            found.setdefault(parsed[2], set()).update(parsed[3].split(","))
    return tuple(
        Scope(name, tuple(action for action in ACTIONS if action in actions))
        for name, actions in list(found.items())[:MAX_SCOPES]
    )


def bearer_challenge(realm: str, service: str, scopes: Iterable[Scope]) -> str:
    """Return the value of ``WWW-Authenticate``; *realm* is the URL of the token endpoint on the host that was used."""
    fields = [("realm", realm), ("service", service)]
    wanted = " ".join(scope_text(one) for one in scopes)
    if wanted:
        fields.append(("scope", wanted))
    return "Bearer " + ",".join(f'{name}="{value}"' for name, value in fields)


def basic_challenge(realm: str, service: str) -> str:
    """Return the value of ``WWW-Authenticate`` that clients of ECR know."""
    return f'Basic realm="{realm}",service="{service}"'


def scope_text(scope: Scope) -> str:
    """Return *scope* as it stands in a challenge."""
    return CATALOG if scope.name == "*" else f"repository:{scope.name}:{','.join(scope.actions)}"


def _is_name(text: str) -> bool:
    try:
        repository_name(text)
    except NameInvalid:
        return False
    return True
