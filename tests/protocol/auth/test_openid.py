"""A provider leads nowhere but to itself, and a person comes back with what only this registry can exchange."""

import json
import re

import pytest

from protocol.auth.openid import authorization_url, code_challenge, id_token_of, read_provider
from protocol.errors import IdentityTokenInvalid

ISSUER = "https://login.example/realms/acme"
DOCUMENT = {
    "issuer": ISSUER,
    "jwks_uri": "https://login.example/realms/acme/keys",
    "authorization_endpoint": "https://login.example/realms/acme/auth",
    "token_endpoint": "https://login.example:443/realms/acme/token",
}


def read(**changed: object) -> str:
    data = json.dumps(DOCUMENT | changed).encode()
    return read_provider(data, ISSUER, allow_http=False, named=("https://keys.example/a",)).keys


def test_what_a_provider_names_lies_where_it_does_or_was_named() -> None:
    assert read() == DOCUMENT["jwks_uri"]
    assert read(jwks_uri="https://keys.example/a") == "https://keys.example/a"


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": ISSUER + "/"},
        {"issuer": "https://evil.example"},
        {"jwks_uri": "https://evil.example/keys"},
        {"jwks_uri": "https://keys.example/b"},
        {"jwks_uri": "http://login.example/keys"},
        {"jwks_uri": "https://login.example:444/keys"},
        {"jwks_uri": "https://login.example@evil.example/keys"},
        {"jwks_uri": "https://login.example.evil.example/keys"},
        {"jwks_uri": "//login.example/keys"},
        {"jwks_uri": 1},
        {"token_endpoint": "https://169.254.169.254/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
def test_whatever_leads_elsewhere_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(IdentityTokenInvalid):
        read(**changed)


def test_the_challenge_is_that_of_rfc_7636_appendix_b() -> None:
    assert (
        code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_a_browser_is_sent_with_the_challenge_and_without_the_verifier() -> None:
    url = authorization_url(
        "https://login.example/auth",
        client="entrepot",
        redirect="https://registry.example/login?a=b",
        scope="openid profile",
        state="s&t",
        nonce="n",
        verifier="v" * 43,
    )
    assert "redirect_uri=https%3A%2F%2Fregistry.example%2Flogin%3Fa%3Db" in url
    assert "scope=openid%20profile" in url
    assert "state=s%26t" in url
    assert re.search(r"code_challenge=[\w-]{43}&code_challenge_method=S256", url)
    assert "v" * 43 not in url


@pytest.mark.parametrize("data", [b"", b"{}", b'{"id_token": 1}', b"<html>"])
def test_an_answer_without_an_identity_token_is_refused(data: bytes) -> None:
    with pytest.raises(IdentityTokenInvalid):
        id_token_of(data)
