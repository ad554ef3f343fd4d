"""Resource tags: what one may be, and how many there may be.

Source: Amazon ECR user guide, "Tagging a private repository", "Tag basics"; API reference, ``Tag``.
"""

import unicodedata
from collections.abc import Iterable, Mapping

from protocol.errors import TagsInvalid, TooManyTags

MAX_TAGS = 50  # Of one repository, unless the operator allows more.
_MAX_KEY = 128  # Characters.
_MAX_VALUE = 256
_OTHERS = frozenset("_.:/=+-@")


def resource_tags(given: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the tags that *given* has as ``{"Key": ..., "Value": ...}`` each, or raise ``TagsInvalid``."""
    tags: dict[str, str] = {}
    for one in given:
        key, value = one.get("Key", ""), one.get("Value", "")  # The public service requires neither.
        _require_key(key)
        if len(value) > _MAX_VALUE or not _is_plain(value):
            raise TagsInvalid(f"The value of tag '{key}' has more than {_MAX_VALUE} characters, or some that none has")
        if key in tags:
            raise TagsInvalid(f"Tag '{key}' is given twice")
        tags[key] = value
    return tags


def require_tag_keys(keys: Iterable[str]) -> None:
    """Raise ``TagsInvalid`` where one of *keys* is none."""
    for key in keys:
        _require_key(key)


def require_room(tags: Mapping[str, str], *, most: int = MAX_TAGS) -> None:
    """Raise ``TooManyTags`` where a repository would have more than *most* tags."""
    if len(tags) > most:
        raise TooManyTags(f"A repository has at most {most} tags, and this one would have {len(tags)}")


def _require_key(key: str) -> None:
    if not 1 <= len(key) <= _MAX_KEY or not _is_plain(key):
        raise TagsInvalid(f"A tag key has 1 to {_MAX_KEY} letters, digits, spaces and _.:/=+-@, unlike '{key[:64]}'")
    if key.lower().startswith("aws:"):
        raise TagsInvalid(f"Tag keys that begin with aws: are for AWS alone, as '{key[:64]}'")


def _is_plain(text: str) -> bool:
    """Whether *text* is of letters, separators, numbers and the few others that a tag may have."""
    return all(one in _OTHERS or unicodedata.category(one)[0] in "LZN" for one in text)
