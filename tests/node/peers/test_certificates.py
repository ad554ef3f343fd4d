"""A certificate is good when an authority of the very account that it names signed it, and only then."""

import datetime as dt
import time
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from node.peers.certificates import (
    NODE_LIFETIME,
    Authority,
    check_node,
    make_authority,
    make_request,
    parse_authority,
    parse_request,
    pem_to_der,
    sign_node,
    spki,
)
from protocol.auth.names import Account, NodeId, NodeName, Region, RegistryName
from protocol.errors import ParameterInvalid, PeerFault

NOW = time.time()
KEY, OTHER_KEY, NODE_KEY = (Ed25519PrivateKey.generate() for _ in range(3))
OURS = make_authority(Account("111111111111"), KEY, now=NOW)
THEIRS = make_authority(Account("222222222222"), OTHER_KEY, now=NOW)
NAME = NodeName(RegistryName(OURS.account, Region("eu-west-1")), NodeId("a" * 16))


def signed(authority: Authority = OURS, key: Ed25519PrivateKey = KEY, name: NodeName = NAME) -> bytes:
    return pem_to_der(sign_node(authority, key, name, NODE_KEY.public_key(), now=NOW))


def forged(names: list[x509.GeneralName], key: object = NODE_KEY, lifetime: int = 3600) -> bytes:
    """A certificate that our authority signed with whatever names."""
    now = dt.datetime.fromtimestamp(NOW, dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME.uri)]))
        .issuer_name(OURS.certificate.subject)
        .public_key(key.public_key())  # type: ignore[attr-defined]
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(seconds=3600))
        .not_valid_after(now + dt.timedelta(seconds=lifetime))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(KEY, None).public_bytes(Encoding.DER)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def test_a_good_one() -> None:
    certified = check_node(signed(), [THEIRS, OURS], now=NOW)
    assert (certified.name, certified.spki) == (NAME, spki(NODE_KEY.public_key()))
    assert certified.expires == pytest.approx(NOW + NODE_LIFETIME, abs=2)
    assert check_node(forged([uri(NAME.uri)]), [OURS], now=NOW).name == NAME


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: signed(THEIRS, OTHER_KEY), "no trusted authority of account 111111111111"),
        (lambda: signed(OURS, OTHER_KEY), "no trusted authority"),
        (lambda: forged([]), "without a name"),  # Its common name is a good one, and is never read.
        (lambda: forged([uri(NAME.uri), uri(NAME.uri)]), "other names"),
        (lambda: forged([uri(NAME.uri), x509.DNSName("a.example")]), "other names"),
        (lambda: forged([x509.DNSName("a.example")]), "other names"),
        (lambda: forged([uri(NAME.uri + "/x")]), "names no node"),
        (lambda: forged([uri("entrepot://111111111111")]), "names no node"),
        (lambda: forged([uri(NAME.uri)], ec.generate_private_key(ec.SECP256R1())), "kind of key"),
        (lambda: forged([uri(NAME.uri)], lifetime=-60), "not valid now"),
        (lambda: OURS.certificate.public_bytes(Encoding.DER), "names no node"),
        (lambda: b"", "names no node"),
        (lambda: b"0" * 9000, "9000 bytes"),
    ],
)
def test_a_bad_one(make: Callable[[], bytes], says: str) -> None:
    with pytest.raises(PeerFault, match=says):
        check_node(make(), [OURS, THEIRS], now=NOW)


def test_a_certificate_does_not_outlive_its_authority() -> None:
    late = OURS.certificate.not_valid_after_utc.timestamp() - 60
    der = pem_to_der(sign_node(OURS, KEY, NAME, NODE_KEY.public_key(), now=late))
    assert check_node(der, [OURS], now=late).expires <= late + 60


def test_an_authority_comes_back_and_a_node_is_none() -> None:
    assert parse_authority(OURS.pem).fingerprint == OURS.fingerprint
    with pytest.raises(ParameterInvalid):
        parse_authority(sign_node(OURS, KEY, NAME, NODE_KEY.public_key(), now=NOW))


def test_a_request_is_signed_by_the_key_that_it_is_for() -> None:
    request = make_request(NODE_KEY)
    assert spki(parse_request(request)) == spki(NODE_KEY.public_key())
    for bad in (b"", request[:-1] + bytes([request[-1] ^ 1]), request[:-9]):
        with pytest.raises(ParameterInvalid):
            parse_request(bad)
