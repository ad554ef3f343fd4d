"""Previews of lifecycle policies: what one would do to the images of a repository as they are, and nothing is done.

One is worked out after the other, in a thread. They are kept in memory for as long as the node runs, at most the last
one of each repository, and expire a day after they ended.
"""

from collections.abc import Collection

import msgspec
import trio

from node.registry.evaluation import images_for_rules
from node.registry.imageids import ImageId
from node.registry.lifecycle import lifecycle_of
from node.registry.previewing import Preview, PreviewResult
from node.registry.registry import Registry
from node.registry.repositories import repository
from protocol.auth.caller import Caller
from protocol.errors import Busy, Damaged, PreviewInProgress, PreviewUnknown
from protocol.oci.names import RepositoryName
from protocol.rules.lifecycle import marked
from protocol.rules.texts import repository_lifecycle

_EXPIRES = 86_400  # Seconds after a preview ended.


class PreviewPage(msgspec.Struct, frozen=True):
    """A preview, and a page of what it came to."""

    preview: Preview  # With all results.
    results: list[PreviewResult]
    next: int | None  # Where the next page begins.


def start_preview(registry: Registry, caller: Caller, name: RepositoryName, text: str | None) -> Preview:
    """Begin a preview of the policy *text*, or of the one that the repository has where that is ``None``.

    Raises:
        Denied: without ``ecr:StartLifecyclePolicyPreview``.
        ParameterInvalid: *text* is no policy.
        NameUnknown, LifecyclePolicyUnknown: there is none to preview.
        PreviewInProgress: the one before has not ended.
        Busy: too many of other repositories have not.
    """
    registry.authorize(caller, "ecr:StartLifecyclePolicyPreview", name)
    if text is not None:
        repository_lifecycle(text)
    with registry.store.meta.read() as txn:
        row = repository(registry, txn, name)
        text = lifecycle_of(registry, name, row).text if text is None else text
    old = registry.previews.by_repository.get(row.number)
    if old is not None and old.state == "IN_PROGRESS":
        raise PreviewInProgress(
            f"A lifecycle policy preview for the repository with name '{name}' in the registry with id "
            f"'{registry.name.account}' is in progress"
        )
    if registry.previews.is_crowded():
        raise Busy("Too many lifecycle policy previews are in progress; try again")
    preview = Preview(name, row.number, text, repository_lifecycle(text))
    registry.previews.put(preview)
    registry.previewed.notify()
    return preview


def get_preview(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    *,
    only: Collection[ImageId],
    tagged: bool | None,
    after: int,
    limit: int,
) -> PreviewPage:
    """Return the last preview of a repository.

    Args:
        registry: to ask.
        caller: who asks.
        name: of the repository.
        only: images that are asked about; all where there are none.
        tagged: only images with tags, or only those without; ``None``: both.
        after: ``next`` of the page before, or 0.
        limit: most results.

    Raises:
        Denied: without ``ecr:GetLifecyclePolicyPreview``.
        NameUnknown, PreviewUnknown: there is none.
    """
    registry.authorize(caller, "ecr:GetLifecyclePolicyPreview", name)
    with registry.store.meta.read() as txn:
        row = repository(registry, txn, name)
    preview = registry.previews.by_repository.get(row.number)
    if preview is None:
        raise PreviewUnknown(
            f"Lifecycle policy preview does not exist for the repository with name '{name}' in the registry with id "
            f"'{registry.name.account}'"
        )
    if preview.ended and registry.now() - preview.ended > _EXPIRES:
        preview = msgspec.structs.replace(preview, state="EXPIRED", results=())
        registry.previews.put(preview)
    digests = {one.digest for one in only if one.digest}
    tags = {one.tag for one in only if one.tag}
    found: list[PreviewResult] = []
    for place in range(after, len(preview.results)):
        one = preview.results[place]
        if (tagged is None or bool(one.tags) == tagged) and (
            not only or one.digest in digests or not tags.isdisjoint(one.tags)
        ):
            if len(found) == limit:
                return PreviewPage(preview, found, place)
            found.append(one)
    return PreviewPage(preview, found, None)


async def work_out_previews(registry: Registry) -> None:
    """Work out what was asked for, for ever."""
    while True:
        changed = registry.previewed.next()
        preview = registry.previews.waiting()
        if preview is None:
            await changed.wait()
            continue
        try:
            results = await trio.to_thread.run_sync(_results, registry, preview)
            done = msgspec.structs.replace(preview, state="COMPLETE", ended=registry.now(), results=results)
        except Damaged:
            registry.repairs.hurry()
            done = msgspec.structs.replace(preview, state="FAILED", ended=registry.now())
        registry.previews.put(done)
        registry.previewed.notify()


def _results(registry: Registry, preview: Preview) -> tuple[PreviewResult, ...]:
    with registry.store.meta.read() as txn:
        row = registry.store.meta.repositories.get(txn, preview.name)
        if row is None or row.number != preview.number:
            return ()  # It was deleted meanwhile.
        images = {one.digest: one for one in images_for_rules(registry, txn, preview.name, row)}
    return tuple(
        PreviewResult(
            one.digest,
            images[one.digest].tags,
            images[one.digest].pushed,
            one.action,
            one.priority,
            images[one.digest].archived is not None,
        )
        for one in marked(preview.policy, list(images.values()), now=registry.now())
    )
