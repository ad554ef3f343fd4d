"""Accounts, regions, registries and nodes: who is who in a federation.

A registry is one (account, region) pair; a node serves exactly one. The only name in a node's certificate is the
URI ``entrepot://account/region/node``, and nothing is ever read from a common name. An authority's certificate
says in the same way whose it is: ``entrepot://account``.

The grammar is strict, ASCII only and has one spelling for each name, so that two names are equal exactly when
their texts are.
"""

import re
from typing import NewType

import msgspec

from protocol.errors import ParameterInvalid

Account = NewType("Account", str)
"""12 ASCII digits."""

Region = NewType("Region", str)
"""2 to 25 of ``0-9a-z-``."""

NodeId = NewType("NodeId", str)
"""16 lower-case base32 characters: 80 random bits that the authority draws."""

LOCAL_ACCOUNT = Account("000000000000")
"""The account of a node that initialized itself. No peer accepts it."""

LOCAL_REGION = Region("local")
SCHEME = "entrepot://"

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_REGION = re.compile(r"[0-9a-z-]{2,25}", re.ASCII)
_NODE = re.compile(r"[a-z2-7]{16}", re.ASCII)


class RegistryName(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One registry. Its text is ``account/region``."""

    account: Account
    region: Region

    def __str__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return f"{self.account}/{self.region}"


class NodeName(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One node of a registry. Its text is ``account/region/node``."""

    registry: RegistryName
    node: NodeId

    def __str__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return f"{self.registry}/{self.node}"

    @property
    def uri(self) -> str:
        """What its certificate says."""
        return f"{SCHEME}{self}"


def account(text: str) -> Account:
    """Parse *text*, or raise ``ParameterInvalid``."""
    if not _ACCOUNT.fullmatch(text):
        raise ParameterInvalid(f"an account has 12 digits, which {text[:64]!r} is not")
    return Account(text)


def region(text: str) -> Region:
    """Parse *text*, or raise ``ParameterInvalid``."""
    if not _REGION.fullmatch(text):
        raise ParameterInvalid(f"a region has 2 to 25 of a-z, 0-9 and '-', which {text[:64]!r} is not")
    return Region(text)


def node_id(text: str) -> NodeId:
    """Parse *text*, or raise ``ParameterInvalid``."""
    if not _NODE.fullmatch(text):
        raise ParameterInvalid(f"not a node: {text[:64]!r}")
    return NodeId(text)


def registry_name(text: str) -> RegistryName:
    """Parse ``account/region``, or raise ``ParameterInvalid``."""
    first, slash, second = text.partition("/")
    if not slash:
        raise ParameterInvalid(
            f"a registry is written account/region, as 111111111111/eu-west-1, which {text[:64]!r} is not"
        )
    return RegistryName(account(first), region(second))


def node_name(uri: str) -> NodeName:
    """Parse ``entrepot://account/region/node``, or raise ``ParameterInvalid``."""
    parts = uri.removeprefix(SCHEME).split("/")
    if not uri.startswith(SCHEME) or len(parts) != 3:
        raise ParameterInvalid(f"not the name of a node: {uri[:96]!r}")
    return NodeName(RegistryName(account(parts[0]), region(parts[1])), node_id(parts[2]))


def checked(name: NodeName) -> NodeName:
    """Return *name*, decoded from bytes of a stranger, or raise ``ParameterInvalid``."""
    return node_name(name.uri)


def authority_account(uri: str) -> Account:
    """Parse ``entrepot://account``, or raise ``ParameterInvalid``."""
    if not uri.startswith(SCHEME):
        raise ParameterInvalid(f"not the name of an authority: {uri[:96]!r}")
    return account(uri.removeprefix(SCHEME))
