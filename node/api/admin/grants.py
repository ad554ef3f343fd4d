"""Policies: managed ones, and what principals may by them and by their own."""

from typing import Annotated

import msgspec
from msgspec import Meta

from node.api.admin.answer import Admin, json, read_decoded
from node.api.admin.principals import Seconds, now
from node.http.message import Request, Response
from node.registry.identity import granting, managed
from node.registry.identity.directory import ManagedPolicy
from node.registry.identity.managed import policy_arn
from protocol.auth.caller import Caller
from protocol.auth.principals import PrincipalKind

Document = Annotated[str, Meta(description="An IAM policy document, as text.")]


class Policy(msgspec.Struct, frozen=True):
    """A managed policy."""

    name: str
    arn: str
    builtin: Annotated[bool, Meta(description="Everyone has it, and nobody can change it.")]
    description: str
    created: Seconds | None
    updated: Seconds | None
    attached_to: Annotated[list[str], Meta(description="Such as ``user ana``.")]
    document: Document


class Policies(msgspec.Struct, frozen=True):
    """All managed policies, by ARN."""

    policies: list[Policy]


class PolicyAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A managed policy to create."""

    name: str
    document: Document
    description: str = ""


class DocumentAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The document of a policy."""

    document: Document


class InlinePolicy(msgspec.Struct, frozen=True):
    """A policy of a principal's own."""

    name: str
    document: Document


async def list_policies(admin: Admin, caller: Caller, _request: Request) -> Response:
    """All managed policies."""
    return json(Policies([_shown(admin, one) for one in managed.list_policies(admin.registry, caller)]))


async def create_policy(admin: Admin, caller: Caller, request: Request) -> Response:
    """Create a managed policy: 201."""
    asked = await read_decoded(request, PolicyAsked)
    made = await managed.create_policy(
        admin.registry, caller, asked.name, asked.document, description=asked.description
    )
    return json(_shown(admin, made), 201)


async def get_policy(admin: Admin, caller: Caller, request: Request) -> Response:
    """One managed policy, by name or ARN."""
    return json(_shown(admin, managed.get_policy(admin.registry, caller, _arn(admin, request))))


async def put_policy(admin: Admin, caller: Caller, request: Request) -> Response:
    """Replace the document of a managed policy."""
    asked = await read_decoded(request, DocumentAsked)
    return json(
        _shown(admin, await managed.update_policy(admin.registry, caller, _arn(admin, request), asked.document))
    )


async def delete_policy(admin: Admin, caller: Caller, request: Request) -> Response:
    """Delete a managed policy: 204."""
    await managed.delete_policy(admin.registry, caller, _arn(admin, request))
    return Response(204)


async def attach(kind: PrincipalKind, admin: Admin, caller: Caller, request: Request) -> Response:
    """Attach a managed policy to a principal."""
    return await _attached(kind, admin, caller, request, is_attached=True)


async def detach(kind: PrincipalKind, admin: Admin, caller: Caller, request: Request) -> Response:
    """Detach a managed policy from a principal."""
    return await _attached(kind, admin, caller, request, is_attached=False)


async def get_inline(kind: PrincipalKind, admin: Admin, caller: Caller, request: Request) -> Response:
    """A policy of a principal's own."""
    name, policy = request.params[kind], request.params["policy"]
    return json(InlinePolicy(policy, granting.get_inline_policy(admin.registry, caller, kind, name, policy)))


async def put_inline(kind: PrincipalKind, admin: Admin, caller: Caller, request: Request) -> Response:
    """Give a principal a policy of its own, or replace it."""
    asked = await read_decoded(request, DocumentAsked)
    name, policy = request.params[kind], request.params["policy"]
    await granting.put_inline_policy(admin.registry, caller, kind, name, policy, asked.document)
    return now(admin, kind, request)


async def delete_inline(kind: PrincipalKind, admin: Admin, caller: Caller, request: Request) -> Response:
    """Take a policy of a principal's own away."""
    name, policy = request.params[kind], request.params["policy"]
    await granting.delete_inline_policy(admin.registry, caller, kind, name, policy)
    return now(admin, kind, request)


async def _attached(
    kind: PrincipalKind, admin: Admin, caller: Caller, request: Request, *, is_attached: bool
) -> Response:
    arn = _arn(admin, request)
    await granting.set_attached(admin.registry, caller, kind, request.params[kind], arn, is_attached=is_attached)
    return now(admin, kind, request)


def _arn(admin: Admin, request: Request) -> str:
    return policy_arn(admin.registry, request.params["name"])


def _shown(admin: Admin, one: ManagedPolicy) -> Policy:
    attached = sorted(f"{to.kind} {to.name}" for to in admin.registry.directory.get().attached_to(one.arn))
    created, updated = (None if not at else at / 1000 for at in (one.created, one.updated))
    return Policy(one.name, one.arn, not one.id, one.description, created, updated, attached, one.document)
