"""Which URLs are one, and which addresses are dialled on a rule's word: those that are public, and those it names."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RuleInvalid
from protocol.rules.outbound import Target, allowed_network, refusal, target, unwrapped

NAT64 = "64:ff9b::"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com", Target(True, "example.com", 443, "/")),
        ("https://Example.COM.:8443/a/b?c=d%20e", Target(True, "example.com", 8443, "/a/b?c=d%20e")),
        ("http://192.0.2.1/x", Target(False, "192.0.2.1", 80, "/x")),
        ("https://[2001:DB8::1]:444/", Target(True, "2001:db8::1", 444, "/")),
        ("https://a_b.example/", None),
        ("https://user@example.com/", None),
        ("https://user:secret@example.com/", None),
        ("https://example.com/#fragment", None),
        ("https://example.com\\@evil.example/", None),
        ("https://example.com/a b", None),
        ("https://example.com/a\r\nx: y", None),
        ("https://exämple.com/", None),
        ("ftp://example.com/", None),
        ("//example.com/", None),
        ("https:///path", None),
        ("https://example.com:0/", None),
        ("https://example.com:65536/", None),
        ("https://example.com:/", None),
        ("https://2130706433/", None),  # 127.0.0.1 to many resolvers, and so are the next ones.
        ("https://0x7f000001/", None),
        ("https://0x7f.1/", None),
        ("https://017700000001/", None),
        ("https://0177.0.0.1/", None),
        ("https://127.1/", None),
        ("https://127.0.0.1./", Target(True, "127.0.0.1", 443, "/")),
        ("https://[::1%25eth0]/", None),
        ("https://[fe80::1%eth0]/", None),
        ("https://-a.example/", None),
        ("https://a..example/", None),
        ("https://" + "a" * 64 + ".example/", None),
        ("https://example.com/" + "a" * 2048, None),
    ],
)
def test_urls(url: str, expected: Target | None) -> None:
    if expected is None:
        with pytest.raises(RuleInvalid):
            target(url, allow_http=True)
    else:
        assert target(url, allow_http=True) == expected


def test_plain_http_has_to_be_meant() -> None:
    with pytest.raises(RuleInvalid, match="in the clear"):
        target("http://example.com/", allow_http=False)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://example.com:443/", "example.com"),
        ("http://example.com:443/", "example.com:443"),
        ("https://[2001:db8::1]:8443/x?token=1", "[2001:db8::1]:8443"),
    ],
)
def test_what_the_host_header_and_logs_say(url: str, authority: str) -> None:
    parsed = target(url, allow_http=True)
    assert parsed.authority == authority
    assert parsed.origin == f"{url.partition(':')[0]}://{authority}"


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"http://{text}/"):
        try:
            parsed = target(url, allow_http=True)
        except RuleInvalid:
            continue
        assert parsed.host.isascii()
        assert parsed.path.startswith("/")


FORBIDDEN = [
    "127.0.0.1", "127.255.255.254", "0.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - nothing is bound.
    "169.254.169.254", "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.8",
    "198.18.0.1", "192.0.2.1", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b:1::1", f"{NAT64}127.0.0.1",
    f"{NAT64}169.254.169.254", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:0:0:0:0:80ff:fffe",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_addresses_that_only_this_machine_or_its_neighbours_reach(address: str) -> None:
    assert refusal(ip_address(address), (), is_own=False)
    everything_public = tuple(map(allowed_network, ("8.0.0.0/8", "2600::/12")))
    assert refusal(ip_address(address), everything_public, is_own=False)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", f"{NAT64}93.184.216.34"]
)
def test_public_addresses(address: str) -> None:
    assert not refusal(ip_address(address), (), is_own=False)
    assert "this machine" in refusal(ip_address(address), (), is_own=True)
    assert not refusal(ip_address(address), (allowed_network(str(unwrapped(ip_address(address)))),), is_own=True)


@pytest.mark.parametrize(
    ("address", "allowed", "is_dialled"),
    [
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("169.254.169.254", "169.254.0.0/16", False),  # Named by itself, or not at all.
        ("169.254.169.254", "169.254.169.254", True),
        ("168.63.129.16", "168.63.0.0/16", False),
        ("fd00:ec2::254", "fc00::/7", False),
        ("fd00::1", "fc00::/7", True),
        ("10.1.2.3", "fc00::/7", False),
    ],
)
def test_a_rule_can_name_what_is_not_public(address: str, allowed: str, is_dialled: bool) -> None:
    assert (refusal(ip_address(address), (allowed_network(allowed),), is_own=True) == "") is is_dialled


@pytest.mark.parametrize(
    "text", ["", "0.0.0.0/0", "::/0", "0.0.0.0/7", "10.0.0.1/8", "localhost", "10.0.0.0/33", "1.2.3"]
)
def test_what_no_rule_can_name(text: str) -> None:
    with pytest.raises(RuleInvalid):
        allowed_network(text)
