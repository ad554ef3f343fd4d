"""TLS settings of the front door. What peers use is theirs to say: ``node.peers.tls``.

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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(certificate, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS_12)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
