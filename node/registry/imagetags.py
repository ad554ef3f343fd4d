"""Tags of a repository with the image that each points at, page by page, as ECR Public describes them."""

import msgspec
import trio

from node.registry.imagelists import ImageView, view_image
from node.registry.registry import Registry
from node.registry.repositories import repository
from protocol.auth.caller import Caller
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.clock import stamp_ms

_SLICE = 100  # Tags that are looked at before others get their turn.


class TagView(msgspec.Struct, frozen=True):
    """A tag, and what it points at."""

    tag: TagName
    pointed: float  # When it was pointed at the image: seconds since 1970, UTC.
    image: ImageView


async def list_tag_views(
    registry: Registry, caller: Caller, name: RepositoryName, *, after: str, limit: int
) -> list[TagView]:
    """Return at most *limit* tags beyond *after*, in the order of their bytes.

    Raises:
        Denied: without ``ecr-public:DescribeImageTags``.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr-public:DescribeImageTags", name)
    meta = registry.store.meta
    found: list[TagView] = []
    while len(found) < limit:
        wanted = min(_SLICE, limit - len(found))
        with meta.read() as txn:
            number = repository(registry, txn, name).number
            page = meta.tags.names(txn, number, after=after, limit=wanted)
            for tag in page:
                state = meta.tags.get(txn, number, tag)
                value = None if state is None or state.current is None else state.current.value
                digest = None if value is None else value.digest
                image = None if digest is None else view_image(registry, txn, name, number, digest)
                if value is not None and image is not None:
                    found.append(TagView(tag, stamp_ms(value.hlc) / 1000, image))
        if len(page) < wanted:
            break
        after = page[-1]
        await trio.lowlevel.checkpoint()
    return found
