"""Creation templates: what a repository is made from where a push, a pull through or replication makes it.

A prefix stands for the names below it: ``prod`` is that of ``prod/app`` and not of ``production/app``. The longest one
that applies to the cause decides; ``ROOT`` is every name's, and goes last. A template that is not for the cause is as
if it were not there.

Source: Amazon ECR user guide, "Templates to control repositories created during a pull through cache, create on push,
or replication action".
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec

from protocol.oci.names import RepositoryName

Cause: TypeAlias = Literal["REPLICATION", "PULL_THROUGH_CACHE", "CREATE_ON_PUSH"]

ROOT = "ROOT"


class Template(msgspec.Struct, frozen=True):
    """One template; *settings* are what a repository gets."""

    prefix: str  # Without a slash at its end, or ``ROOT``.
    applied_for: frozenset[Cause]
    settings: dict[str, Any] = {}


def template_for(templates: Iterable[Template], name: RepositoryName, cause: Cause) -> Template | None:
    """Return the template that *name* is made from, or ``None``: without one there is none to ask."""
    fitting = [one for one in templates if cause in one.applied_for and _covers(one.prefix, name)]
    return max(fitting, key=lambda one: -1 if one.prefix == ROOT else len(one.prefix), default=None)


def _covers(prefix: str, name: RepositoryName) -> bool:
    return prefix == ROOT or name.startswith(f"{prefix.rstrip('/')}/")
