"""Replication rules and what they have done; pull-through rules."""

import msgspec

from node.api.admin.answer import Admin, json, page, read_body, read_decoded
from node.http.message import Request, Response
from node.registry.pullthrough import CacheRule, delete_pull_through, list_cache_rules, put_pull_through
from node.registry.replication import get_replication, put_replication, replication_status
from protocol.auth.caller import Caller
from protocol.auth.names import registry_name
from protocol.errors import ParameterInvalid
from protocol.oci.names import repository_name
from protocol.oci.reference import single
from protocol.rules.pullthrough import parse_prefix, shown_prefix

_MOST = 10_000  # Rules in one answer: more than there may be.


class PullThroughAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``PUT /admin/v1/pull-through``, and how a rule is shown."""

    prefix: str
    registry: str  # ``account/region``.
    upstream_prefix: str | None = None


async def put_replication_rules(admin: Admin, caller: Caller, request: Request) -> Response:
    """``PUT /admin/v1/replication``: ECR's document; answers what is in force."""
    return json(await put_replication(admin.registry, caller, await read_body(request)))


async def get_replication_rules(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/replication``."""
    return json(get_replication(admin.registry, caller))


async def get_replication_status(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/replication/status``: a page of images, each with its state at a destination."""
    name = single("repository", request.parameters("repository"))
    after, limit = page(request)
    return json(
        replication_status(
            admin.registry, caller, None if name is None else repository_name(name), after=after, limit=limit
        )
    )


async def put_pull_through_rule(admin: Admin, caller: Caller, request: Request) -> Response:
    """``PUT /admin/v1/pull-through``: answers the rule in force."""
    asked = await read_decoded(request, PullThroughAsked)
    registry = registry_name(asked.registry)
    return json(_shown(await put_pull_through(admin.registry, caller, asked.prefix, registry, asked.upstream_prefix)))


async def get_pull_through_rules(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/pull-through``."""
    rules = list_cache_rules(admin.registry, caller, after="", limit=_MOST)
    return json({"rules": [_shown(rule) for rule in rules]})


async def delete_pull_through_rule(admin: Admin, caller: Caller, request: Request) -> Response:
    """``DELETE /admin/v1/pull-through?prefix=``: 204."""
    prefix = single("prefix", request.parameters("prefix"))
    if prefix is None:
        raise ParameterInvalid("prefix is missing")
    await delete_pull_through(admin.registry, caller, shown_prefix(parse_prefix(prefix)))
    return Response(204)


def _shown(stored: CacheRule) -> PullThroughAsked:
    """A server that is no registry of the federation is shown by its URL."""
    rule, upstream = stored.rule, stored.upstream
    return PullThroughAsked(
        shown_prefix(rule.prefix), str(upstream.registry or upstream.url), shown_prefix(rule.upstream_prefix)
    )
