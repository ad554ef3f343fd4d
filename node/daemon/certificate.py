"""The certificate that clients are shown, and its replacement while the node runs."""

import ssl
from pathlib import Path

from cryptography import x509

from node.config.settings import ListenSettings
from node.http.tls import Pair, client_context, replace_pair
from protocol.errors import NotReady


class ClientCertificate:
    """What is in force; made once, and its context shared by all client ports."""

    def __init__(self, listen: ListenSettings) -> None:
        """Read the files that *listen* names; raises as ``read_certificate``."""
        self.pair = read_certificate(listen)
        self.context: ssl.SSLContext | None = None if self.pair is None else client_context(self.pair)

    def expires(self) -> float:
        """Return when what is shown runs out, in seconds since 1970; 0 where nothing is."""
        if self.pair is None:
            return 0.0
        return x509.load_pem_x509_certificates(self.pair.certificate)[0].not_valid_after_utc.timestamp()

    def replace(self, pair: Pair) -> bool:
        """Show *pair* in new handshakes; whether it is another one. Raises nothing for what was read and checked."""
        if self.context is None or pair == self.pair:
            return False
        replace_pair(self.context, pair)
        self.pair = pair
        return True


def read_certificate(listen: ListenSettings) -> Pair | None:
    """Return the pair that *listen* names, checked; ``None`` where clients speak plain HTTP.

    Raises:
        NotReady: a file cannot be read, or the two are not a certificate and its key; the message says which.
    """
    if listen.tls_certificate is None or listen.tls_key is None:
        return None
    pair = Pair(_read(listen.tls_certificate), _read(listen.tls_key))
    try:
        x509.load_pem_x509_certificates(pair.certificate)
    except ValueError as error:
        raise NotReady(f"{listen.tls_certificate} is no certificate in PEM: {error}") from error
    try:
        client_context(pair)
    except ssl.SSLError as error:
        is_mismatch = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        why = "the key is not that of the certificate" if is_mismatch else str(error)
        raise NotReady(
            f"{listen.tls_certificate} and {listen.tls_key} are not a certificate and its key in PEM: {why}"
        ) from error
    return pair


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise NotReady(f"{name}: {error.strerror}; it has to be a PEM file that this user can read") from error
