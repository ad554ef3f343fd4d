"""A token is taken where it is byte for byte one of ours; the hostile ones are those that broke others (S14)."""

import base64
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.token import LEEWAY, Access, Claims, issue, read_token
from protocol.errors import Refusal, TokenExpired, TokenInvalid

OURS = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NOW = 1_800_000_000
CLAIMS = Claims(
    iss="entrepot",
    aud="111122223333/local",
    sub="arn:aws:iam::111122223333:user/ana",
    gen=3,
    iat=NOW,
    nbf=NOW,
    exp=NOW + 600,
    jti="id",
    access=(Access("team/app", "ab", ("pull",)),),
)


def verify(message: bytes, signature: bytes) -> bool:
    try:
        OURS.public_key().verify(signature, message)
    except InvalidSignature:
        return False
    return True


def read(token: str, *, now: float = NOW) -> Claims:
    return read_token(token, {"k1": verify}, issuer="entrepot", audience="111122223333/local", now=now)


def test_what_is_issued_is_read() -> None:
    assert read(issue(CLAIMS, "k1", OURS.sign)) == CLAIMS


def test_time_is_kept_with_some_leeway() -> None:
    token = issue(CLAIMS, "k1", OURS.sign)
    read(token, now=CLAIMS.exp + LEEWAY - 1)
    read(token, now=CLAIMS.nbf - LEEWAY)
    with pytest.raises(TokenExpired):
        read(token, now=CLAIMS.exp + LEEWAY)
    with pytest.raises(TokenInvalid):
        read(token, now=CLAIMS.nbf - LEEWAY - 1)


def part(value: Any) -> str:  # noqa: ANN401 - JSON.
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


HEADER = {"alg": "EdDSA", "kid": "k1", "typ": "JWT"}
OPTIONAL = {"pol", "tags"}  # What a session has, and others do not.
BODY: dict[str, Any] = json.loads(base64.urlsafe_b64decode(issue(CLAIMS, "k1", OURS.sign).split(".")[1] + "==="))


def forged(header: Any = HEADER, body: Any = BODY, *, key: Ed25519PrivateKey = OURS) -> str:  # noqa: ANN401 - JSON.
    message = f"{part(header)}.{part(body)}"
    return f"{message}.{part(key.sign(message.encode()))}"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in BODY.items() if key != name}


TOKEN = forged()
HEAD, MIDDLE, TAIL = TOKEN.split(".")
PUBLIC = OURS.public_key().public_bytes_raw().hex()
HOSTILE: dict[str, str] = {
    "alg none": f"{part(HEADER | {'alg': 'none'})}.{MIDDLE}.",
    "alg None, signed": forged(HEADER | {"alg": "None"}),
    "HS256": forged(HEADER | {"alg": "HS256"}),
    "ES256": forged(HEADER | {"alg": "ES256"}),
    "no alg": forged({"kid": "k1", "typ": "JWT"}),
    "a list of algs": forged(HEADER | {"alg": ["EdDSA"]}),
    "no kid": forged({"alg": "EdDSA", "typ": "JWT"}),
    "another kid": forged(HEADER | {"kid": "k2"}),
    "a kid that is a path": forged(HEADER | {"kid": "../../dev/null"}),
    "a kid that is a number": forged(HEADER | {"kid": 1}),
    "another type": forged(HEADER | {"typ": "at+jwt"}),
    "jwk": forged(HEADER | {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": PUBLIC}}, key=OTHER),
    "jku": forged(HEADER | {"jku": "https://evil.example/keys"}, key=OTHER),
    "x5u": forged(HEADER | {"x5u": "https://evil.example/cert"}, key=OTHER),
    "x5c": forged(HEADER | {"x5c": ["MII"]}, key=OTHER),
    "crit": forged(HEADER | {"crit": ["exp"]}),
    "zip": forged(HEADER | {"zip": "DEF"}),
    "another key": forged(key=OTHER),
    "no signature": f"{HEAD}.{MIDDLE}.",
    "a signature cut short": f"{HEAD}.{MIDDLE}.{TAIL[:-4]}",
    "another audience": forged(body=BODY | {"aud": "444455556666/local"}),
    "a list of audiences": forged(body=BODY | {"aud": ["111122223333/local", "x"]}),
    "another issuer": forged(body=BODY | {"iss": "evil"}),
    **{f"no {name}": forged(body=without(name)) for name in BODY if name not in OPTIONAL},
    "an end in words": forged(body=BODY | {"exp": "never"}),
    "an end of 1e400": forged(body=json.dumps(BODY).replace(str(NOW + 600), "1e400").encode()),
    "an end that is infinite": forged(body=json.dumps(BODY).replace(str(NOW + 600), "Infinity").encode()),
    "an end with a fraction": forged(body=BODY | {"exp": NOW + 600.5}),
    "an end twice": forged(body=json.dumps(BODY)[:-1].encode() + b',"exp":9999999999}'),
    "an end in capitals beside": forged(body=BODY | {"EXP": 9999999999}),
    "a claim more": forged(body=BODY | {"admin": True}),
    "issued tomorrow": forged(body=BODY | {"iat": NOW + 86400}),
    "an array": forged(body=[BODY]),
    "not JSON": forged(body=b"\xff\xfe"),
    "padding": f"{HEAD}==.{MIDDLE}.{TAIL}",
    "a line end": f"{HEAD}\n.{MIDDLE}.{TAIL}",
    "a line end at the end": f"{TOKEN}\n",
    "a space": f" {TOKEN}",
    "the other alphabet": f"{HEAD}.{MIDDLE}.{TAIL[:-2]}+/",
    "bits that are left over": f"{HEAD}.{MIDDLE}.{TAIL[:-1]}{chr(ord(TAIL[-1]) + 1)}",
    "four parts": f"{TOKEN}.{TAIL}",
    "a megabyte of dots": "." * 2**20,
    "a megabyte of letters": f"{'a' * 2**20}.b.c",
    "nothing": "",
    "letters of another script": f"{HEAD}.{MIDDLE}.{TAIL[:-1]}\uff21",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_tokens_are_refused(what: str) -> None:
    with pytest.raises(TokenInvalid) as refused:
        read(HOSTILE[what])
    assert len(str(refused.value)) < 100, "and nothing of them is told"


@given(st.text(max_size=100))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        read(text)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_no_character_can_be_changed(at: int, char: str) -> None:
    changed = TOKEN[:at] + char + TOKEN[at + 1 :]
    if changed != TOKEN:
        with pytest.raises(TokenInvalid):
            read(changed)
