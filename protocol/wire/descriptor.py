"""What a node says of itself, signed, so that others can pass it on.

A descriptor travels with the certificate of its node: whoever trusts the authority needs nothing else to check
it. The signature covers the body as received. Of two descriptors of one node the one with the higher
(incarnation, version) counts.

Source: peers.md 2.
"""

import re
from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec

from protocol.auth.names import NodeName, checked
from protocol.errors import ParameterInvalid, PeerFault

MAX_ADDRESSES = 8
_CONTEXT = b"entrepot-descriptor-v1"
_ADDRESS = re.compile(r"(?:[0-9A-Za-z._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([1-9][0-9]{0,4})", re.ASCII)

_Label: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
_Address: TypeAlias = Annotated[str, msgspec.Meta(max_length=260)]


class SignedDescriptor(msgspec.Struct, frozen=True, array_like=True):
    """A descriptor as it travels and is kept."""

    body: Annotated[bytes, msgspec.Meta(max_length=2048)]
    """msgpack of a ``Descriptor``."""
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
    """Ed25519 by the key of *certificate* over ``_CONTEXT`` and *body*."""
    certificate: Annotated[bytes, msgspec.Meta(max_length=1024)]
    """The node's certificate in DER."""


class Descriptor(msgspec.Struct, frozen=True, array_like=True):
    """What a node says of itself."""

    name: NodeName
    incarnation: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    version: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    """Higher for each new descriptor of one incarnation."""
    addresses: Annotated[tuple[_Address, ...], msgspec.Meta(max_length=MAX_ADDRESSES)]
    """``HOST:PORT``, in order of preference; none where it cannot be dialled."""
    low: int = 1
    """The range of protocol versions, to *high*."""
    high: int = 1
    labels: Annotated[dict[_Label, _Label], msgspec.Meta(max_length=16)] = {}
    roles: Annotated[tuple[_Label, ...], msgspec.Meta(max_length=8)] = ("full",)
    software: _Label = ""
    draining: bool = False

    @property
    def rank(self) -> tuple[bytes, int]:
        """What is higher in the descriptor that counts."""
        return self.incarnation, self.version


_decoder = msgspec.msgpack.Decoder(Descriptor)


def sign_descriptor(descriptor: Descriptor, certificate: bytes, sign: Callable[[bytes], bytes]) -> SignedDescriptor:
    """Return *descriptor* signed by the node whose *certificate* (DER) and *sign* these are."""
    body = msgspec.msgpack.encode(descriptor)
    return SignedDescriptor(body, sign(_CONTEXT + body), certificate)


def open_descriptor(signed: SignedDescriptor, verify: Callable[[bytes, bytes, bytes], NodeName]) -> Descriptor:
    """Return what *signed* says, or raise ``PeerFault``.

    Args:
        signed: from anyone.
        verify: ``verify(certificate, signature, text)`` returns the name in the certificate once a trusted
            authority vouches for it and its key made the signature; else it raises ``PeerFault``.
    """
    name = verify(signed.certificate, signed.signature, _CONTEXT + signed.body)
    try:
        descriptor = _decoder.decode(signed.body)
        checked(descriptor.name)
        for address in descriptor.addresses:
            parse_address(address)
    except (msgspec.MsgspecError, RecursionError, ParameterInvalid) as error:
        raise PeerFault(f"the descriptor of {name} is none: {error}") from None
    if descriptor.name != name:
        raise PeerFault(f"{name} signed a descriptor of {descriptor.name}")
    return descriptor


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` (an IPv6 address in brackets), or raise ``ParameterInvalid``."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[1]) > 65535:
        raise ParameterInvalid(f"an address is written HOST:PORT, which {text[:64]!r} is not")
    host = text[: -len(match[1]) - 1]
    return host.strip("[]"), int(match[1])
