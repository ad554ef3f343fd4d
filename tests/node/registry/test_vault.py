"""What is sealed opens in its place, for its purpose, at each node with the registry's key, and nowhere else."""

import os

import pytest

from node.registry.vault import Vault
from protocol.errors import Damaged

KEY = bytes(range(32))


def test_what_is_sealed_opens_at_another_node_of_the_registry() -> None:
    sealed = Vault(KEY, os.urandom).seal("access keys", b"secret", "access-key/AKIA1")
    assert b"secret" not in sealed
    assert Vault(KEY, os.urandom).unseal("access keys", sealed, "access-key/AKIA1") == b"secret"


@pytest.mark.parametrize(
    ("key", "label", "place"),
    [(bytes(32), "keys", "a"), (KEY, "others", "a"), (KEY, "keys", "b")],
    ids=["another key", "another purpose", "another place"],
)
def test_it_opens_nowhere_else(key: bytes, label: str, place: str) -> None:
    sealed = Vault(KEY, os.urandom).seal("keys", b"secret", "a")
    with pytest.raises(Damaged):
        Vault(key, os.urandom).unseal(label, sealed, place)
    with pytest.raises(Damaged):
        Vault(KEY, os.urandom).unseal("keys", sealed[:-1] + bytes([sealed[-1] ^ 1]), "a")


def test_each_purpose_has_a_key_of_its_own() -> None:
    vault = Vault(KEY, os.urandom)
    assert len({vault.derive("a"), vault.derive("b"), KEY}) == 3
