"""Who sends a request: what every application of the client port asks before anything else."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from node.http.message import Request
from protocol.auth.caller import Caller
from protocol.auth.challenge import Scope

Known: TypeAlias = Callable[[Request], Caller | None]
"""Who sends this request, where that can be told at once; raises a ``Refusal`` where what it shows is over."""

Identify: TypeAlias = Callable[[Request, bytes], Awaitable[Caller]]
"""Who sends this request with this body, however long that takes; raises a ``Refusal`` where it shows nothing good."""

Challenge: TypeAlias = Callable[[Request, Iterable[Scope]], tuple[tuple[str, str], ...]]
"""The headers of a 401, which tell a client how it logs in for these scopes."""


Gives: TypeAlias = Callable[[Caller, Iterable[Scope]], bool]
"""Whether another token, for these scopes, would let a caller do what the one that it showed does not."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a front door is given to know its callers by."""

    known: Known
    identify: Identify
    challenge: Challenge
    is_open: bool
    """Whether everyone is root here, whatever they show."""
    gives: Gives = lambda _caller, _scopes: False
    admit: Callable[[Request], None] = lambda _request: None
    """Raises a ``Refusal`` where what a request shows is good for nothing, whatever its body is: asked before a large
    one is received."""


def shown_scheme(request: Request) -> str:
    """Return ``http`` or ``https``, as the client has it in its URL: for URLs in answers to it, and nothing else.

    A proxy that ends TLS says so by ``X-Forwarded-Proto``. Anyone can; who lies gets URLs that lead nowhere.
    """
    is_behind_tls = request.headers.get("x-forwarded-proto") == "https"
    return "https" if is_behind_tls else request.scheme
