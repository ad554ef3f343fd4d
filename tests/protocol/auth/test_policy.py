"""A policy document is read whole or refused with the place that is wrong; nothing is passed over."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.policy import Kind, read_policy
from protocol.errors import PolicyInvalid

ALLOW = {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}


def document(*statements: object, **more: object) -> bytes:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more}).encode()


def test_what_iam_writes_is_read() -> None:
    identity = read_policy(
        document(
            ALLOW,
            {
                "Sid": "no deletes, at night",
                "Effect": "Deny",
                "NotAction": ["ecr:Get*", "ecr:BatchGetImage"],
                "NotResource": ["arn:aws:ecr:*:111122223333:repository/free/*"],
                "Condition": {
                    "IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]},
                    "ForAllValues:StringEqualsIfExists": {"aws:TagKeys": "team"},
                    "Bool": {"aws:SecureTransport": True},
                    "NumericLessThan": {"ecr:x": 3},
                    "Null": {"aws:PrincipalTag/x": "true"},
                },
            },
            Id="x",
        ),
        Kind.IDENTITY,
    )
    assert [statement.place for statement in identity.statements] == ["Statement[0]", "no deletes, at night"]
    assert len(identity.statements[1].tests) == 5
    repository = read_policy(
        document(
            {
                "Effect": "Allow",
                "Action": "ecr:BatchGetImage",
                "Principal": {
                    "AWS": ["111122223333", "arn:aws:iam::444455556666:role/ci/deploy"],
                    "Service": "codebuild.amazonaws.com",
                },
            }
        ),
        Kind.REPOSITORY,
    )
    principals = repository.statements[0].principals
    assert principals is not None
    assert principals.accounts == {"111122223333"}
    assert principals.arns == {"arn:aws:iam::444455556666:role/ci/deploy"}


REPOSITORY = {"Effect": "Allow", "Action": "ecr:*", "Principal": "*"}


@pytest.mark.parametrize(
    ("kind", "statement", "place"),
    [
        (Kind.IDENTITY, ALLOW | {"Efect": "Deny"}, "Statement[0].Efect"),
        (Kind.IDENTITY, ALLOW | {"effect": "Deny"}, "effect"),
        (Kind.IDENTITY, ALLOW | {"Effect": "allow"}, "Statement[0].Effect"),
        (Kind.IDENTITY, {"Effect": "Allow", "Action": "ecr:*"}, "Resource"),
        (Kind.IDENTITY, {"Effect": "Allow", "Resource": "*"}, "Action"),
        (Kind.IDENTITY, ALLOW | {"NotAction": "ecr:*"}, "Action and NotAction"),
        (Kind.IDENTITY, ALLOW | {"Principal": "*"}, "Principal"),
        (Kind.IDENTITY, ALLOW | {"Action": "ecr"}, "Statement[0].Action"),
        (Kind.IDENTITY, ALLOW | {"Action": []}, "Statement[0].Action"),
        (Kind.IDENTITY, ALLOW | {"Action": 1}, "Statement[0].Action"),
        (Kind.IDENTITY, ALLOW | {"Resource": "repository/x"}, "Statement[0].Resource"),
        (Kind.IDENTITY, ALLOW | {"Condition": []}, "Statement[0].Condition"),
        (Kind.IDENTITY, ALLOW | {"Condition": {"StringEqual": {"aws:x": "y"}}}, "StringEqual"),
        (Kind.IDENTITY, ALLOW | {"Condition": {"NullIfExists": {"aws:x": "true"}}}, "NullIfExists"),
        (Kind.IDENTITY, ALLOW | {"Condition": {"IpAddress": {"aws:SourceIp": "300.1.1.1"}}}, "aws:SourceIp"),
        (Kind.IDENTITY, ALLOW | {"Condition": {"Bool": {"aws:x": "yes"}}}, "aws:x"),
        (Kind.IDENTITY, ALLOW | {"Condition": {"NumericEquals": {"aws:x": "a"}}}, "aws:x"),
        (Kind.IDENTITY, ALLOW | {"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}}, "aws:CurrentTime"),
        (Kind.IDENTITY, ALLOW | {"Condition": {"StringEquals": {"SourceIp": "x"}}}, "SourceIp"),
        (Kind.IDENTITY, ALLOW | {"Sid": 5}, "Statement[0].Sid"),
        (Kind.REPOSITORY, {"Effect": "Allow", "Action": "ecr:*"}, "Principal"),
        (Kind.REPOSITORY, REPOSITORY | {"Action": "s3:GetObject"}, "Statement[0].Action"),
        (Kind.REPOSITORY, REPOSITORY | {"Principal": "everyone"}, "Statement[0].Principal"),
        (Kind.REPOSITORY, REPOSITORY | {"Principal": {"AWS": "arn:aws:iam::1:role/x"}}, "Statement[0].Principal.AWS"),
        (Kind.REPOSITORY, REPOSITORY | {"Principal": {"AWS": "arn:aws:iam::111122223333:role/*"}}, "Principal.AWS"),
        (Kind.REPOSITORY, REPOSITORY | {"Principal": {"Aws": "*"}}, "Statement[0].Principal.Aws"),
        (Kind.REPOSITORY, {"Effect": "Allow", "Action": "ecr:*", "NotPrincipal": "*"}, "NotPrincipal"),
        (Kind.REGISTRY, REPOSITORY, "Resource"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(kind: Kind, statement: object, place: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        read_policy(document(statement), kind)
    assert place in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"Statement":[]}',
        b'{"Version":"2020-01-01","Statement":[]}',
        b'{"Statement":[1]}',
        b"[]",
        b"\xff",
        b'{"Statement":{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}}',
        b'{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"},"statement":[]}',
    ],
)
def test_what_is_no_policy_is_refused(data: bytes) -> None:
    with pytest.raises(PolicyInvalid):
        read_policy(data, Kind.IDENTITY)


def test_two_statements_of_one_name_are_refused() -> None:
    with pytest.raises(PolicyInvalid, match="Sid"):
        read_policy(document(ALLOW | {"Sid": "a"}, ALLOW | {"Sid": "a"}), Kind.IDENTITY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("aE*:${}", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Statement", "Effect", "Action", "Resource", "Principal", "Condition", "StringLike", "aws:x", "AWS"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())), st.sampled_from(Kind))
def test_any_bytes_are_a_policy_or_refused(data: bytes, kind: Kind) -> None:
    with contextlib.suppress(PolicyInvalid):
        read_policy(data, kind)


TRUSTING: dict[str, object] = {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"}


@pytest.mark.parametrize(
    ("more", "place"),
    [({"Resource": "*"}, "a Resource"), ({"Action": "ecr:PutImage"}, "by which a role is assumed")],
)
def test_a_trust_policy_is_about_its_role_and_how_it_is_assumed(more: dict[str, object], place: str) -> None:
    read_policy(json.dumps({"Statement": TRUSTING}).encode(), Kind.TRUST)
    with pytest.raises(PolicyInvalid, match=place):
        read_policy(json.dumps({"Statement": {**TRUSTING, **more}}).encode(), Kind.TRUST)
