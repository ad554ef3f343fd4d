"""Lifecycle policies act as ECR's own examples say; what ECR refuses is refused, with the place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RuleInvalid
from protocol.oci.digest import Digest
from protocol.rules.lifecycle import DAY, Image, lifecycle_policy, marked

NOW = 1_800_000_000.0
EXPIRE = {"type": "expire"}
ARCHIVE = {"type": "transition", "targetStorageClass": "archive"}


def selection(status: str = "any", kind: str = "imageCountMoreThan", number: int = 1, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON.
    unit = {} if kind == "imageCountMoreThan" else {"countUnit": "days"}
    return {"tagStatus": status, "countType": kind, "countNumber": number, **unit, **more}


def prefixes(*names: str, kind: str = "imageCountMoreThan", number: int = 1) -> dict[str, Any]:
    return selection("tagged", kind, number, tagPrefixList=list(names))


def policy(*selections: dict[str, Any], action: dict[str, Any] | None = None) -> bytes:
    rules = [
        {"rulePriority": at + 1, "selection": one, "action": action or {"type": "expire"}}
        for at, one in enumerate(selections)
    ]
    return json.dumps({"rules": rules}).encode()


def images(**days: tuple[float, list[str]]) -> list[Image]:
    return [
        Image(Digest(name), tuple(tags), NOW - age * DAY, order)
        for order, (name, (age, tags)) in enumerate(days.items())
    ]


def expired(document: bytes, found: list[Image]) -> str:
    return "".join(sorted(one.digest for one in marked(lifecycle_policy(document), found, now=NOW)))


REPOSITORY = images(A=(10, ["beta-1", "prod-1"]), B=(9, ["beta-2", "prod-2"]), C=(8, ["beta-3"]))
AGED = images(
    A=(12, ["alpha-1"]), B=(11, ["beta-1"]), C=(10, ["alpha-2", "beta-2"]), D=(4, ["alpha-3"]), E=(3, ["beta-3"]),
    F=(2, ["alpha-4", "beta-4"]),
)  # fmt: skip
GREEK = images(
    A=(10, ["alpha-1", "beta-1", "gamma-1"]), B=(9, ["alpha-2", "beta-2"]), C=(8, ["alpha-3", "beta-3", "gamma-2"]),
)  # fmt: skip
MIXED = images(A=(4, ["alpha-1"]), B=(3, ["beta-1"]), C=(2, []), D=(1, ["alpha-2"]))
ALL = images(A=(4, ["alpha-1", "beta-1"]), B=(3, []), C=(2, ["alpha-2"]), D=(1, ["git hash"]), E=(1, []))


@pytest.mark.parametrize(
    ("document", "found", "expected"),
    [
        (policy(prefixes("prod"), prefixes("beta")), REPOSITORY, "A"),
        (policy(prefixes("beta"), prefixes("prod")), REPOSITORY, "AB"),
        (policy(prefixes("alpha", "beta", kind="sinceImagePushed", number=5)), AGED, "C"),
        (policy(prefixes("alpha", "beta")), GREEK, "AB"),
        (policy(selection()), MIXED, "ABC"),
        (policy(prefixes("alpha"), selection("untagged", "sinceImagePushed"), selection()), ALL, "ABD"),
    ],
)
def test_the_examples_of_the_user_guide(document: bytes, found: list[Image], expected: str) -> None:
    assert expired(document, found) == expected


def test_exactly_that_many_days_is_not_older() -> None:
    old = policy(selection("any", "sinceImagePushed", 5))
    assert expired(old, images(A=(5, []))) == ""
    assert expired(old, images(A=(5.001, []))) == "A"


def test_patterns_have_wildcards_and_prefixes_have_none() -> None:
    tagged = images(A=(9, ["v1-rc-7"]), B=(8, ["v1.0"]), C=(7, ["*"]))
    assert expired(policy(selection("tagged", "sinceImagePushed", 1, tagPatternList=["v*rc*"])), tagged) == "A"
    assert expired(policy(prefixes("*", kind="sinceImagePushed")), tagged) == "C"


def test_a_child_stays_as_long_as_an_index_that_names_it() -> None:
    child = Image(Digest("C"), (), NOW - 9 * DAY)
    index = Image(Digest("I"), ("v1",), NOW - 9 * DAY, children=(Digest("C"),))
    untagged = policy(selection("untagged", "sinceImagePushed", 1))
    assert expired(untagged, [child, index]) == ""
    assert expired(policy(selection("any", "sinceImagePushed", 1)), [child, index]) == "CI"


def test_pulled_images_are_archived_by_their_last_pull_and_archived_ones_expire() -> None:
    archive = policy(selection("any", "sinceImagePulled", 10), action=ARCHIVE)
    found = [
        Image(Digest("A"), (), NOW - 99 * DAY, pulled=NOW - DAY),
        Image(Digest("B"), (), NOW - 99 * DAY, pulled=NOW - 11 * DAY),
        Image(Digest("C"), (), NOW - 99 * DAY),
        Image(Digest("D"), (), NOW - 99 * DAY, pulled=NOW - 50 * DAY, activated=NOW - DAY),
        Image(Digest("E"), (), NOW - 99 * DAY, archived=NOW - 95 * DAY),
    ]
    assert expired(archive, found) == "BC"
    gone = policy(selection("any", "sinceImageTransitioned", 90, storageClass="archive"))
    assert expired(gone, found) == "E"


@pytest.mark.parametrize(
    ("rule", "action"),
    [
        (selection("tagged"), EXPIRE),
        (selection("tagged", tagPrefixList=["a"], tagPatternList=["b"]), EXPIRE),
        (selection("untagged", tagPrefixList=["a"]), EXPIRE),
        (selection("any", tagPatternList=["a"]), EXPIRE),
        (selection("tagged", tagPatternList=["*test*1*2*3*4*5*6"]), EXPIRE),
        (selection("tagged", tagPrefixList=[]), EXPIRE),
        (selection(number=0), EXPIRE),
        (selection() | {"countUnit": "days"}, EXPIRE),
        ({"tagStatus": "any", "countType": "sinceImagePushed", "countNumber": 1}, EXPIRE),
        (selection(kind="sinceImagePushed") | {"countUnit": "hours"}, EXPIRE),
        (selection(kind="sinceImagePulled"), EXPIRE),
        (selection(kind="sinceImageTransitioned", number=90), EXPIRE),
        (selection(kind="sinceImageTransitioned", number=89, storageClass="archive"), EXPIRE),
        (selection(kind="sinceImageTransitioned", number=90, storageClass="archive"), ARCHIVE),
        (selection(storageClass="archive"), EXPIRE),
        (selection(), {"type": "transition"}),
        (selection(), {"type": "expire", "targetStorageClass": "archive"}),
        (selection(), {"type": "delete"}),
        (selection(more=1), EXPIRE),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_its_place(rule: dict[str, Any], action: dict[str, Any]) -> None:
    with pytest.raises(RuleInvalid, match=r"\$\.rules\[0\]"):
        lifecycle_policy(policy(rule, action=action))


@pytest.mark.parametrize(
    "document",
    [
        policy(selection(), prefixes("a")),
        policy(selection(), selection()),
        policy(selection("untagged"), selection("untagged", "sinceImagePushed")),
        policy(prefixes("a", "b"), prefixes("b", "a", kind="sinceImagePushed")),
        policy(*[prefixes(f"p{at}") for at in range(51)]),
        policy(),
        policy(prefixes("a"), prefixes("b")).replace(b'"rulePriority": 2', b'"rulePriority": 1'),
        b'{"rules":[],"more":1}',
        b"[]",
    ],
)  # fmt: skip
def test_rules_that_contradict_each_other_are_refused(document: bytes) -> None:
    with pytest.raises(RuleInvalid):
        lifecycle_policy(document)


def test_one_rule_for_any_in_each_storage_class() -> None:
    lifecycle_policy(policy(selection(), selection(kind="sinceImageTransitioned", number=90, storageClass="archive")))


TAGS = st.lists(st.sampled_from(["alpha-1", "beta-1", "prod-1"]), max_size=2, unique=True)
REPOSITORIES = st.lists(st.tuples(st.integers(0, 20), TAGS), max_size=8).map(
    lambda found: [Image(Digest(str(at)), tuple(tags), NOW - age * DAY, at) for at, (age, tags) in enumerate(found)]
)
RULES = st.lists(st.sampled_from(["alpha", "beta", "prod"]), min_size=1, max_size=3, unique=True).map(
    lambda names: policy(*[prefixes(name) for name in names], selection(kind="sinceImagePushed", number=9))
)


@given(REPOSITORIES, RULES, st.randoms())
def test_the_order_in_which_images_come_does_not_matter(found: list[Image], document: bytes, random: Any) -> None:  # noqa: ANN401
    shuffled = random.sample(found, len(found))
    assert expired(document, found) == expired(document, shuffled)


@given(REPOSITORIES, RULES)
def test_each_rule_keeps_its_newest(found: list[Image], document: bytes) -> None:
    gone = {one.digest for one in marked(lifecycle_policy(document), found, now=NOW)}
    first = json.loads(document)["rules"][0]["selection"]["tagPrefixList"][0]
    selected = [image for image in found if any(tag.startswith(first) for tag in image.tags)]
    if selected:
        newest = max(selected, key=lambda image: (image.pushed, image.order))
        assert newest.digest not in gone
