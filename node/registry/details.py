"""What is told of a repository: its settings as people and ECR know them, with their defaults."""

from collections.abc import Sequence

import msgspec

from node.registry.registry import Registry
from node.registry.repositories import exists, repository
from node.registry.settings import mutability_of, settings_of, tags_of
from node.registry.visible import visible_repositories
from node.store.rows import RepositoryRow
from protocol.auth.caller import Caller
from protocol.auth.public import PREFIX
from protocol.oci.names import RepositoryName
from protocol.rules.mutability import Mutability

_PAGE = 500  # Rows that are looked at together.


class RepositoryDetail(msgspec.Struct, frozen=True):
    """A repository; of what is set, nothing but tags concerns a public one."""

    name: RepositoryName
    created: float | None  # Seconds since 1970, UTC; ``None``: it came with an image, and nobody created it.
    mutability: Mutability
    scan_on_push: bool
    encryption: str  # AES256, KMS or KMS_DSSE.
    kms_key: str | None
    tags: dict[str, str]


def repository_detail(name: RepositoryName, row: RepositoryRow) -> RepositoryDetail:
    """Return what is told of the repository in *row*."""
    fields = settings_of(row)
    created, key = fields.get("created"), fields.get("kms-key")
    return RepositoryDetail(
        name,
        created / 1000 if isinstance(created, int) else None,
        mutability_of(row),
        fields.get("scan-on-push") is True,
        str(fields.get("encryption", "AES256")),
        None if key is None else str(key),
        tags_of(fields),
    )


def describe_repositories(
    registry: Registry, caller: Caller, names: Sequence[RepositoryName]
) -> list[RepositoryDetail]:
    """Return what is told of these repositories, in the order of *names*.

    Raises:
        Denied: without ``ecr:DescribeRepositories`` on each.
        NameUnknown: one of them does not exist.
    """
    for name in names:
        registry.authorize(caller, "ecr:DescribeRepositories", name)
    with registry.store.meta.read() as txn:
        return [repository_detail(name, repository(registry, txn, name)) for name in names]


async def list_repository_details(
    registry: Registry, caller: Caller, *, after: str, limit: int
) -> list[RepositoryDetail]:
    """Return at most *limit* private repositories beyond *after*, in the order of the bytes of their names.

    Raises:
        Denied: without ``ecr:DescribeRepositories``; with it on some, these are listed.
    """
    rows = await visible_repositories(registry, caller, after=after, limit=limit, public=False)
    return [repository_detail(name, row) for name, row in rows]


def list_public_details(registry: Registry, caller: Caller, *, after: str, limit: int) -> list[RepositoryDetail]:
    """Return at most *limit* public repositories beyond *after*, in the order of the bytes of their names.

    Raises:
        Denied: without ``ecr-public:DescribeRepositories``.
    """
    registry.authorize(caller, "ecr-public:DescribeRepositories", None)
    own = f"{PREFIX}{registry.name.account}/"
    after = after or own
    found: list[RepositoryDetail] = []
    with registry.store.meta.read() as txn:
        while len(found) < limit and after.startswith(own):
            wanted = min(_PAGE, limit - len(found))
            page = registry.store.meta.repositories.page(txn, after=after, limit=wanted)
            found += [
                repository_detail(name, row)
                for name, row in page
                if name.startswith(own) and exists(registry, txn, row)
            ]
            if len(page) < wanted:
                break
            after = page[-1][0]
    return found
