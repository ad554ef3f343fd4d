"""Lifecycle policies: which images of a repository expire or are archived, by which rule, and why the others stay.

Every rule looks at the same images, then priority decides. A rule *claims* whatever its tags and storage class select,
also what it does not act on, and no rule of lower priority acts on what is claimed: it is a shield as much as an axe.
Lower rules still count what is claimed. Several prefixes or patterns of a rule have each to match some tag of the
image. A child of an index goes when no index that names it stays.

The document is ECR's own and is refused for whatever it does not know.

Source: Amazon ECR user guide, "Lifecycle policies", "Examples of lifecycle policies", "Lifecycle policy parameters".
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from protocol.auth.patterns import matches, pattern
from protocol.errors import RuleInvalid
from protocol.oci.digest import Digest
from protocol.rules.document import read_document, typed

DAY = 86_400  # Seconds.
MAX_STARS = 4  # In one pattern.
ARCHIVE_MINIMUM = 90  # Days that an archived image stays at least.

CountType: TypeAlias = Literal["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"]
StorageClass: TypeAlias = Literal["standard", "archive"]
_Entry = Annotated[str, Meta(min_length=1, max_length=300)]
_Entries = Annotated[tuple[_Entry, ...], Meta(min_length=1, max_length=100)]


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Which images a rule is about, and how many or how old."""

    tag_status: Literal["tagged", "untagged", "any"]
    count_type: CountType
    count_number: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    tag_pattern_list: _Entries | None = None
    tag_prefix_list: _Entries | None = None
    storage_class: StorageClass | None = None
    count_unit: Literal["days"] | None = None

    def __post_init__(self) -> None:
        """Check what goes together: msgspec adds the place to a ``ValueError``."""
        lists = [one for one in (self.tag_pattern_list, self.tag_prefix_list) if one is not None]
        if self.tag_status == "tagged" and len(lists) != 1:
            raise ValueError("tagStatus tagged wants either tagPatternList or tagPrefixList")
        if self.tag_status != "tagged" and lists:
            raise ValueError(f"tagStatus {self.tag_status} goes with no list of tags")
        if any(one.count("*") > MAX_STARS for one in self.tag_pattern_list or ()):
            raise ValueError(f"a pattern with more than {MAX_STARS} wildcards")
        if (self.count_unit is None) != (self.count_type == "imageCountMoreThan"):
            raise ValueError("countUnit days goes with every countType but imageCountMoreThan")
        if self.count_type == "sinceImageTransitioned" and self.storage_class != "archive":
            raise ValueError("sinceImageTransitioned wants storageClass archive")
        if self.count_type != "sinceImageTransitioned" and self.storage_class == "archive":
            raise ValueError("storageClass archive goes with sinceImageTransitioned alone")

    @property
    def storage(self) -> StorageClass:
        """The storage class that it is about."""
        return self.storage_class or "standard"


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What happens to an image."""

    type: Literal["expire", "transition"]
    target_storage_class: Literal["archive"] | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One rule; the lowest number goes first."""

    rule_priority: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    selection: Selection
    action: Action
    description: Annotated[str, Meta(max_length=256)] | None = None

    def __post_init__(self) -> None:
        """Check what goes together: msgspec adds the place to a ``ValueError``."""
        kind, count_type = self.action.type, self.selection.count_type
        if (kind == "transition") != (self.action.target_storage_class is not None):
            raise ValueError("targetStorageClass goes with a transition, and a transition wants it")
        if count_type == "sinceImagePulled" and kind != "transition":
            raise ValueError("sinceImagePulled goes with a transition")
        if count_type == "sinceImageTransitioned":
            if kind != "expire":
                raise ValueError("sinceImageTransitioned goes with expire")
            if self.selection.count_number < ARCHIVE_MINIMUM:
                raise ValueError(f"an archived image stays at least {ARCHIVE_MINIMUM} days")


class LifecyclePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules of a repository."""

    rules: Annotated[tuple[Rule, ...], Meta(min_length=1, max_length=50)]


class Image(msgspec.Struct, frozen=True):
    """An image as rules see it; times are UTC, seconds since 1970."""

    digest: Digest
    tags: tuple[str, ...]
    pushed: float
    order: int = 0  # Of two pushed at one time the one with the higher number is newer.
    pulled: float | None = None
    activated: float | None = None  # When it was last brought back from the archive.
    archived: float | None = None  # When it went there; ``None``: it is not there.
    children: tuple[Digest, ...] = ()  # The manifests that it names, if it is an index.


class Marked(msgspec.Struct, frozen=True):
    """A decision: *digest* goes, by the rule of this priority."""

    digest: Digest
    priority: int
    action: Action


def lifecycle_policy(data: bytes) -> LifecyclePolicy:
    """Read the document *data*, or raise ``RuleInvalid`` with the place of the fault."""
    policy = typed(read_document(data), LifecyclePolicy)
    priorities = [rule.rule_priority for rule in policy.rules]
    if len(set(priorities)) != len(priorities):
        raise RuleInvalid("rulePriority has to be different in each rule - at `$.rules`")
    for storage in ("standard", "archive"):
        _check_together([rule for rule in policy.rules if rule.selection.storage == storage])
    return policy


def marked(policy: LifecyclePolicy, images: Sequence[Image], *, now: float) -> list[Marked]:
    """Return what *policy* does to *images*, the oldest first. Cost: linear in images times rules, and a sort each.

    Args:
        policy: of the repository.
        images: all of the repository at one moment.
        now: UTC, seconds since 1970.
    """
    claimed: set[Digest] = set()
    found: dict[Digest, Marked] = {}
    for rule in sorted(policy.rules, key=lambda one: one.rule_priority):
        selected = [image for image in images if _selects(rule.selection, image)]
        for image in _reached(rule.selection, selected, now):
            if image.digest not in claimed:
                found[image.digest] = Marked(image.digest, rule.rule_priority, rule.action)
        claimed |= {image.digest for image in selected}
    kept = _held(images, found)
    ordered = sorted(
        images, key=lambda image: (image.pushed if image.archived is None else image.archived, image.order)
    )
    return [found[image.digest] for image in ordered if image.digest in found and image.digest not in kept]


def _check_together(rules: Sequence[Rule]) -> None:
    """Refuse what contradicts itself among the rules of one storage class."""
    any_rules = [rule for rule in rules if rule.selection.tag_status == "any"]
    if len(any_rules) > 1:
        raise RuleInvalid("only one rule with tagStatus any for a storage class - at `$.rules`")
    if any_rules and any_rules[0].rule_priority != max(rule.rule_priority for rule in rules):
        raise RuleInvalid("the rule with tagStatus any has to have the highest rulePriority - at `$.rules`")
    if len([rule for rule in rules if rule.selection.tag_status == "untagged"]) > 1:
        raise RuleInvalid("only one rule with tagStatus untagged for a storage class - at `$.rules`")
    entries = [(kind, frozenset(one)) for rule in rules for kind, one in _lists(rule.selection)]
    if len(set(entries)) != len(entries):
        raise RuleInvalid("two rules with the same tags for a storage class - at `$.rules`")


def _lists(selection: Selection) -> Iterator[tuple[str, tuple[str, ...]]]:
    if selection.tag_pattern_list is not None:
        yield "patterns", selection.tag_pattern_list
    if selection.tag_prefix_list is not None:
        yield "prefixes", selection.tag_prefix_list


def _selects(selection: Selection, image: Image) -> bool:
    if (image.archived is not None) != (selection.storage == "archive"):
        return False
    match selection.tag_status:
        case "any":
            return True
        case "untagged":
            return not image.tags
        case "tagged":
            prefixes = all(any(tag.startswith(one) for tag in image.tags) for one in selection.tag_prefix_list or ())
            patterns = [pattern(one) for one in selection.tag_pattern_list or ()]
            return prefixes and all(any(matches(one, tag) for tag in image.tags) for one in patterns)


def _reached(selection: Selection, images: Sequence[Image], now: float) -> Iterable[Image]:
    """Return those of *images* that are too many or too old."""
    if selection.count_type == "imageCountMoreThan":
        newest = sorted(images, key=lambda image: (_since_pushed(image), image.order), reverse=True)
        return newest[selection.count_number :]
    since = {"sinceImagePushed": _since_pushed, "sinceImagePulled": _since_pulled}.get(
        selection.count_type, _since_archived
    )
    return [image for image in images if now - since(image) > selection.count_number * DAY]


def _since_pushed(image: Image) -> float:
    return image.pushed if image.activated is None else image.activated


def _since_pulled(image: Image) -> float:
    if image.pulled is not None and (image.activated is None or image.pulled >= image.activated):
        return image.pulled
    return _since_pushed(image)


def _since_archived(image: Image) -> float:
    return image.pushed if image.archived is None else image.archived


def _held(images: Sequence[Image], found: dict[Digest, Marked]) -> set[Digest]:
    """Return what is named by an index that stays, at any depth."""
    by_digest = {image.digest: image for image in images}
    held: set[Digest] = set()
    waiting = [child for image in images if image.digest not in found for child in image.children]
    while waiting:
        digest = waiting.pop()
        if digest not in held:
            held.add(digest)
            waiting += by_digest[digest].children if digest in by_digest else ()
    return held
