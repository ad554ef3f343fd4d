"""Decisions are those of IAM: a truth table by hand, a second evaluator that knows no better, and laws that hold."""

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.auth.decision import Asked, Decision, Named, Why, decide
from protocol.auth.policy import Kind, read_policy

OURS, THEIRS = "111122223333", "444455556666"
REPOSITORY = f"arn:aws:ecr:local:{OURS}:repository/team/app"
ANA, BOB = f"arn:aws:iam::{OURS}:user/ana", f"arn:aws:iam::{THEIRS}:user/bob"
ROLE = f"arn:aws:iam::{OURS}:role/ci/build"
SESSION = f"arn:aws:sts::{OURS}:assumed-role/ci/build/run-1"


def named(kind: Kind, *statements: dict[str, Any], version: str = "2012-10-17") -> Named:
    text = json.dumps({"Version": version, "Statement": list(statements)}).encode()
    return Named(kind.value, read_policy(text, kind))


def asked(who: str = ANA, action: str = "ecr:BatchGetImage", resource: str = REPOSITORY, **keys: str) -> Asked:
    account = "" if who == "*" else who.split(":")[4]
    return Asked(who, account, action, resource, OURS, {f"aws:{name}": (value,) for name, value in keys.items()})


def own(effect: str = "Allow", action: str = "ecr:*", resource: str = "*", **more: object) -> Named:
    return named(Kind.IDENTITY, {"Effect": effect, "Action": action, "Resource": resource, **more})


def theirs(effect: str = "Allow", action: str = "ecr:*", principal: object = "*", **more: object) -> Named:
    return named(Kind.REPOSITORY, {"Effect": effect, "Action": action, "Principal": principal, **more})


def session(action: str) -> Named:
    return named(Kind.SESSION, {"Effect": "Allow", "Action": action, "Resource": "*"})


def but_ana(effect: str) -> Named:
    return named(Kind.REPOSITORY, {"Effect": effect, "Action": "*", "NotPrincipal": {"AWS": ANA}})


TEAM = f"arn:aws:ecr:local:{OURS}:repository/team/*"
NOT_PUT = named(Kind.IDENTITY, {"Effect": "Allow", "NotAction": "ecr:Put*", "Resource": "*"})
NOT_TEAM = named(Kind.IDENTITY, {"Effect": "Allow", "Action": "*", "NotResource": TEAM})
FOR_BOB = named(Kind.REGISTRY, {"Effect": "Allow", "Action": "ecr:*", "Principal": {"AWS": BOB}, "Resource": TEAM})
LOG_IN = "ecr:GetAuthorizationToken"

TABLE: list[tuple[str, Asked, list[Named], Why]] = [
    ("nothing said", asked(), [], Why.NO_IDENTITY_ALLOW),
    ("by identity", asked(), [own()], Why.ALLOWED),
    ("by the repository alone", asked(), [theirs(principal={"AWS": ANA})], Why.ALLOWED),
    ("a deny beats an allow", asked(), [own(), theirs("Deny")], Why.EXPLICIT_DENY),
    ("a deny in the identity", asked(), [own(), own("Deny", "ecr:Batch*"), theirs()], Why.EXPLICIT_DENY),
    ("another action", asked(), [own(action="ecr:PutImage")], Why.NO_IDENTITY_ALLOW),
    ("actions have no case", asked(), [own(action="ECR:batchgetimage")], Why.ALLOWED),
    ("another repository", asked(), [own(resource=f"{REPOSITORY}2")], Why.NO_IDENTITY_ALLOW),
    ("root of the account", asked(f"arn:aws:iam::{OURS}:root"), [], Why.ROOT),
    ("root, denied", asked(f"arn:aws:iam::{OURS}:root"), [theirs("Deny")], Why.EXPLICIT_DENY),
    ("root of another account", asked(f"arn:aws:iam::{THEIRS}:root"), [], Why.NO_RESOURCE_ALLOW),
    ("root of another account, allowed", asked(f"arn:aws:iam::{THEIRS}:root"), [theirs(principal={"AWS": THEIRS})],
     Why.ALLOWED),
    ("the account delegates to nobody", asked(), [theirs(principal={"AWS": OURS})], Why.NO_IDENTITY_ALLOW),
    ("the account delegates", asked(), [theirs(principal={"AWS": OURS}), own()], Why.ALLOWED),
    ("across: the repository alone", asked(BOB), [theirs()], Why.NO_IDENTITY_ALLOW),
    ("across: the identity alone", asked(BOB), [own()], Why.NO_RESOURCE_ALLOW),
    ("across: both", asked(BOB), [own(), theirs(principal={"AWS": THEIRS})], Why.ALLOWED),
    ("across: another account named", asked(BOB), [own(), theirs(principal={"AWS": OURS})], Why.NO_RESOURCE_ALLOW),
    ("across: by ARN", asked(BOB), [own(), theirs(principal={"AWS": BOB})], Why.ALLOWED),
    ("nobody known, everyone allowed", asked("*"), [theirs()], Why.ALLOWED),
    ("nobody known, accounts allowed", asked("*"), [theirs(principal={"AWS": OURS})], Why.NO_RESOURCE_ALLOW),
    ("a session by its role", asked(SESSION), [theirs(principal={"AWS": ROLE})], Why.ALLOWED),
    ("a session by itself", asked(SESSION), [theirs(principal={"AWS": SESSION})], Why.ALLOWED),
    ("a session's policy narrows", asked(), [own(), session("ecr:Put*")], Why.NO_SESSION_ALLOW),
    ("a session's policy gives nothing", asked(), [session("*")], Why.NO_IDENTITY_ALLOW),
    ("NotAction", asked(), [NOT_PUT], Why.ALLOWED),
    ("NotResource", asked(), [NOT_TEAM], Why.NO_IDENTITY_ALLOW),
    ("NotPrincipal spares who is named", asked(), [own(), but_ana("Deny")], Why.ALLOWED),
    ("NotPrincipal hits all others", asked(SESSION), [own(), but_ana("Deny")], Why.EXPLICIT_DENY),
    ("an action without a resource, by *", asked(action=LOG_IN, resource="*"), [own()], Why.ALLOWED),
    ("without a resource, by an ARN", asked(action=LOG_IN, resource="*"), [own(resource=TEAM)], Why.NO_IDENTITY_ALLOW),
    ("a document that cannot be read", asked(), [own(), Named("broken", None)], Why.UNREADABLE),
    ("the registry's policy", asked(BOB), [own(), FOR_BOB], Why.ALLOWED),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "policies", "why"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_truth_table(request_: Asked, policies: list[Named], why: Why) -> None:
    decision = decide(request_, policies)
    assert decision.why is why
    assert decision.allowed == (why in {Why.ALLOWED, Why.ROOT})
    assert bool(decision.document) == (why in {Why.ALLOWED, Why.EXPLICIT_DENY, Why.UNREADABLE})


CONDITIONS: list[tuple[dict[str, Any], dict[str, tuple[str, ...]], bool]] = [
    ({"StringEquals": {"aws:x": "a"}}, {"x": ("a",)}, True),
    ({"StringEquals": {"aws:x": ["a", "b"]}}, {"x": ("b",)}, True),
    ({"StringEquals": {"aws:x": "a"}}, {"x": ("A",)}, False),
    ({"StringEquals": {"AWS:X": "a"}}, {"x": ("a",)}, True),
    ({"StringEquals": {"aws:x": "a*"}}, {"x": ("ab",)}, False),
    ({"StringEquals": {"aws:x": "a"}}, {}, False),
    ({"StringEqualsIfExists": {"aws:x": "a"}}, {}, True),
    ({"StringNotEquals": {"aws:x": "a"}}, {}, True),
    ({"StringNotEquals": {"aws:x": ["a", "b"]}}, {"x": ("b",)}, False),
    ({"StringNotEquals": {"aws:x": ["a", "b"]}}, {"x": ("c",)}, True),
    ({"StringEqualsIgnoreCase": {"aws:x": "a"}}, {"x": ("A",)}, True),
    ({"StringLike": {"aws:x": "a*c"}}, {"x": ("abbc",)}, True),
    ({"StringNotLike": {"aws:x": "a*c"}}, {"x": ("abbc",)}, False),
    ({"NumericLessThanEquals": {"aws:x": "10"}}, {"x": ("9.5",)}, True),
    ({"NumericGreaterThan": {"aws:x": 10}}, {"x": ("10",)}, False),
    ({"NumericEquals": {"aws:x": 10}}, {"x": ("ten",)}, False),
    ({"NumericNotEquals": {"aws:x": 10}}, {"x": ("11",)}, True),
    ({"DateLessThan": {"aws:x": "2026-01-01T00:00:00Z"}}, {"x": ("2025-12-31T23:59:59Z",)}, True),
    ({"DateGreaterThan": {"aws:x": "2026-01-01T01:00:00+01:00"}}, {"x": ("2026-01-01T00:00:00Z",)}, False),
    ({"DateEquals": {"aws:x": "1970-01-01"}}, {"x": ("0",)}, True),
    ({"Bool": {"aws:x": "true"}}, {"x": ("true",)}, True),
    ({"Bool": {"aws:x": "false"}}, {}, False),
    ({"IpAddress": {"aws:x": "203.0.113.0/24"}}, {"x": ("203.0.113.9",)}, True),
    ({"IpAddress": {"aws:x": "203.0.113.0/24"}}, {"x": ("::ffff:203.0.113.9",)}, True),
    ({"IpAddress": {"aws:x": "203.0.113.0/24"}}, {"x": ("2001:db8::1",)}, False),
    ({"NotIpAddress": {"aws:x": ["203.0.113.0/24", "2001:db8::/32"]}}, {"x": ("2001:db8::1",)}, False),
    ({"ArnLike": {"aws:x": "arn:aws:iam::*:role/ci/*"}}, {"x": (f"arn:aws:iam::{OURS}:role/ci/build",)}, True),
    ({"ArnLike": {"aws:x": "arn:aws:*:x:y:role/x"}}, {"x": (f"arn:aws:iam:x:{OURS}:role/x",)}, False),
    ({"ArnNotEquals": {"aws:x": "arn:aws:iam::*:role/ci/*"}}, {"x": (f"arn:aws:iam::{OURS}:user/a",)}, True),
    ({"Null": {"aws:x": "true"}}, {}, True),
    ({"Null": {"aws:x": "true"}}, {"x": ("a",)}, False),
    ({"Null": {"aws:x": "false"}}, {"x": ("a",)}, True),
    ({"BinaryEquals": {"aws:x": "aGk="}}, {"x": ("aGk=",)}, True),
    ({"ForAllValues:StringEquals": {"aws:x": ["a", "b"]}}, {"x": ("a", "b")}, True),
    ({"ForAllValues:StringEquals": {"aws:x": ["a", "b"]}}, {"x": ("a", "c")}, False),
    ({"ForAllValues:StringEquals": {"aws:x": ["a", "b"]}}, {}, True),
    ({"ForAnyValue:StringEquals": {"aws:x": ["a", "b"]}}, {"x": ("c", "a")}, True),
    ({"ForAnyValue:StringEquals": {"aws:x": ["a", "b"]}}, {}, False),
    ({"ForAnyValue:StringNotEquals": {"aws:x": ["a"]}}, {"x": ("a", "b")}, True),
    ({"ForAllValues:StringNotEquals": {"aws:x": ["a"]}}, {"x": ("a", "b")}, False),
    ({"StringEquals": {"aws:x": "a", "aws:y": "b"}}, {"x": ("a",)}, False),
    ({"StringEquals": {"aws:x": "${aws:y}"}}, {"x": ("a",), "y": ("a",)}, True),
    ({"StringEquals": {"aws:x": "${aws:y}"}}, {"x": ("a",)}, False),
    ({"StringNotEquals": {"aws:x": "${aws:y}"}}, {"x": ("a",)}, True),
    ({"StringEquals": {"aws:x": "${aws:y, 'z'}"}}, {"x": ("z",)}, True),
    ({"StringLike": {"aws:x": "${aws:y}/*"}}, {"x": ("a*/1",), "y": ("a*",)}, True),
    ({"StringLike": {"aws:x": "${aws:y}/*"}}, {"x": ("ab/1",), "y": ("a*",)}, False),
    ({"StringLike": {"aws:x": "${*}?"}}, {"x": ("*a",)}, True),
    ({"StringLike": {"aws:x": "${*}?"}}, {"x": ("ba",)}, False),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "keys", "allowed"), CONDITIONS)
def test_conditions(condition: dict[str, Any], keys: dict[str, tuple[str, ...]], allowed: bool) -> None:
    known = {f"aws:{name}": values for name, values in keys.items()}
    request = Asked(ANA, OURS, "ecr:BatchGetImage", REPOSITORY, OURS, known)
    assert decide(request, [own(Condition=condition)]).allowed == allowed


def test_variables_in_a_resource_are_never_wildcards() -> None:
    mine = own(resource=f"arn:aws:ecr:local:{OURS}:repository/${{aws:username}}/*")
    resource = f"arn:aws:ecr:local:{OURS}:repository/ana/app"
    assert decide(asked(resource=resource, username="ana"), [mine]).allowed
    assert not decide(asked(resource=resource, username="*"), [mine]).allowed
    assert not decide(asked(resource=resource), [mine]).allowed


def test_documents_of_2008_have_no_variables() -> None:
    statement = {
        "Effect": "Allow",
        "Action": "*",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:x": "${aws:x}"}},
    }
    old = named(Kind.IDENTITY, statement, version="2008-10-17")
    assert not decide(asked(x="a"), [old]).allowed
    assert decide(asked(x="${aws:x}"), [old]).allowed


# A second evaluator: slow, on the JSON itself, for a language without variables and with few operators.

ACTIONS = ["ecr:BatchGetImage", "ecr:PutImage", "ecr:*", "*", "ecr:Batch*"]
RESOURCES = ["*", REPOSITORY, f"arn:aws:ecr:local:{OURS}:repository/team/*", f"arn:aws:ecr:local:{OURS}:repository/x"]
PRINCIPALS: list[Any] = ["*", {"AWS": OURS}, {"AWS": THEIRS}, {"AWS": [ANA, BOB]}, {"AWS": ROLE}, {"AWS": "*"}]
CONDITION_BLOCKS: list[Any] = [
    None, {"StringEquals": {"aws:x": "a"}}, {"StringNotEquals": {"aws:x": ["a", "b"]}}, {"Null": {"aws:x": "true"}},
    {"StringEqualsIfExists": {"aws:x": "b"}},
]  # fmt: skip


def fields(principal: bool) -> st.SearchStrategy[dict[str, Any]]:
    choices = {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Action": st.sampled_from(ACTIONS),
        "Resource": st.sampled_from(RESOURCES),
        "Condition": st.sampled_from(CONDITION_BLOCKS),
    }
    if principal:
        choices["Principal"] = st.sampled_from(PRINCIPALS)
    return st.fixed_dictionaries(choices).map(
        lambda found: {name: value for name, value in found.items() if value is not None}
    )


DOCUMENTS = st.lists(
    st.one_of(
        st.tuples(st.just(Kind.IDENTITY), st.lists(fields(False), min_size=1, max_size=3)),
        st.tuples(st.just(Kind.REPOSITORY), st.lists(fields(True), min_size=1, max_size=3)),
        st.tuples(st.just(Kind.REGISTRY), st.lists(fields(True), min_size=1, max_size=3)),
    ),
    max_size=3,
)
REQUESTS = st.builds(
    lambda who, action, resource, x: asked(who, action, resource, **({} if x is None else {"x": x})),
    st.sampled_from([ANA, BOB, SESSION, "*", f"arn:aws:iam::{OURS}:root", f"arn:aws:iam::{THEIRS}:root"]),
    st.sampled_from(["ecr:BatchGetImage", "ecr:PutImage"]),
    st.sampled_from([REPOSITORY, f"arn:aws:ecr:local:{OURS}:repository/x"]),
    st.sampled_from([None, "a", "b", "c"]),
)


def naive_applies(statement: dict[str, Any], request: Asked) -> tuple[bool, bool]:
    """Return whether it applies, and whether it only delegates."""
    x = request.keys.get("aws:x", (None,))[0]
    condition = statement.get("Condition", {})
    met = {
        "StringEquals": lambda: x == "a",
        "StringNotEquals": lambda: x not in {"a", "b"},
        "Null": lambda: x is None,
        "StringEqualsIfExists": lambda: x in {None, "b"},
    }
    about, delegates = True, False
    if "Principal" in statement and statement["Principal"] not in ("*", {"AWS": "*"}):
        names = statement["Principal"]["AWS"]
        names = names if isinstance(names, list) else [names]
        role = ROLE if request.principal == SESSION else request.principal
        direct = request.principal in names or role in names
        delegates = not direct and bool(request.account) and request.account in names
        about = direct or delegates
    applies = (
        about
        and fnmatchcase(request.action, statement["Action"])
        and fnmatchcase(request.resource, statement["Resource"])
        and all(met[name]() for name in condition)
    )
    return applies, delegates


def naive(request: Asked, documents: Sequence[tuple[Kind, list[dict[str, Any]]]]) -> bool:
    found = {Kind.IDENTITY: False, Kind.REPOSITORY: False}
    delegated = False
    for kind, statements in documents:
        for statement in statements:
            applies, delegates = naive_applies(statement, request)
            if applies and statement["Effect"] == "Deny":
                return False
            if applies and delegates:
                delegated = True
            elif applies:
                found[Kind.IDENTITY if kind is Kind.IDENTITY else Kind.REPOSITORY] = True
    resource = found[Kind.REPOSITORY] or (delegated and found[Kind.IDENTITY])
    root = request.principal.endswith(":root")
    if request.account == OURS:
        return root or found[Kind.IDENTITY] or resource
    if root:
        return found[Kind.REPOSITORY] or delegated
    return resource and (found[Kind.IDENTITY] or not request.account)


def decided(request: Asked, documents: Sequence[tuple[Kind, list[dict[str, Any]]]]) -> Decision:
    return decide(request, [named(kind, *statements) for kind, statements in documents])


@given(REQUESTS, DOCUMENTS)
@settings(max_examples=400)
def test_a_second_evaluator_agrees(request: Asked, documents: list[tuple[Kind, list[dict[str, Any]]]]) -> None:
    assert decided(request, documents).allowed == naive(request, documents)


@given(REQUESTS, DOCUMENTS, st.sampled_from(Kind), st.data())
@settings(max_examples=200)
def test_a_deny_never_allows_and_an_allow_never_denies(
    request: Asked, documents: list[tuple[Kind, list[dict[str, Any]]]], kind: Kind, data: st.DataObject
) -> None:
    if kind in {Kind.SESSION, Kind.TRUST}:
        return
    more = data.draw(fields(kind.names_principals))
    before, after = decided(request, documents), decided(request, [*documents, (kind, [more])])
    if more["Effect"] == "Deny":
        assert before.allowed or not after.allowed
    else:
        assert after.allowed or not before.allowed


@given(REQUESTS, DOCUMENTS, st.randoms())
@settings(max_examples=200)
def test_order_does_not_matter(
    request: Asked, documents: list[tuple[Kind, list[dict[str, Any]]]], random: Random
) -> None:
    shuffled = [(kind, random.sample(statements, len(statements))) for kind, statements in documents]
    random.shuffle(shuffled)
    assert decided(request, documents).allowed == decided(request, shuffled).allowed


@given(REQUESTS, DOCUMENTS)
@settings(max_examples=200)
def test_accounts_are_only_names(request: Asked, documents: list[tuple[Kind, list[dict[str, Any]]]]) -> None:
    def renamed(text: str) -> str:
        return text.replace(OURS, "@").replace(THEIRS, "777788889999").replace("@", "000011112222")

    who, account, resource, owner = map(renamed, (request.principal, request.account, request.resource, request.owner))
    moved = Asked(who, account, request.action, resource, owner, request.keys)
    documents_moved = json.loads(renamed(json.dumps([[kind.value, statements] for kind, statements in documents])))
    after = decide(moved, [named(Kind(kind), *statements) for kind, statements in documents_moved])
    assert after.allowed == decided(request, documents).allowed
