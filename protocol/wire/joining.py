"""The two bodies of a join, each a msgpack array.

The joiner asks at ``/join`` after it has read the authority's certificate at ``/join/authority`` and checked both
it and the server's certificate against the token.
"""

from typing import Annotated

import msgspec

from protocol.auth.names import NodeId, Region
from protocol.wire.descriptor import SignedDescriptor

MAX_JOIN = 16_384  # Bytes of a request.
MAX_WELCOME = 262_144  # Bytes of an answer.
MAX_NODES = 64  # Descriptors in an answer; the rest comes over sessions.


class Join(msgspec.Struct, frozen=True, array_like=True):
    """The request."""

    id: Annotated[bytes, msgspec.Meta(max_length=16)]
    """Which invitation."""
    csr: Annotated[bytes, msgspec.Meta(max_length=4096)]
    """PKCS #10 in DER; only its key counts, for the authority writes the name."""
    proof: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Welcome(msgspec.Struct, frozen=True, array_like=True):
    """The answer."""

    region: Region
    node: NodeId
    certificate: Annotated[bytes, msgspec.Meta(max_length=4096)]
    """Of the new node, in PEM."""
    registry_key: Annotated[bytes, msgspec.Meta(max_length=32)]
    """32 bytes for a replica of the same registry, none for another region."""
    nodes: Annotated[tuple[SignedDescriptor, ...], msgspec.Meta(max_length=MAX_NODES)]
