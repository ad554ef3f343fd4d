"""Webhooks: who is told of what, and how.

A webhook is put as a document and checked whole. Its secrets are not part of it: they are given once, kept apart, and
never shown.
"""

import re
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from protocol.errors import RuleInvalid
from protocol.events.event import KINDS, Event, Kind
from protocol.oci.names import RepositoryName
from protocol.rules.outbound import MAX_ALLOWED, Network, Target, allowed_network, require_dialable, target

MAX_WEBHOOKS = 64  # Of a node; each is a label of metrics and a handful of tasks.
MAX_PATTERNS = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_PATTERN = re.compile(r"[a-z0-9._/-]{0,256}\*?", re.ASCII)

Format: TypeAlias = Literal["ecr", "cloudevents", "cloudevents-binary"]
FORMATS: tuple[Format, ...] = ("ecr", "cloudevents", "cloudevents-binary")


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A webhook as it was put; ``checked`` says whether it makes sense."""

    url: str
    format: Format = "ecr"
    events: tuple[Kind, ...] = ("push", "delete", "replication", "pull-through", "storage")
    repositories: Annotated[tuple[str, ...], Meta(max_length=MAX_PATTERNS)] = ()
    """Names, or beginnings of names with ``*`` behind; none: all."""
    allow_http: bool = False
    allow_addresses: Annotated[tuple[str, ...], Meta(max_length=MAX_ALLOWED)] = ()
    """Addresses and networks that may be dialled although they are not public."""
    authority: Annotated[str, Meta(max_length=256 * 1024)] = ""
    """PEM of those who may have signed the receiver's certificate, instead of the system's."""
    timeout: Annotated[float, Meta(ge=1, le=60)] = 10.0  # Seconds for one delivery.
    attempts: Annotated[int, Meta(ge=1, le=1000)] = 12
    """How often an event is tried that the receiver refuses (4xx) before it is set aside."""
    hours: Annotated[float, Meta(ge=0.001, le=24 * 365)] = 72.0
    """How long an event is tried that is answered by errors (5xx) or not in time before it is set aside."""

    @property
    def target(self) -> Target:
        """The URL, parsed; ``RuleInvalid`` before ``checked``."""
        return target(self.url, allow_http=self.allow_http)

    @property
    def networks(self) -> tuple[Network, ...]:
        """``allow_addresses``, parsed."""
        return tuple(allowed_network(one) for one in self.allow_addresses)

    def wants(self, event: Event) -> bool:
        """Whether this webhook is told of *event*."""
        return event.kind in self.events and matches(self.repositories, event.repository)


def webhook_name(text: str) -> str:
    """Return *text*, or raise ``RuleInvalid`` where it is not the name of a webhook."""
    if not _NAME.fullmatch(text):
        raise RuleInvalid(f"a webhook's name has 1 to 63 of a-z, 0-9, '.', '_' and '-', which {text[:64]!r} has not")
    return text


def checked(webhook: Webhook) -> Webhook:
    """Return *webhook*, or raise ``RuleInvalid`` with the field that is wrong."""
    if not webhook.events:
        raise RuleInvalid(f"no events are chosen; there are {', '.join(KINDS)}")
    for pattern in webhook.repositories:
        require_pattern(pattern)
    require_dialable(webhook.target, webhook.networks)
    return webhook


def require_pattern(pattern: str) -> None:
    """Raise ``RuleInvalid`` where *pattern* is neither a repository's name nor the beginning of one and ``*``."""
    if not pattern or not _PATTERN.fullmatch(pattern):
        raise RuleInvalid(f"{pattern[:64]!r} is no repository's name, nor the beginning of one with '*' behind it")


def matches(patterns: tuple[str, ...], name: RepositoryName) -> bool:
    """Whether *name* is one of *patterns* or begins as one that ends in ``*``; without patterns every name is."""
    return not patterns or any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in patterns)
