"""Identity tokens of others are taken when a key of their issuer signed them for us; the hostile ones broke others."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.idtoken import LEEWAY, Identity, parse_id_token, verify_id_token
from protocol.auth.jwks import read_keys
from protocol.errors import IdentityTokenExpired, IdentityTokenInvalid
from tests.identity_provider import ProviderKeys, base64url, part

NOW = 1_800_000_000
ISSUER = "https://token.example"
PROVIDER, STRANGER = ProviderKeys(), ProviderKeys()
KEYS = read_keys(json.dumps(PROVIDER.published()).encode())
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "repo:acme/app:ref:refs/heads/main",
    "aud": "entrepot",
    "iat": NOW,
    "exp": NOW + 300,
}


def read(token: str, *, now: float = NOW, keys: Any = KEYS) -> Identity:  # noqa: ANN401 - keys.
    return verify_id_token(parse_id_token(token), keys, issuer=ISSUER, audiences=("entrepot",), now=now)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_each_kind_of_key_signs(algorithm: str) -> None:
    claims = CLAIMS | {"aud": ["other", "entrepot"], "run_attempt": 2, "private": True, "groups": ["a", "b"], "x": {}}
    found = read(PROVIDER.token(claims, algorithm))
    assert (found.issuer, found.subject, found.audience) == (ISSUER, CLAIMS["sub"], ("other", "entrepot"))
    assert found.claims["groups"] == ("a", "b")
    assert (found.claims["run_attempt"], found.claims["private"]) == (("2",), ("true",))
    assert "x" not in found.claims
    with pytest.raises(IdentityTokenInvalid):
        read(STRANGER.token(claims, algorithm))


def test_a_token_without_a_key_id_is_verified_by_all_of_its_kind() -> None:
    read(PROVIDER.token(CLAIMS, header={"alg": "RS256"}))


def test_time_is_kept_with_some_leeway() -> None:
    token = PROVIDER.token(CLAIMS | {"nbf": NOW})
    read(token, now=CLAIMS["exp"] + LEEWAY - 1)
    read(token, now=NOW - LEEWAY)
    with pytest.raises(IdentityTokenExpired):
        read(token, now=CLAIMS["exp"] + LEEWAY)
    with pytest.raises(IdentityTokenInvalid):
        read(token, now=NOW - LEEWAY - 1)


GOOD = PROVIDER.token(CLAIMS)
FIRST, SECOND, THIRD = GOOD.split(".")
PUBLIC = json.dumps(PROVIDER.published()["keys"][0]).encode()


def without(name: str) -> str:
    return PROVIDER.token({key: value for key, value in CLAIMS.items() if key != name})


def header(**more: object) -> str:
    return PROVIDER.token(CLAIMS, header={"alg": "RS256", "kid": "RS256", **more})


HOSTILE = {
    "nothing": "",
    "two dots of nothing": "..",
    "a million dots": "." * 1_000_000,
    "too large": PROVIDER.token(CLAIMS | {"x": "x" * 20_000}),
    "no signature": f"{FIRST}.{SECOND}.",
    "alg none": f"{part({'alg': 'none'})}.{SECOND}.",
    "HS256 with the public key": f"{part({'alg': 'HS256', 'kid': 'RS256'})}.{SECOND}.{base64url(PUBLIC[:32])}",
    "the algorithm of another key": PROVIDER.token(CLAIMS, header={"alg": "ES256", "kid": "RS256"}),
    "PS256": header(alg="PS256"),
    "jwk": header(jwk=STRANGER.published()["keys"][0]),
    "jku": header(jku="https://evil.example/keys"),
    "x5u": header(x5u="https://evil.example/keys"),
    "x5c": header(x5c=["AA"]),
    "crit": header(crit=["exp"]),
    "b64": header(b64=False),
    "kid of nobody": header(kid="nobody"),
    "kid that is a list": header(kid=["RS256"]),
    "alg that is a list": header(alg=["RS256"]),
    "typ of something else": header(typ="dpop+jwt"),
    "another issuer": PROVIDER.token(CLAIMS | {"iss": "https://token.example.evil.example"}),
    "issuer with a slash": PROVIDER.token(CLAIMS | {"iss": ISSUER + "/"}),
    "another audience": PROVIDER.token(CLAIMS | {"aud": "sts.amazonaws.com"}),
    "audience as a part": PROVIDER.token(CLAIMS | {"aud": "entrepot-dev"}),
    "audience as an object": PROVIDER.token(CLAIMS | {"aud": {"entrepot": 1}}),
    "audience as nested lists": PROVIDER.token(CLAIMS | {"aud": [["entrepot"]]}),
    "no audience": without("aud"),
    "no subject": without("sub"),
    "empty subject": PROVIDER.token(CLAIMS | {"sub": ""}),
    "no exp": without("exp"),
    "no iat": without("iat"),
    "exp as text": PROVIDER.token(CLAIMS | {"exp": str(NOW + 300)}),
    "exp true": PROVIDER.token(CLAIMS | {"exp": True}),
    "exp 1e400": PROVIDER.token(json.dumps(CLAIMS).replace(str(NOW + 300), "1e400").encode()),
    "exp negative": PROVIDER.token(CLAIMS | {"exp": -1}),
    "exp twice": PROVIDER.token(json.dumps(CLAIMS).replace("{", f'{{"exp": {NOW + 9}, ').encode()),
    "Exp beside exp": PROVIDER.token(CLAIMS | {"Exp": NOW + 9}),
    "claims as a list": PROVIDER.token([CLAIMS]),
    "not JSON": PROVIDER.token(b"{"),
    "payload of another": f"{FIRST}.{part(CLAIMS | {'sub': 'repo:evil/app'})}.{THIRD}",
    "signature cut": GOOD[:-8],
    "a newline": GOOD + "\n",
    "standard alphabet": GOOD.replace("-", "+").replace("_", "/") + "+/",
    "letters of other scripts": GOOD[:-1] + "\uff21",
}


@pytest.mark.parametrize("token", HOSTILE.values(), ids=HOSTILE)
def test_hostile_tokens_are_refused(token: str) -> None:
    with pytest.raises(IdentityTokenInvalid):
        read(token)


@given(
    st.text(max_size=200)
    | st.lists(st.binary(max_size=40), min_size=3, max_size=3).map(lambda b: ".".join(map(part, b)))
)
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(IdentityTokenInvalid):
        read(text)


BAD_KEYS: dict[str, Any] = {
    "for encryption": {**PROVIDER.published()["keys"][0], "use": "enc"},
    "for another algorithm": {**PROVIDER.published()["keys"][0], "alg": "RS512"},
    "not for verifying": {**PROVIDER.published()["keys"][0], "key_ops": ["sign"]},
    "secret": {"kty": "oct", "k": "AAAA"},
    "a kind that is a list": {"kty": ["RSA"]},
    "no modulus": {"kty": "RSA", "e": "AQAB"},
    "a small modulus": {"kty": "RSA", "e": "AQAB", "n": base64url(b"\xff" * 64)},
    "an exponent of one": {"kty": "RSA", "e": "AQ", "n": PROVIDER.published()["keys"][0]["n"]},
    "a point that is on no curve": {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"},
    "another curve": {"kty": "EC", "crv": "P-384", "x": "AQ", "y": "AQ"},
    "a short key": {"kty": "OKP", "crv": "Ed25519", "x": "AQ"},
    "not base64": {"kty": "OKP", "crv": "Ed25519", "x": "!"},
    "no object": "RSA",
}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_keys_that_are_not_taken_leave_the_others_good(key: object) -> None:
    keys = read_keys(json.dumps({"keys": [key, *PROVIDER.published()["keys"]]}).encode())
    assert [one.id for one in keys] == ["RS256", "ES256", "EdDSA"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"keys": {}}', b"<html>"])
def test_what_is_no_set_of_keys_is_refused(data: bytes) -> None:
    with pytest.raises(IdentityTokenInvalid):
        read_keys(data)
