"""TLS between nodes: contexts for both sides, and a stream for the side that dials.

TLS 1.3 only and no resumption, for a resumed session checks no certificate. OpenSSL checks chains against all
trusted authorities together; which authority may speak for which account is checked after the handshake
(``certificates.check_node``). The listening side's handshakes are the server engine's.

The stream decrypts many records between two waits: a record holds 16 KiB, and waiting for each would cost more
than its bytes do. Measured (2 cores, OpenSSL 3.0): 1.6 GB/s received, against 1.3 GB/s by a non-blocking SSLSocket,
which asks the kernel twice for each record.
"""

import socket
import ssl
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import trio

from node.peers.certificates import Authority

ALPN = "h2"
READ = 262_144  # Bytes asked of the kernel at once.
WRITE = 262_144  # Bytes encrypted at once.
_RECORD = 16_384  # Bytes that one call of OpenSSL returns at most.


def server_context(folder: Path, authorities: Iterable[Authority]) -> ssl.SSLContext:
    """Return the context of the peer port. A client may come without a certificate, to join."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, authorities)
    context.load_cert_chain(folder / "node.pem", folder / "node.key")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0
    return context


def client_context(folder: Path, authorities: Iterable[Authority]) -> ssl.SSLContext:
    """Return the context with which a node dials others."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, authorities)
    context.load_cert_chain(folder / "node.pem", folder / "node.key")
    context.check_hostname = False  # Nodes are names of their own, wherever they are.
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def joining_context() -> ssl.SSLContext:
    """Return the context of a joiner: it has no certificate, and checks the server's against its token itself."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, ())
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(protocol: int, authorities: Iterable[Authority]) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([ALPN])
    for authority in authorities:
        context.load_verify_locations(cadata=authority.pem.decode())
    return context


class TlsStream:
    """The dialling side of one TLS connection. One task may receive while another sends.

    Every failure of the connection comes out as ``trio.BrokenResourceError``.
    """

    def __init__(self, sock: trio.socket.SocketType, context: ssl.SSLContext) -> None:
        """Take over *sock*, which is connected."""
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self._read = memoryview(bytearray(READ))

    async def shake_hands(self) -> bytes:
        """Return the other side's certificate in DER; the caller sets the deadline."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send_encrypted()
                if not await self._receive_encrypted():
                    raise trio.BrokenResourceError("the other side hung up during the handshake") from None
            except ssl.SSLError as error:
                await self._send_encrypted()  # The alert that tells the other side why.
                raise trio.BrokenResourceError(f"TLS: {error.reason or error}") from error
        await self._send_encrypted()
        if self._tls.selected_alpn_protocol() != ALPN:
            raise trio.BrokenResourceError("the other side speaks no HTTP/2")
        return self._tls.getpeercert(binary_form=True) or b""

    async def receive_into(self, buffer: memoryview) -> int:
        """Put what is there into *buffer*, at least one byte; return how much, 0 at the end."""
        while True:
            count = self._decrypt(buffer)
            if count:
                return count
            if not await self._receive_encrypted():
                return 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*. When it is cancelled the connection is of no use any more."""
        view = memoryview(data)
        for at in range(0, len(view), WRITE):
            try:
                self._tls.write(view[at : at + WRITE])
            except ssl.SSLError as error:
                raise trio.BrokenResourceError(f"TLS: {error.reason or error}") from error
            await self._send_encrypted()

    def close(self) -> None:
        """Close at once; what is queued in the kernel is still sent."""
        self._sock.close()

    def _decrypt(self, buffer: memoryview) -> int:
        filled = 0
        try:
            while filled < len(buffer):
                count = int(self._tls.read(_RECORD, buffer[filled:]))
                if not count:
                    break
                filled += count
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._incoming.write_eof()
        except ssl.SSLError as error:
            if not filled:
                raise trio.BrokenResourceError(f"TLS: {error.reason or error}") from error
        return filled

    async def _receive_encrypted(self) -> bool:
        if self._incoming.eof:
            return False
        try:
            count = await self._sock.recv_into(self._read)
        except (OSError, trio.ClosedResourceError) as error:
            raise trio.BrokenResourceError(str(error)) from error
        if count:
            self._incoming.write(self._read[:count])
        else:
            self._incoming.write_eof()
        return bool(count)

    async def _send_encrypted(self) -> None:
        data = memoryview(self._outgoing.read())
        try:
            while data:
                data = data[await self._sock.send(data) :]
        except (OSError, trio.ClosedResourceError) as error:
            raise trio.BrokenResourceError(str(error)) from error


async def dial(host: str, port: int, context: ssl.SSLContext) -> tuple[TlsStream, bytes]:
    """Connect and shake hands; return the stream and the other side's certificate. The caller sets the deadline."""
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise trio.BrokenResourceError(f"no connection: {error}") from error
    sock = stream.socket
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000)  # Milliseconds.
    tls = TlsStream(sock, context)
    with ExitStack() as unless_shaken:
        unless_shaken.callback(tls.close)
        certificate = await tls.shake_hands()
        unless_shaken.pop_all()
    return tls, certificate
