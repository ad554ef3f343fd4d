"""Whether clients may change content: read-only mode, and whatever else closes a registry to writes.

Theory of operation
===================
A registry is closed for reasons, each by where it comes from: the configuration, an operator at run time, a clock that
cannot be right. It is open while there is none. Nothing gets past two places: ``Registry.authorize``, which each use
case asks first, refuses every action that is not known to leave content alone; and ``commit``, with what else shows
content in a transaction, asks again on the writer's thread. So a push that asked before the gate closed changes nothing
after it: when closing has been written down, all that was acknowledged before lies in front of it in the journal.

What goes on behind a closed gate: pulls, HEAD with the day that it promises, replication to other registries, rules.
What waits: collection and the expiry of uploads, images that other registries send, and pulling through what is not
here.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from protocol.errors import ReadOnly

Closer: TypeAlias = Literal["configuration", "operator", "clock"]
"""Who closed the gate."""

_READS = ("ecr:Get", "ecr:Describe", "ecr:List", "ecr:BatchGet", "ecr:BatchCheck")
_BESIDE = ("entrepot:", "iam:", "kms:", "sts:")  # About the node itself (check, backup, scrub), and who may.
_RULES = frozenset(
    f"ecr:{name}"
    for name in (
        "PutAccountSetting",
        "PutImageTagMutability",
        "PutImageScanningConfiguration",
        "TagResource",
        "UntagResource",
        "PutReplicationConfiguration",
        "StartReplicationBackfill",
        "StopReplicationBackfill",
        "CreatePullThroughCacheRule",
        "UpdatePullThroughCacheRule",
        "DeletePullThroughCacheRule",
        "ValidatePullThroughCacheRule",
        "PutRegistryPolicy",
        "DeleteRegistryPolicy",
        "SetRepositoryPolicy",
        "DeleteRepositoryPolicy",
        "PutLifecyclePolicy",
        "DeleteLifecyclePolicy",
        "StartLifecyclePolicyPreview",
        "CreateRepositoryCreationTemplate",
        "UpdateRepositoryCreationTemplate",
        "DeleteRepositoryCreationTemplate",
        "PutRegistryScanningConfiguration",
        "StartImageScan",
        "PutSigningConfiguration",
        "DeleteSigningConfiguration",
        "RegisterPullTimeUpdateExclusion",
        "DeregisterPullTimeUpdateExclusion",
    )
)


class Gate:
    """Open, or closed for reasons. Closed and opened on the event loop's thread, asked on any."""

    def __init__(self) -> None:
        self.why = ""
        """Why clients may not change content, for people; empty while they may."""
        self._closed: dict[Closer, str] = {}

    @property
    def closed(self) -> Mapping[Closer, str]:
        """Who closed it, and why."""
        return self._closed

    def close(self, closer: Closer, why: str) -> None:
        """Let nobody change content any more, until *closer* opens it."""
        self._closed[closer] = why
        self.why = "; ".join(self._closed.values())

    def open(self, closer: Closer) -> None:
        """Take back what *closer* closed; another one's reason stays."""
        self._closed.pop(closer, None)
        self.why = "; ".join(self._closed.values())

    def require_open(self) -> None:
        """Raise ``ReadOnly`` where the gate is closed."""
        if self.why:
            raise ReadOnly(f"this registry is read-only ({self.why}); pulls go on")


def leaves_content(action: str) -> bool:
    """Whether *action* changes nothing that a client pushed: it reads, or is about rules or the node.

    One that nobody thought of is taken to change something.
    """
    action = action.replace("ecr-public:", "ecr:", 1)
    return action.startswith((*_READS, *_BESIDE)) or action in _RULES
