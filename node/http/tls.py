"""TLS settings of the front door. What peers use is theirs to say: ``node.peers.tls``.

TLS 1.2 with forward secrecy and authenticated encryption only, or TLS 1.3. Renegotiation is off, for it lets a client
make a server compute; so is compression.

A certificate can be replaced in a context that is in use: handshakes from then on show the new one, connections that
are open keep theirs. OpenSSL takes certificate and key one after the other and from files only, so a pair that does
not fit would leave a context that has neither. Therefore both files are read once into memory, tried in a context
that nobody uses, and loaded from that memory.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

_CIPHERS_12 = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Pair(msgspec.Struct, frozen=True):
    """A certificate chain and its private key, each the bytes of a PEM file."""

    certificate: bytes
    key: bytes


def client_context(pair: Pair) -> ssl.SSLContext:
    """Return what the front door uses: TLS 1.2 or 1.3, HTTP/2 or HTTP/1.1.

    Raises:
        ssl.SSLError: the two do not belong together, or are no PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    _load(context, pair)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS_12)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def replace_pair(context: ssl.SSLContext, pair: Pair) -> None:
    """Show *pair* in the handshakes of *context* from now on; where it raises, nothing has changed.

    Raises:
        ssl.SSLError: the two do not belong together, or are no PEM.
    """
    client_context(pair)
    _load(context, pair)


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    with _file(pair.certificate) as certificate, _file(pair.key) as key:
        context.load_cert_chain(certificate, key, password=_no_password)


@contextmanager
def _file(data: bytes) -> Iterator[str]:
    """Yield the name of a file in memory: what was read is what is loaded, whatever happens to the real one."""
    fd = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(fd, data)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _no_password() -> str:
    # Without this OpenSSL asks at the terminal, and the whole node waits for an answer.
    raise ssl.SSLError("the key is protected by a password; a node has nobody to ask for it")
