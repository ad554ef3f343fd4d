"""A descriptor is believed when its node signed it and its name is that of the certificate."""

from collections.abc import Callable

import msgspec
import pytest

from protocol.auth.names import Account, NodeId, NodeName, Region, RegistryName
from protocol.errors import ParameterInvalid, PeerFault
from protocol.wire.descriptor import Descriptor, SignedDescriptor, open_descriptor, parse_address, sign_descriptor

NAME = NodeName(RegistryName(Account("111111111111"), Region("eu-west-1")), NodeId("a" * 16))
OTHER = msgspec.structs.replace(NAME, node=NodeId("b" * 16))
DESCRIPTOR = Descriptor(NAME, b"i" * 16, 3, ("a.example:6001", "[::1]:6001"), labels={"zone": "1"})


def sign(text: bytes) -> bytes:
    return text[-64:].rjust(64)


def vouch(name: NodeName) -> Callable[[bytes, bytes, bytes], NodeName]:
    def verify(certificate: bytes, signature: bytes, text: bytes) -> NodeName:
        if certificate != b"certificate" or signature != sign(text) or not text.startswith(b"entrepot-descriptor-v1"):
            raise PeerFault("a bad signature")
        return name

    return verify


def test_it_comes_back() -> None:
    assert open_descriptor(sign_descriptor(DESCRIPTOR, b"certificate", sign), vouch(NAME)) == DESCRIPTOR


@pytest.mark.parametrize(
    ("descriptor", "why"),
    [
        (DESCRIPTOR, "another node's"),
        (msgspec.structs.replace(DESCRIPTOR, addresses=("a.example",)), "no port"),
        (msgspec.structs.replace(DESCRIPTOR, addresses=("a:1",) * 9), "too many addresses"),
        (msgspec.structs.replace(DESCRIPTOR, incarnation=b"short"), "no incarnation"),
        (msgspec.structs.replace(DESCRIPTOR, labels={str(n): "" for n in range(17)}), "too many labels"),
    ],
)
def test_is_refused(descriptor: Descriptor, why: str) -> None:
    with pytest.raises(PeerFault):
        open_descriptor(sign_descriptor(descriptor, b"certificate", sign), vouch(OTHER))


def test_a_changed_body_is_refused() -> None:
    signed = sign_descriptor(DESCRIPTOR, b"certificate", sign)
    with pytest.raises(PeerFault):
        open_descriptor(SignedDescriptor(signed.body + b"x", signed.signature, signed.certificate), vouch(NAME))


def test_the_incarnation_counts_before_the_version() -> None:
    later = msgspec.structs.replace(DESCRIPTOR, incarnation=b"j" * 16, version=0)
    assert later.rank > DESCRIPTOR.rank


@pytest.mark.parametrize(
    "text", ["", "a", "a:", ":1", "a:0", "a:65536", "a:01", "a:1\n", "a b:1", "::1:6001", "[::1]", "a/b:1", "u@h:1"]
)
def test_is_no_address(text: str) -> None:
    with pytest.raises(ParameterInvalid):
        parse_address(text)


def test_addresses() -> None:
    assert parse_address("a.example:6001") == ("a.example", 6001)
    assert parse_address("[::1]:65535") == ("::1", 65535)
