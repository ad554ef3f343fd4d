"""A role is assumed where its trust policy says so: by name, by delegation, or by what an identity token claims."""

import json
from typing import Any

import pytest

from protocol.auth.decision import Asked, Named, Why, decide_assumption
from protocol.auth.idtoken import Identity
from protocol.auth.policy import Kind, read_policy
from protocol.auth.trust import WEB_IDENTITY, decide_web_identity, issuer_arn
from protocol.errors import PolicyInvalid

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ci"
ANA, ROOT = f"arn:aws:iam::{ACCOUNT}:user/ana", f"arn:aws:iam::{ACCOUNT}:root"
GITHUB = "https://token.actions.githubusercontent.com"
NAME = "token.actions.githubusercontent.com"
TOKEN = Identity(
    GITHUB,
    "repo:acme/app:ref:refs/heads/main",
    ("sts.amazonaws.com",),
    0.0,
    {"sub": ("repo:acme/app:ref:refs/heads/main",), "aud": ("sts.amazonaws.com",), "repository_owner": ("acme",)},
)


def named(kind: Kind, *statements: dict[str, Any]) -> Named:
    return Named(kind.value, read_policy(json.dumps({"Version": "2012-10-17", "Statement": statements}).encode(), kind))


def trust(principal: object, effect: str = "Allow", action: str = "sts:AssumeRole", **more: object) -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": action, **more}


def identity(effect: str, action: str = "sts:AssumeRole", resource: str = ROLE) -> Named:
    return named(Kind.IDENTITY, {"Effect": effect, "Action": action, "Resource": resource})


ASSUMPTIONS: list[tuple[str, str, list[dict[str, Any]], list[Named], Why]] = [
    ("named", ANA, [trust({"AWS": ANA})], [], Why.ALLOWED),
    ("not named", ANA, [trust({"AWS": f"{ANA}2"})], [identity("Allow", "*", "*")], Why.NO_TRUST_ALLOW),
    ("account, and nothing of its own", ANA, [trust({"AWS": ACCOUNT})], [], Why.NO_TRUST_ALLOW),
    ("account, and its own policy", ANA, [trust({"AWS": ACCOUNT})], [identity("Allow")], Why.ALLOWED),
    ("another role", ANA, [trust({"AWS": ACCOUNT})], [identity("Allow", resource=f"{ROLE}2")], Why.NO_TRUST_ALLOW),
    ("named, and denied by its own", ANA, [trust({"AWS": ANA})], [identity("Deny")], Why.EXPLICIT_DENY),
    ("named, and denied by the trust", ANA, [trust({"AWS": ANA}), trust("*", "Deny")], [], Why.EXPLICIT_DENY),
    ("root by its account", ROOT, [trust({"AWS": ACCOUNT})], [], Why.ALLOWED),
    ("root, whom nobody trusts", ROOT, [trust({"AWS": ANA})], [], Why.NO_TRUST_ALLOW),
    ("another action", ANA, [trust({"AWS": ANA}, action="sts:TagSession")], [], Why.NO_TRUST_ALLOW),
]


@pytest.mark.parametrize(
    ("who", "statements", "policies", "why"), [row[1:] for row in ASSUMPTIONS], ids=[row[0] for row in ASSUMPTIONS]
)
def test_assuming_a_role(who: str, statements: list[dict[str, Any]], policies: list[Named], why: Why) -> None:
    asked = Asked(who, ACCOUNT, "sts:AssumeRole", ROLE, ACCOUNT)
    assert decide_assumption(asked, named(Kind.TRUST, *statements), policies).why is why


SUB = {"StringLike": {f"{NAME}:sub": "repo:acme/app:*"}}
FEDERATED = {"Federated": issuer_arn(ACCOUNT, GITHUB)}


def web(condition: dict[str, Any], principal: object = FEDERATED, effect: str = "Allow") -> dict[str, Any]:
    return trust(principal, effect, WEB_IDENTITY, Condition=condition)


WEB: list[tuple[str, list[dict[str, Any]], bool]] = [
    ("subject", [web(SUB)], True),
    ("subject and audience", [web(SUB | {"StringEquals": {f"{NAME}:aud": "sts.amazonaws.com"}})], True),
    ("subject and another audience", [web(SUB | {"StringEquals": {f"{NAME}:aud": "other"}})], False),
    ("another subject", [web({"StringLike": {f"{NAME}:sub": "repo:evil/*"}})], False),
    ("subject without its wildcard", [web({"StringEquals": {f"{NAME}:sub": "repo:acme/app:*"}})], False),
    ("another claim", [web({"StringEquals": {f"{NAME}:repository_owner": "acme"}})], True),
    ("a claim that is not there", [web({"StringEquals": {f"{NAME}:actor": "ana"}})], False),
    ("key in another case", [web({"StringLike": {f"{NAME.upper()}:SUB": "repo:acme/app:*"}})], True),
    ("no condition", [web({"Bool": {"aws:SecureTransport": "true"}})], False),
    ("the audience alone", [web({"StringEquals": {f"{NAME}:aud": "sts.amazonaws.com"}})], False),
    ("any subject", [web({"StringLike": {f"{NAME}:sub": "*"}})], False),
    ("any subject, by a list", [web({"StringLike": {f"{NAME}:sub": ["repo:acme/app:*", "*"]}})], False),
    ("all subjects but one", [web({"StringNotEquals": {f"{NAME}:sub": "repo:evil/app"}})], False),
    ("subject, if there is one", [web({"StringLikeIfExists": {f"{NAME}:sub": "repo:acme/app:*"}})], False),
    ("there is a subject", [web({"Null": {f"{NAME}:sub": "false"}})], False),
    ("everyone", [web(SUB, "*")], False),
    ("the account", [web(SUB, {"AWS": ACCOUNT})], False),
    ("another issuer", [web(SUB, {"Federated": issuer_arn(ACCOUNT, "https://evil.example")})], False),
    ("the issuer in another account", [web(SUB, {"Federated": issuer_arn("999999999999", GITHUB)})], False),
    ("denied to everyone", [web(SUB), web({}, "*", "Deny")], False),
    ("denied to a branch", [web(SUB), web({"StringLike": {f"{NAME}:sub": "*/main"}}, effect="Deny")], False),
    ("the other action", [trust(FEDERATED, Condition=SUB)], False),
]


@pytest.mark.parametrize(("statements", "allowed"), [row[1:] for row in WEB], ids=[row[0] for row in WEB])
def test_assuming_a_role_by_an_identity_token(statements: list[dict[str, Any]], *, allowed: bool) -> None:
    assert decide_web_identity(ACCOUNT, ROLE, named(Kind.TRUST, *statements), TOKEN, {}).allowed is allowed


def test_an_unreadable_trust_policy_lets_nobody_in() -> None:
    assert not decide_web_identity(ACCOUNT, ROLE, Named("trust", None), TOKEN, {}).allowed


@pytest.mark.parametrize("name", ["accounts.google.com", "arn:aws:iam::1:oidc-provider/a", "*", GITHUB])
def test_a_federated_principal_is_an_arn(name: str) -> None:
    with pytest.raises(PolicyInvalid, match=r"Statement\[0\].Principal.Federated"):
        named(Kind.TRUST, web(SUB, {"Federated": name}))
