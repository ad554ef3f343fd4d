"""Credentials in a request, of every kind, become a caller."""

from collections.abc import Iterable

from node.api.login.credentials import Basic, Bearer, Nothing, Signed, shown
from node.http.entrance import Entrance, shown_scheme
from node.http.message import Request
from node.registry.authentication.bearer import BearerTokens
from node.registry.authentication.logins import Logins
from node.registry.authentication.passwords import Passwords
from node.registry.authentication.signatures import authenticate_signature, check_signer
from node.registry.authentication.subjects import ANONYMOUS, Client, caller_of_subject
from node.registry.registry import Registry
from protocol.auth.caller import Caller, root_of
from protocol.auth.challenge import Scope, basic_challenge, bearer_challenge
from protocol.auth.sigv4 import Request as SignedRequest
from protocol.errors import SignatureMissing

SERVICES = ("ecr", "ecr-public", "sts", "entrepot")
_ASKED_FIRST = frozenset({"/v2/", "/v2"})
_BASIC_SERVICE = "ecr.amazonaws.com"  # What clients of ECR have seen.


def client_of(request: Request) -> Client:
    """Return where *request* comes from."""
    return Client(request.client, request.id, request.scheme == "https")


def open_entrance(registry: Registry) -> Entrance:
    """Return the entrance of a node that is open: everyone is root, and what they show is not looked at."""
    account = registry.name.account
    root = root_of(account)

    def known(request: Request) -> Caller:
        return Caller(root, account, request.client, request.id, is_secure=request.scheme == "https")

    async def identify(request: Request, _body: bytes) -> Caller:
        return known(request)

    return Entrance(known, identify, challenge, is_open=True)


def guarded_entrance(registry: Registry, bearer: BearerTokens, passwords: Passwords, logins: Logins) -> Entrance:
    """Return the entrance of a node whose callers have to say who they are; nobody is the anonymous caller."""

    def known(request: Request) -> Caller | None:
        header = request.headers.get("authorization", "")
        return bearer.known(header[7:], client_of(request)) if header.startswith("Bearer ") else None

    async def identify(request: Request, body: bytes) -> Caller:
        client = client_of(request)
        match shown(request):
            case Bearer(token):
                return bearer.authenticate(token, client)
            case Basic(name, password):
                return await passwords.authenticate(name, password, client)
            case Signed():
                with logins.counted("signature"):
                    return authenticate_signature(registry, signed_request(request), body, client, services=SERVICES)
            case Nothing():
                return caller_of_subject(registry, ANONYMOUS, client)

    def admit(request: Request) -> None:
        match shown(request):
            case Signed():
                check_signer(registry, signed_request(request))
            case Nothing():
                raise SignatureMissing("Missing Authentication Token")
            case _:
                pass  # These are looked at when the body is here: that costs as much now as then.

    return Entrance(known, identify, challenge, is_open=False, gives=bearer.would_give, admit=admit)


def challenge(request: Request, scopes: Iterable[Scope]) -> tuple[tuple[str, str], ...]:
    """Return how a client logs in: by a token of this very host and port, or by name and password.

    Docker's daemon asks ``/v2/`` what there is, then does all of it at once, and gives up where it has no password for
    Basic: nobody could pull what is public. So there is nothing but the token.
    """
    base = f"{shown_scheme(request)}://{request.host}"
    bearer = ("www-authenticate", bearer_challenge(f"{base}/token", request.host, scopes))
    if request.path in _ASKED_FIRST:
        return (bearer,)
    return bearer, ("www-authenticate", basic_challenge(f"{base}/", _BASIC_SERVICE))


def signed_request(request: Request) -> SignedRequest:
    """Return what was signed, as it came."""
    path, _, query = request.target.partition("?")
    headers = list(request.headers.items())
    if "host" not in request.headers:  # HTTP/2 has it under another name.
        headers.append(("host", request.host))
    return SignedRequest(request.method, path, query, headers)
