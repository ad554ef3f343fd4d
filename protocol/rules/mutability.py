"""Whether a tag of a repository may move: the mode, and the filters that make exceptions from it.

Filters turn the mode around for the tags that they match; a mode with exclusions has from one to five of them, and
one without has none.

Source: Amazon ECR user guide, "Preventing image tags from being overwritten"; API reference, ``PutImageTagMutability``.
"""

import re
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from protocol.auth.patterns import matches, pattern
from protocol.errors import ParameterInvalid

Mode: TypeAlias = Literal["MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"]

MODES: tuple[Mode, ...] = get_args(Mode)
_FILTER = re.compile(r"[0-9a-zA-Z._*-]{1,128}")


class Exclusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The tags that *filter* matches, ``*`` being any text."""

    filter: str
    filter_type: Literal["WILDCARD"]

    def __post_init__(self) -> None:
        """Check the text: msgspec adds the place to a ``ValueError``."""
        if not _FILTER.fullmatch(self.filter):
            raise ValueError(f"no tag looks like {self.filter[:64]!r}")


class Mutability(msgspec.Struct, frozen=True):
    """The setting of a repository; made by ``mutability``."""

    mode: Mode = "MUTABLE"
    exclusions: Annotated[tuple[Exclusion, ...], Meta(max_length=5)] = ()

    def is_frozen(self, tag: str) -> bool:
        """Whether *tag*, once it is put, has to stay where it is."""
        frozen = self.mode.startswith("IMMUTABLE")
        return frozen != any(matches(pattern(one.filter), tag) for one in self.exclusions)


def mutability(mode: Mode, exclusions: tuple[Exclusion, ...]) -> Mutability:
    """Return the setting, or raise ``ParameterInvalid`` where the two do not go together."""
    wanted = mode.endswith("_WITH_EXCLUSION")
    if wanted != bool(exclusions) or len(exclusions) > 5:
        raise ParameterInvalid(
            "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: "
            + (f"'{mode} wants from 1 to 5 filters'" if wanted else f"'{mode} goes with no filters'")
        )
    return Mutability(mode, exclusions)


def stored_mutability(mode: object, exclusions: object) -> Mutability:
    """Return the setting whose two fields are stored as *mode* and *exclusions*, a JSON list of wildcard patterns.

    The fields are merged apart, so they may come from two writers: exclusions count where the mode wants them, and a
    mode without any that it wants is that mode. What is neither is ``MUTABLE``.
    """
    wanted: Mode = next((one for one in MODES if one == mode), "MUTABLE")
    if not wanted.endswith("_WITH_EXCLUSION"):
        return Mutability(wanted)
    try:
        patterns = msgspec.json.decode(exclusions if isinstance(exclusions, str) else "[]", type=tuple[str, ...])
        return Mutability(wanted, tuple(Exclusion(one, "WILDCARD") for one in patterns[:5]))
    except (msgspec.MsgspecError, ValueError):
        return Mutability(wanted)


def stored_exclusions(setting: Mutability) -> str | None:
    """Return the field in which the exclusions of *setting* are stored; ``None`` where it has none."""
    patterns = [one.filter for one in setting.exclusions]
    return msgspec.json.encode(patterns).decode() if patterns else None
