"""A refusal as the client sees it: who did not say who it is, or showed too little, is told how it logs in."""

from collections.abc import Iterator

from node.api.oci.answer import refused
from node.http.entrance import Entrance
from node.http.message import Request, Response
from protocol.auth.caller import Caller
from protocol.auth.challenge import Scope
from protocol.errors import Denied, Refusal, ScopeInsufficient, SignatureMissing

_ACTIONS = {"GET": ("pull",), "HEAD": ("pull",), "DELETE": ("delete",)}
_PUSH = ("pull", "push")


def refuse(entrance: Entrance, request: Request, caller: Caller | None, refusal: Refusal) -> Response:
    """Return the answer for *refusal* to *caller*, who is ``None`` where that could not be told.

    Nobody in particular gets a 401 where somebody would get a 403: whatever is asked for may be there for them. So does
    who showed a token for less than this request, unless another one would be for no more.
    """
    if isinstance(refusal, Denied) and caller is not None:
        if not caller.account:
            refusal = SignatureMissing("authentication required")
        elif isinstance(refusal, ScopeInsufficient) and not entrance.gives(caller, _scopes(request)):
            refusal = Denied(str(refusal))
    if refusal.status == 401:
        refusal.headers = (*refusal.headers, *entrance.challenge(request, _scopes(request)))
    return refused(refusal)


def _scopes(request: Request) -> Iterator[Scope]:
    """Yield what a token for this very request has to be for."""
    if request.path == "/v2/_catalog":
        yield Scope("*", ("*",))
    name = request.params.get("name")
    if name is not None:
        yield Scope(name, _ACTIONS.get(request.method, _PUSH))
    if name is not None and request.parameters("mount"):
        yield from (Scope(one, ("pull",)) for one in request.parameters("from")[:1] if one != name)
