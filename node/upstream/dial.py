"""From a parsed URL to a connection: resolve once, check every address, connect to one that was checked, TLS.

Theory of operation
===================
A name is resolved once, and the address that was checked is the one that is dialled: a server of names that answers
differently the second time (DNS rebinding) is not asked a second time. Where one of a name's addresses may not be
dialled, none is: such a name is a trap or a mistake. What this machine itself is called by is found by binding to the
address, which the kernel allows for its own ones alone.

Source: reliability.md S27.
"""

import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import trio

from protocol.errors import NotReached
from protocol.rules.outbound import Address, Network, Target, refusal

PATIENCE = 15.0  # Seconds for all of it.
CONNECT = 5.0  # Seconds for one address.
RESOLVING = 16  # Names at once, in threads of their own: servers of names that stall hold up no thread of the store.
MAX_ADDRESSES = 8  # Of one name.

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""``resolve(host, port)``: the addresses of a name as texts; ``OSError`` where it has none."""


@dataclass(frozen=True, slots=True)
class Dialer:
    """Makes connections; its parts are functions for tests to bring their own."""

    resolve: Resolve
    is_own: Callable[[Address], bool]

    async def dial(
        self, target: Target, allowed: tuple[Network, ...], context: ssl.SSLContext | None
    ) -> trio.abc.Stream:
        """Return a connection to *target*.

        Args:
            target: where to.
            allowed: addresses that the rule names, which are dialled although they are not public.
            context: for TLS, which *target* says whether it is.

        Raises:
            NotReached: no address may be dialled, none answers within ``PATIENCE``, or the server does not prove who
                it is.
        """
        with trio.move_on_after(PATIENCE):
            return await self._dial(target, allowed, context)
        raise NotReached(f"no connection to {target.authority} in {PATIENCE:g} s")

    async def _dial(
        self, target: Target, allowed: tuple[Network, ...], context: ssl.SSLContext | None
    ) -> trio.abc.Stream:
        addresses = await self._addresses(target)
        for address in addresses:
            why = refusal(address, allowed, is_own=self.is_own(address))
            if why:
                leads = "" if str(address) == target.host else f" is {address}, which"
                raise NotReached(f"{target.host}{leads} is {why}: the rule has to allow that (--allow-address)")
        stream = await _connect(addresses, target)
        if not target.is_tls:
            return stream
        assert context is not None
        tls = trio.SSLStream(stream, context, server_hostname=target.host, https_compatible=True)
        is_good = False
        try:
            await tls.do_handshake()
            is_good = True
        except (trio.BrokenResourceError, ssl.SSLError, ssl.CertificateError) as error:
            raise NotReached(f"no TLS with {target.authority}: {_tls_reason(error)}") from error
        finally:
            if not is_good:
                stream.socket.close()
        return tls

    async def _addresses(self, target: Target) -> list[Address]:
        with suppress(ValueError):
            return [ipaddress.ip_address(target.host)]
        try:
            texts = await self.resolve(target.host, target.port)
        except OSError as error:
            raise NotReached(f"{target.host} has no address: {error.strerror or error}") from error
        if not texts:
            raise NotReached(f"{target.host} has no address")
        return [ipaddress.ip_address(text) for text in texts[:MAX_ADDRESSES]]


def system_dialer() -> Dialer:
    """Return the dialer that asks the system's resolver."""
    limiter = trio.CapacityLimiter(RESOLVING)

    async def resolve(host: str, port: int) -> list[str]:
        find = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await trio.to_thread.run_sync(find, abandon_on_cancel=True, limiter=limiter)
        return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))

    return Dialer(resolve, is_own_address)


def tls_context(authority: str) -> ssl.SSLContext:
    """Return what verifies a server: by the certificates in PEM *authority*, or by the system's where it is empty.

    Takes some 20 ms: for a thread. Raises ``NotReached`` where *authority* is no certificate.
    """
    try:
        context = ssl.create_default_context(cadata=authority or None)
    except (ssl.SSLError, ValueError) as error:
        raise NotReached(f"the authority is not a certificate in PEM: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def is_own_address(address: Address) -> bool:
    """Whether the kernel lets this machine bind to *address*."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


async def _connect(addresses: list[Address], target: Target) -> trio.SocketStream:
    failed: OSError | None = None
    for address in addresses:
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        connected = False
        try:
            with trio.move_on_after(CONNECT):
                await sock.connect((str(address), target.port))
                connected = True
        except OSError as error:
            failed = error
        finally:
            if not connected:
                sock.close()
        if connected:
            return trio.SocketStream(sock)
    reason = "no answer in time" if failed is None else failed.strerror or str(failed)
    raise NotReached(f"no connection to {target.authority}: {reason}") from failed


def _tls_reason(error: Exception) -> str:
    cause = error.__cause__ or error
    return getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause) or "the connection broke"
