"""When the certificates run out that this node shows to others."""

from pathlib import Path

from cryptography import x509


class Expiry:
    """Of a certificate in a PEM file, which may be replaced at any time; a look costs a ``stat`` while it is not."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0.0  # Modification time of what was read.
        self._at = 0.0

    def at(self) -> float:
        """Return seconds since 1970; of the first certificate of the file, and 0 where that cannot be read."""
        try:
            modified = self._file.stat().st_mtime
            if modified != self._read:
                certificate = x509.load_pem_x509_certificate(self._file.read_bytes())
                self._read, self._at = modified, certificate.not_valid_after_utc.timestamp()
        except (OSError, ValueError):
            return 0.0
        return self._at
