"""A filter turns the mode around for the tags that it matches, in both directions."""

import pytest

from protocol.errors import ParameterInvalid
from protocol.rules.mutability import Exclusion, Mode, mutability


def filters(*texts: str) -> tuple[Exclusion, ...]:
    return tuple(Exclusion(text, "WILDCARD") for text in texts)


@pytest.mark.parametrize(
    ("mode", "exclusions", "tag", "frozen"),
    [
        ("MUTABLE", (), "v1", False),
        ("IMMUTABLE", (), "v1", True),
        ("IMMUTABLE", (), "latest", True),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest", "dev-*"), "latest", False),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest", "dev-*"), "dev-7", False),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest", "dev-*"), "v1", True),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest",), "latest2", True),
        ("MUTABLE_WITH_EXCLUSION", ("v*",), "v1", True),
        ("MUTABLE_WITH_EXCLUSION", ("v*",), "latest", False),
        ("MUTABLE_WITH_EXCLUSION", ("v*.*.*",), "v1.2", False),
        ("MUTABLE_WITH_EXCLUSION", ("v*.*.*",), "v1.2.3", True),
    ],
)
def test_which_tags_are_frozen(mode: Mode, exclusions: tuple[str, ...], tag: str, frozen: bool) -> None:
    assert mutability(mode, filters(*exclusions)).is_frozen(tag) == frozen


@pytest.mark.parametrize(
    ("mode", "exclusions"),
    [
        ("MUTABLE", ("a",)),
        ("IMMUTABLE", ("a",)),
        ("IMMUTABLE_WITH_EXCLUSION", ()),
        ("MUTABLE_WITH_EXCLUSION", ()),
        ("MUTABLE_WITH_EXCLUSION", ("a", "b", "c", "d", "e", "f")),
    ],
)
def test_filters_go_with_the_modes_that_have_them(mode: Mode, exclusions: tuple[str, ...]) -> None:
    with pytest.raises(ParameterInvalid, match="imageTagMutabilityExclusionFilters"):
        mutability(mode, filters(*exclusions))


@pytest.mark.parametrize("text", ["", "a b", "a/b", "a?", "x" * 129])
def test_a_filter_that_no_tag_matches_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no tag"):
        Exclusion(text, "WILDCARD")
