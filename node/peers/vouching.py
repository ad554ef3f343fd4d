"""Whose signatures are on a backup: each node's key by its certificate, and that by the authority beside it.

A certificate is asked for its name and its authority, not for its time: records are signed while it holds and read for
years after. Who the authority is has to be known from elsewhere, by its fingerprint; see ``entrepot restore``.
"""

from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.peers.certificates import Authority, check_node, parse_authority, pem_to_der
from node.registry.backup.layout import Certificates
from protocol.errors import Damaged, ParameterInvalid, PeerFault
from protocol.sync.record import Record, Verify


def vouch(registry: str, certificates: Mapping[str, Certificates]) -> Verify:
    """Return what verifies the signatures of these nodes of *registry*.

    Raises:
        Damaged: a certificate is none, or not one for that node by the authority beside it.
    """
    keys = {node: _key(registry, node, one) for node, one in certificates.items()}

    def verify(record: Record, text: bytes, signature: bytes) -> bool:
        key = keys.get(record.node)
        if key is None:
            return False
        try:
            key.verify(signature, text)
        except InvalidSignature:
            return False
        return True

    return verify


def authority_of(certificates: Certificates) -> Authority:
    """Return the authority beside a node's certificate; ``Damaged`` where it is none."""
    try:
        return parse_authority(certificates.authority)
    except ParameterInvalid as error:
        raise Damaged(f"the authority in the backup: {error}") from error


def _key(registry: str, node: str, one: Certificates) -> Ed25519PublicKey:
    try:
        der = pem_to_der(one.node)
        since = x509.load_der_x509_certificate(der).not_valid_before_utc.timestamp()
        certified = check_node(der, [authority_of(one)], now=since)
    except (PeerFault, ValueError, TypeError) as error:
        raise Damaged(f"the certificate of node {node} in the backup: {error}") from error
    if (str(certified.name.registry), certified.name.node) != (registry, node):
        raise Damaged(f"the certificate of node {node} in the backup is that of {certified.name}")
    return certified.key
