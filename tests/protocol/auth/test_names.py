"""Names of accounts, regions and nodes: one spelling each, and nothing else passes."""

import pytest

from protocol.auth.names import authority_account, node_name, registry_name
from protocol.errors import ParameterInvalid

URI = "entrepot://111111111111/eu-west-1/abcdefgh234567ab"


def test_a_name_is_its_uri() -> None:
    assert node_name(URI).uri == URI
    assert str(node_name(URI)) == URI.removeprefix("entrepot://")
    assert str(registry_name("111111111111/eu-west-1")) == "111111111111/eu-west-1"
    assert authority_account("entrepot://111111111111") == "111111111111"


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("", "nothing"),
        ("entrepot://111111111111/eu-west-1", "no node"),
        (URI + "/x", "too much"),
        (URI + "\n", "a line end, which a dollar sign lets through"),
        (URI.replace("entrepot", "spiffe"), "another scheme"),
        (URI.replace("entrepot", "Entrepot"), "a second spelling"),
        (URI.replace("111111111111", "11111111111"), "11 digits"),
        (URI.replace("111111111111", "\u0661" * 12), "digits, but not ASCII"),
        (URI.replace("eu-west-1", "EU-west-1"), "upper case"),
        (URI.replace("eu-west-1", "e"), "too short"),
        (URI.replace("eu-west-1", "e" * 26), "too long"),
        (URI.replace("eu-west-1", ".."), "a path"),
        (URI.replace("abcdefgh234567ab", "abcdefgh234567a"), "15 characters"),
        (URI.replace("abcdefgh234567ab", "abcdefgh234567a1"), "1 is not in base32"),
        (URI + "?x", "a query"),
    ],
)
def test_is_no_name_of_a_node(uri: str, why: str) -> None:
    with pytest.raises(ParameterInvalid):
        node_name(uri)


@pytest.mark.parametrize("uri", ["entrepot://", URI, "entrepot://111111111111/", "111111111111"])
def test_is_no_name_of_an_authority(uri: str) -> None:
    with pytest.raises(ParameterInvalid):
        authority_account(uri)


@pytest.mark.parametrize(
    "text", ["", "/", "111111111111", "111111111111/", "111111111111/a/b", "eu-west-1/111111111111"]
)
def test_is_no_registry(text: str) -> None:
    with pytest.raises(ParameterInvalid):
        registry_name(text)
