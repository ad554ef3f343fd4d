"""How trusted issuers are asked: by the client of ``node.upstream``, a new connection each time, in a few seconds."""

import trio

from node import __version__
from node.registry.authentication.federation import Fetch
from node.registry.authentication.issuers import Issuer
from node.upstream.client import MAX_BODY, Client
from node.upstream.dial import Dialer, tls_context
from protocol.errors import IssuerUnreachable, RuleInvalid, UpstreamFault
from protocol.rules.outbound import target

_PATIENCE = 5.0  # Seconds for an answer; connecting has its own.
_FORM = "application/x-www-form-urlencoded"


def issuer_fetch(dialer: Dialer) -> Fetch:
    """Return what asks an issuer."""

    async def fetch(issuer: Issuer, url: str, form: bytes | None) -> bytes:
        try:
            to = target(url, allow_http=issuer.allows_http)
            context = await trio.to_thread.run_sync(tls_context, issuer.authority) if to.is_tls else None
            client = Client(dialer, to, issuer.networks, context)
            headers = [("user-agent", f"entrepot/{__version__}"), ("accept", "application/json")]
            headers += [] if form is None else [("content-type", _FORM)]
            try:
                method = "GET" if form is None else "POST"
                answer = await client.request(method, tuple(headers), form or b"", patience=_PATIENCE, again=False)
            finally:
                client.close()
        except (UpstreamFault, RuleInvalid) as fault:
            raise IssuerUnreachable(str(fault)) from fault
        if answer.status != 200:  # Redirects among them: whoever answers one says where else to ask, and nobody is.
            raise IssuerUnreachable(f"{to.origin} answers {answer.status}, not 200")
        if len(answer.body) >= MAX_BODY:
            raise IssuerUnreachable(f"{to.origin} answers with {MAX_BODY} bytes or more")
        return answer.body

    return fetch
