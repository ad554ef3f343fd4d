"""An address is a host and a port, in one spelling; what is none is told what it should be."""

import pytest

from node.config.addresses import Address, address, host_port, is_loopback, is_wildcard, public_alias, public_host


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:5000", "127.0.0.1", 5000),
        ("[::1]:5000", "::1", 5000),
        ("[FE80::1%eth0]:1", "fe80::1%eth0", 1),
        ("localhost:0", "localhost", 0),
        ("Registry.Example.com:65535", "registry.example.com", 65535),
    ],
)
def test_is_an_address(text: str, host: str, port: int) -> None:
    assert host_port(address(text)) == (host, port)
    assert address(text) == text.lower()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "HOST:PORT"),
        ("5000", "127.0.0.1:5000"),
        (":5000", "0.0.0.0:5000"),
        ("example.com", "HOST:PORT"),
        ("::1", "[::1]:5000"),
        ("http://a:1", "without a scheme"),
        ("a:65536", "65535"),
        ("a:\u0661", "HOST:PORT"),
        ("a:1\n", "HOST:PORT"),
        ("a b:1", "HOST:PORT"),
        ("-a:1", "neither"),
        ("a_b:1", "neither"),
        ("256.0.0.1:1", "neither"),
        ("[1.2.3]:1", "neither"),
        ("[a::g]:1", "HOST:PORT"),
    ],
)
def test_is_no_address(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=r"not an address|no port|neither") as error:
        address(text)
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("text", "loopback", "wildcard"),
    [
        ("127.0.0.1:1", True, False),
        ("127.9.9.9:1", True, False),
        ("[::1]:1", True, False),
        ("localhost:1", True, False),
        ("localhost.example.com:1", False, False),
        ("0.0.0.0:1", False, True),
        ("[::]:1", False, True),
        ("10.0.0.1:1", False, False),
    ],
)
def test_who_can_connect(text: str, loopback: bool, wildcard: bool) -> None:
    assert (is_loopback(Address(text)), is_wildcard(Address(text))) == (loopback, wildcard)


@pytest.mark.parametrize("text", ["registry.example.com", "registry.example.com:8443", "10.0.0.1", "[::1]", "[::1]:80"])
def test_is_a_public_host(text: str) -> None:
    assert public_host(text.upper()) == text


@pytest.mark.parametrize("text", ["acme", "a1", "ab.c-d_e", "a" * 50])
def test_is_an_alias(text: str) -> None:
    assert public_alias(text) == text


@pytest.mark.parametrize("text", ["", "a", "1a", "Acme", "a--b", "a/b", "acme\n", "a" * 51, "a.", "public"])
def test_is_no_alias(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an alias|stands before"):
        public_alias(text)


@pytest.mark.parametrize("text", ["", "https://a", "a/b", "::1", "a:", "*.example.com"])
def test_is_no_public_host(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an address|neither"):
        public_host(text)
