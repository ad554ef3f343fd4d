"""Pull through cache rules."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.paging import next_token, no_page_with, page_of
from node.registry.pullthrough import (
    CacheRule,
    create_cache_rule,
    delete_pull_through,
    find_cache_rules,
    list_cache_rules,
    update_cache_rule,
    validate_cache_rule,
)
from protocol.auth.caller import Caller
from protocol.rules.upstreams import upstream_at


async def create(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``CreatePullThroughCacheRule``."""
    rule = CacheRule(
        given["ecrRepositoryPrefix"],
        upstream_at(given["upstreamRegistryUrl"], given.get("upstreamRegistry")),
        given.get("upstreamRepositoryPrefix", ""),
        given.get("credentialArn", ""),
        given.get("customRoleArn", ""),
    )
    shown = _shown(door, await create_cache_rule(door.registry, caller, rule))
    del shown["updatedAt"]
    return shown


async def describe(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribePullThroughCacheRules``."""
    no_page_with(door, "ecrRepositoryPrefixes")
    if "ecrRepositoryPrefixes" in given:
        found = find_cache_rules(door.registry, caller, given["ecrRepositoryPrefixes"])
        return {"pullThroughCacheRules": [_shown(door, one) for one in found]}
    page = page_of(door)
    rules = list_cache_rules(door.registry, caller, after=page.after, limit=page.limit + 1)
    return {
        "pullThroughCacheRules": [_shown(door, one) for one in rules[: page.limit]],
        "nextToken": next_token(door, rules[page.limit - 1].prefix) if len(rules) > page.limit else None,
    }


async def update(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``UpdatePullThroughCacheRule``: only by what the upstream is asked."""
    credential, role = given.get("credentialArn"), given.get("customRoleArn")
    rule = await update_cache_rule(
        door.registry, caller, given["ecrRepositoryPrefix"], credential=credential, role=role
    )
    shown = _shown(door, rule)
    for name in ("upstreamRegistryUrl", "upstreamRegistry", "createdAt"):
        del shown[name]
    return shown


async def delete(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DeletePullThroughCacheRule``."""
    shown = _shown(door, await delete_pull_through(door.registry, caller, given["ecrRepositoryPrefix"]))
    for name in ("upstreamRegistry", "updatedAt"):
        del shown[name]
    return shown


async def validate(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``ValidatePullThroughCacheRule``."""
    rule, failure = validate_cache_rule(door.registry, caller, given["ecrRepositoryPrefix"])
    shown = _shown(door, rule)
    for name in ("upstreamRegistry", "createdAt", "updatedAt"):
        del shown[name]
    return shown | {"isValid": not failure, "failure": failure or None}


def _shown(door: Door, rule: CacheRule) -> dict[str, Any]:
    """Return the shape ``PullThroughCacheRule``."""
    return {
        "ecrRepositoryPrefix": rule.prefix,
        "upstreamRegistryUrl": rule.upstream.url,
        "upstreamRegistry": rule.upstream.kind,
        "upstreamRepositoryPrefix": rule.upstream_prefix
        or None,  # Terraform replaces a rule that has more than it said.
        "credentialArn": rule.credential or None,
        "customRoleArn": rule.role or None,
        "registryId": door.account,
        "createdAt": rule.created,
        "updatedAt": rule.updated,
    }
