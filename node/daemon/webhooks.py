"""How webhooks reach their receivers: the client of ``node.upstream``, with what a webhook says of it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from node import __version__
from node.registry.deliveries import Connect, Post, Told
from node.telemetry.tracing import Tracer, outgoing
from node.upstream.client import Client, retry_after
from node.upstream.dial import Dialer, tls_context
from protocol.errors import NotReached, UpstreamFault
from protocol.events.queue import Refused, Unreached, outcome_of
from protocol.events.request import WebhookRequest
from protocol.events.webhook import Webhook

_TEXT = 500  # Characters of an answer that people are shown.


def webhook_connect(dialer: Dialer, tracer: Tracer) -> Connect:
    """Return what opens webhooks; each try to tell one is a trace of *tracer*'s, which the receiver can go on with."""

    @asynccontextmanager
    async def connect(webhook: Webhook) -> AsyncIterator[Post]:
        target = webhook.target
        client: Client | None = None

        async def post(request: WebhookRequest) -> Told:
            nonlocal client
            try:
                if client is None:
                    context = await trio.to_thread.run_sync(tls_context, webhook.authority) if target.is_tls else None
                    client = Client(dialer, target, webhook.networks, context)
                agent = ("user-agent", f"entrepot/{__version__}")
                with tracer.root("deliver", receiver=target.host):
                    headers = (agent, *outgoing(), *request.headers)
                    answer = await client.request("POST", headers, request.body, patience=webhook.timeout)
            except NotReached as fault:
                return Told(Unreached(str(fault)))
            except UpstreamFault as fault:
                return Told(Refused(str(fault), is_lasting=False))
            outcome = outcome_of(answer.status, retry_after=retry_after(answer, time.time()))
            return Told(outcome, answer.status, answer.body.decode(errors="replace")[:_TEXT])

        try:
            yield post
        finally:
            if client is not None:
                client.close()

    return connect
