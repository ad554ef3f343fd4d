"""Replication backfills."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.paging import next_token, page_of
from node.registry.backfilling import Backfill, Item
from node.registry.backfills import backfill_results, list_backfills, start_backfill, stop_backfill
from protocol.auth.caller import Caller
from protocol.auth.names import Account, Region, RegistryName

_PAGE = 25


async def start(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``StartReplicationBackfill``."""
    wanted = given["destination"]
    destination = RegistryName(Account(wanted["registryId"]), Region(wanted["region"]))
    return _head(door, await start_backfill(door.registry, caller, destination))


async def stop(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``StopReplicationBackfill``."""
    return _head(door, await stop_backfill(door.registry, caller, given["replicationBackfillId"]))


async def list_(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``ListReplicationBackfills``."""
    page = page_of(door, default=_PAGE)
    found = list_backfills(door.registry, caller, after=page.after, limit=page.limit + 1)
    return {
        "registryId": door.account,
        "backfills": [_summary(one) for one in found[: page.limit]],
        "nextToken": next_token(door, found[page.limit - 1].id) if len(found) > page.limit else None,
    }


async def results(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribeReplicationBackfillResults``."""
    page = page_of(door)
    found = backfill_results(
        door.registry,
        caller,
        given["replicationBackfillId"],
        outcome=given.get("resultStatusFilter", ""),
        after=page.after,
        limit=page.limit,
    )
    return _summary(found.backfill) | {
        "registryId": door.account,
        "results": [_result(one) for one in found.items],
        "nextToken": None if found.next is None else next_token(door, found.next),
    }


def _head(door: Door, one: Backfill) -> dict[str, Any]:
    return {
        "registryId": door.account,
        "replicationBackfillId": one.id,
        "destination": {"region": one.destination.region, "registryId": one.destination.account},
        "status": one.state,
        "startedAt": one.started,
    }


def _summary(one: Backfill) -> dict[str, Any]:
    """Return the shape ``ReplicationBackfillSummary``: how far it is is not told while it is prepared."""
    progress = {
        "totalReplicationCount": one.total,
        "completedReplicationCount": one.completed,
        "failedReplicationCount": one.failed,
        "failureCodes": list(one.failures),
    }
    return {
        "replicationBackfillId": one.id,
        "destination": {"region": one.destination.region, "registryId": one.destination.account},
        "status": one.state,
        "failureCode": one.failure or None,
        "progress": None if one.state == "PREPARING" else progress,
        "startedAt": one.started,
        "endedAt": one.ended or None,
    }


def _result(item: Item) -> dict[str, Any]:
    """Return the shape ``ReplicationBackfillResult``."""
    return {
        "repositoryName": item.repository,
        "imageId": {"imageDigest": item.digest, "imageTag": item.tag},
        "status": item.outcome,
        "failureCode": item.failure or None,
    }
