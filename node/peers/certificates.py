"""Authorities and node certificates: making and checking them.

An authority signs for one account. Its certificate names the account as URI ``entrepot://account``; a node's has
``entrepot://account/region/node`` as its only name. TLS libraries accept a chain to *any* trusted authority, which
would let the authority of one account vouch for nodes of another; so the check that counts is made here after each
handshake: the name is parsed, and the certificate must be signed directly by an authority of that very account.

Source: reliability.md 5, "Keys and names", "Peer TLS"; RFC 5280.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.auth.names import SCHEME, Account, NodeName, authority_account, node_name
from protocol.errors import ParameterInvalid, PeerFault

DAY = 86_400.0  # Seconds.
AUTHORITY_LIFETIME = 3652 * DAY
NODE_LIFETIME = 90 * DAY
MAX_CERTIFICATE = 8192  # Bytes of DER or PEM from outside: parsing more is only ever an attack.
_EARLIER = 300.0  # Seconds before now from which a new certificate holds: clocks of peers may be behind.


class Authority(msgspec.Struct, frozen=True):
    """An authority's certificate, parsed once."""

    account: Account
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """As it is handed out and kept."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of its public key, 32 bytes: stays when the certificate is renewed."""
        return hashlib.sha256(spki(self.certificate.public_key())).digest()


class Certified(msgspec.Struct, frozen=True):
    """What a checked certificate of a node says."""

    name: NodeName
    der: bytes
    key: Ed25519PublicKey
    spki: bytes  # DER.
    expires: float  # UTC, seconds since 1970.


def make_authority(account: Account, key: Ed25519PrivateKey, *, now: float) -> Authority:
    """Return a certificate for *account*, signed by its own *key*."""
    title = _title(f"entrepot authority {account}")
    certificate = (
        _builder(key.public_key(), key, now=now, lifetime=AUTHORITY_LIFETIME)
        .subject_name(title)
        .issuer_name(title)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_name(f"{SCHEME}{account}"), critical=False)
        .sign(key, None)
    )
    return Authority(account, certificate)


def sign_node(
    authority: Authority, authority_key: Ed25519PrivateKey, name: NodeName, key: Ed25519PublicKey, *, now: float
) -> bytes:
    """Return a certificate in PEM that says that *name* has *key*."""
    lifetime = min(NODE_LIFETIME, authority.certificate.not_valid_after_utc.timestamp() - now)
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        _builder(key, authority_key, now=now, lifetime=lifetime)
        .subject_name(_title(name.node))
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(usages, critical=False)
        .add_extension(_name(name.uri), critical=True)
        .sign(authority_key, None)
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def parse_authority(pem: bytes) -> Authority:
    """Parse an authority's certificate from outside, or raise ``ParameterInvalid`` with what is wrong."""
    if len(pem) > MAX_CERTIFICATE:
        raise ParameterInvalid("this is no authority's certificate: it is too long")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        account = authority_account(_only_uri(certificate))
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature, PeerFault, ParameterInvalid):
        raise ParameterInvalid("this is not what `entrepot authority show` prints") from None
    if not constraints.ca:
        raise ParameterInvalid("this is a node's certificate, not an authority's: use `entrepot authority show`")
    return Authority(account, certificate)


def check_node(der: bytes, authorities: Iterable[Authority], *, now: float) -> Certified:
    """Return who *der* certifies, or raise ``PeerFault``.

    It must be signed directly by one of *authorities* that is of the account that it names, and valid *now*.
    """
    if len(der) > MAX_CERTIFICATE:
        raise PeerFault(f"a certificate of {len(der)} bytes")
    try:
        certificate = x509.load_der_x509_certificate(der)
        name = node_name(_only_uri(certificate))
        key = certificate.public_key()
    except (ValueError, TypeError, ParameterInvalid) as error:
        raise PeerFault(f"a certificate that names no node: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise PeerFault(f"the certificate of {name} has another kind of key than Ed25519")
    if not any(one.account == name.registry.account and _issued(certificate, one) for one in authorities):
        raise PeerFault(f"no trusted authority of account {name.registry.account} signed the certificate of {name}")
    expires = certificate.not_valid_after_utc.timestamp()
    if not certificate.not_valid_before_utc.timestamp() <= now <= expires:
        raise PeerFault(f"the certificate of {name} is not valid now")
    return Certified(name, der, key, spki(key), expires)


def make_request(key: Ed25519PrivateKey) -> bytes:
    """Return a PKCS #10 request in DER for *key*; it asks for no name, which is the authority's to give."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None)
    return request.public_bytes(serialization.Encoding.DER)


def parse_request(der: bytes) -> Ed25519PublicKey:
    """Return the key that signed the request *der*, or raise ``ParameterInvalid``."""
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, TypeError):
        raise ParameterInvalid("not a certificate request") from None
    if not valid or not isinstance(key, Ed25519PublicKey):
        raise ParameterInvalid("a certificate request that its own Ed25519 key did not sign")
    return key


def spki(key: CertificatePublicKeyTypes) -> bytes:
    """Return the SubjectPublicKeyInfo of a public key in DER."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem_to_der(pem: bytes) -> bytes:
    """Return the first certificate of *pem* in DER."""
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def _issued(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _only_uri(certificate: x509.Certificate) -> str:
    """Return the only alternative name, which has to be a URI."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise PeerFault("a certificate without a name") from None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or len(list(names)) != 1:
        raise PeerFault("a certificate with other names than one URI")
    return str(uris[0])


def _builder(
    key: Ed25519PublicKey, authority_key: Ed25519PrivateKey, *, now: float, lifetime: float
) -> x509.CertificateBuilder:
    issuer = authority_key.public_key()
    return (
        x509.CertificateBuilder()
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(now - _EARLIER, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(now + lifetime, dt.UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    )


def _title(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])  # For people; never read.


def _name(uri: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
