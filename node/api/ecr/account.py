"""Settings of the account, and principals whose pulls do not count."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.paging import next_token, page_of
from node.registry.accountsettings import get_account_setting, put_account_setting
from node.registry.exclusions import deregister_exclusion, list_exclusions, register_exclusion
from protocol.auth.caller import Caller


async def get_setting(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``GetAccountSetting``."""
    return {"name": given["name"], "value": get_account_setting(door.registry, caller, given["name"])}


async def put_setting(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutAccountSetting``."""
    await put_account_setting(door.registry, caller, given["name"], given["value"])
    return {"name": given["name"], "value": given["value"]}


async def register_pull_time_exclusion(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``RegisterPullTimeUpdateExclusion``."""
    created = await register_exclusion(door.registry, caller, given["principalArn"])
    return {"principalArn": given["principalArn"], "createdAt": created}


async def deregister_pull_time_exclusion(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DeregisterPullTimeUpdateExclusion``."""
    await deregister_exclusion(door.registry, caller, given["principalArn"])
    return {"principalArn": given["principalArn"]}


async def list_pull_time_exclusions(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``ListPullTimeUpdateExclusions``: the list shape has at most 100 elements, whatever a page may ask for."""
    page = page_of(door)
    limit = min(page.limit, 100)
    found = list_exclusions(door.registry, caller, after=page.after, limit=limit + 1)
    return {
        "pullTimeUpdateExclusions": found[:limit],
        "nextToken": next_token(door, found[limit - 1]) if len(found) > limit else None,
    }
