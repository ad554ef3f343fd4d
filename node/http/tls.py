"""TLS settings: what clients get, and what peers get.

TLS 1.2 with forward secrecy and authenticated encryption only, or TLS 1.3. Renegotiation is off, for it lets a client
make a server compute; so is compression.
"""

import ssl
from pathlib import Path

_CIPHERS_12 = "ECDHE+AESGCM:ECDHE+CHACHA20"


def client_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what the front door uses: TLS 1.2 or 1.3, HTTP/2 or HTTP/1.1.

    Raises:
        OSError: a file cannot be read, or is not what it has to be (``ssl.SSLError``).
    """
    context = _context(certificate, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS_12)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def peer_context(certificate: Path, key: Path, authorities: str | bytes) -> ssl.SSLContext:
    """Return what the peer port uses: TLS 1.3 and HTTP/2 only.

    A client certificate is asked for and, if there is one, has to be signed by one of *authorities* (PEM text or DER
    bytes); the request then carries it. A joiner has none yet: who needs one checks for it.
    """
    context = _context(certificate, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authorities)
    context.set_alpn_protocols(["h2"])
    return context


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(certificate, key)
    return context
