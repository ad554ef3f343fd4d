"""Users, groups and roles."""

from typing import Annotated

import msgspec
from msgspec import Meta

from node.api.admin.answer import Admin, json, page, read_decoded
from node.http.message import Request, Response
from node.registry.identity import principals
from node.registry.identity.directory import Directory, Principal
from node.registry.identity.passwords import choose_password
from node.registry.identity.tags import change_tags
from protocol.auth.caller import Caller
from protocol.auth.principals import PrincipalKind
from protocol.auth.secret import Secret

Seconds = Annotated[float, Meta(description="Seconds since 1970, UTC.")]
Tags = Annotated[dict[str, str], Meta(description="Key and value, for conditions of policies.")]


class User(msgspec.Struct, frozen=True):
    """A user."""

    name: str
    id: str
    arn: str
    created: Seconds
    disabled: bool
    has_password: bool
    groups: list[str]
    attached: Annotated[list[str], Meta(description="ARNs of managed policies.")]
    inline: Annotated[list[str], Meta(description="Names of its own policies.")]
    keys: Annotated[list[str], Meta(description="Ids of its access keys.")]
    tags: Tags


class Group(msgspec.Struct, frozen=True):
    """A group of users."""

    name: str
    id: str
    arn: str
    created: Seconds
    members: list[str]
    attached: Annotated[list[str], Meta(description="ARNs of managed policies.")]
    inline: Annotated[list[str], Meta(description="Names of its own policies.")]


class Role(msgspec.Struct, frozen=True):
    """A role, which others assume."""

    name: str
    id: str
    arn: str
    created: Seconds
    description: str
    trust: Annotated[str, Meta(description="Policy document: who may assume it.")]
    max_session: Annotated[int, Meta(description="Seconds that a session may last.")]
    attached: Annotated[list[str], Meta(description="ARNs of managed policies.")]
    inline: Annotated[list[str], Meta(description="Names of its own policies.")]
    tags: Tags


class Users(msgspec.Struct, frozen=True):
    """A page of users by name."""

    users: list[User]
    next: str | None


class Groups(msgspec.Struct, frozen=True):
    """A page of groups by name."""

    groups: list[Group]
    next: str | None


class Roles(msgspec.Struct, frozen=True):
    """A page of roles by name."""

    roles: list[Role]
    next: str | None


class UserAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user to create."""

    name: str
    tags: Tags = {}


class GroupAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group to create."""

    name: str


class RoleAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role to create."""

    name: str
    trust: Annotated[str, Meta(description="Policy document: who may assume it.")]
    max_session: Annotated[int, Meta(description="Seconds, 900 to 43200.")] = 3600
    description: str = ""
    tags: Tags = {}


class RoleChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of a role to change; what is left out stays."""

    trust: str | None = None
    max_session: int | None = None
    description: str | None = None


class PasswordAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A password, 12 to 128 characters."""

    password: str

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return "PasswordAsked(***)"


class GroupNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All groups that a user is in from now on."""

    groups: list[str]


class TagsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tags to set, and keys of tags to remove."""

    set: dict[str, str] = {}
    remove: list[str] = []


async def create_user(admin: Admin, caller: Caller, request: Request) -> Response:
    """Create a user: 201."""
    asked = await read_decoded(request, UserAsked)
    made = await principals.create_principal(admin.registry, caller, "user", asked.name, tags=asked.tags)
    return json(shown(admin, made), 201)


async def create_group(admin: Admin, caller: Caller, request: Request) -> Response:
    """Create a group: 201."""
    asked = await read_decoded(request, GroupAsked)
    return json(shown(admin, await principals.create_principal(admin.registry, caller, "group", asked.name)), 201)


async def create_role(admin: Admin, caller: Caller, request: Request) -> Response:
    """Create a role: 201."""
    asked = await read_decoded(request, RoleAsked)
    made = await principals.create_principal(
        admin.registry,
        caller,
        "role",
        asked.name,
        trust=asked.trust,
        max_session=asked.max_session,
        description=asked.description,
        tags=asked.tags,
    )
    return json(shown(admin, made), 201)


async def list_all(kind: PrincipalKind, admin: Admin, caller: Caller, request: Request) -> Response:
    """A page of all of a kind, by name."""
    after, limit = page(request)
    found = principals.list_principals(admin.registry, caller, kind)
    if after is not None:
        found = [one for one in found if one.name > after]
    following = found[limit - 1].name if len(found) > limit else None
    return json({f"{kind}s": [shown(admin, one) for one in found[:limit]], "next": following})


async def get_one(kind: PrincipalKind, admin: Admin, caller: Caller, request: Request) -> Response:
    """One of a kind."""
    return json(shown(admin, principals.get_principal(admin.registry, caller, kind, request.params[kind])))


async def delete_one(kind: PrincipalKind, admin: Admin, caller: Caller, request: Request) -> Response:
    """Delete one of a kind: 204."""
    await principals.delete_principal(admin.registry, caller, kind, request.params[kind])
    return Response(204)


async def set_disabled(is_disabled: bool, admin: Admin, caller: Caller, request: Request) -> Response:
    """Disable or enable a user."""
    await principals.set_disabled(admin.registry, caller, request.params["user"], is_disabled=is_disabled)
    return now(admin, "user", request)


async def put_password(admin: Admin, caller: Caller, request: Request) -> Response:
    """Give a user a password."""
    asked = await read_decoded(request, PasswordAsked)
    await choose_password(admin.registry, caller, request.params["user"], Secret(asked.password.encode()))
    return now(admin, "user", request)


async def delete_password(admin: Admin, caller: Caller, request: Request) -> Response:
    """Take the password of a user away."""
    await principals.set_password(admin.registry, caller, request.params["user"], None)
    return now(admin, "user", request)


async def put_groups(admin: Admin, caller: Caller, request: Request) -> Response:
    """Let a user be in these groups alone."""
    asked = await read_decoded(request, GroupNames)
    await principals.set_groups(admin.registry, caller, request.params["user"], asked.groups)
    return now(admin, "user", request)


async def set_member(is_in: bool, admin: Admin, caller: Caller, request: Request) -> Response:
    """Put a user into a group, or take it out."""
    group, user = request.params["group"], request.params["user"]
    await principals.set_member(admin.registry, caller, group, user, is_in=is_in)
    return now(admin, "group", request)


async def post_tags(kind: PrincipalKind, admin: Admin, caller: Caller, request: Request) -> Response:
    """Set and remove tags."""
    asked = await read_decoded(request, TagsAsked)
    await change_tags(admin.registry, caller, kind, request.params[kind], put=asked.set, remove=asked.remove)
    return now(admin, kind, request)


async def post_role(admin: Admin, caller: Caller, request: Request) -> Response:
    """Change a role."""
    asked, name = await read_decoded(request, RoleChange), request.params["role"]
    if asked.trust is not None:
        await principals.set_trust(admin.registry, caller, name, asked.trust)
    if asked.trust is None or asked.max_session is not None or asked.description is not None:
        await principals.set_role(
            admin.registry, caller, name, max_session=asked.max_session, description=asked.description
        )
    return now(admin, "role", request)


def now(admin: Admin, kind: PrincipalKind, request: Request) -> Response:
    """Return a principal as it is after a change that the caller was allowed."""
    return json(shown(admin, principals.find_principal(admin.registry, kind, request.params[kind])))


def shown(admin: Admin, one: Principal) -> User | Group | Role:
    """Return a principal as people see it."""
    directory = admin.registry.directory.get()
    created, attached, inline = one.created / 1000, sorted(one.attached), sorted(one.inline)
    match one.kind:
        case "user":
            groups, keys = _groups(directory, one), [key.id for key in directory.access_keys(one.id)]
            return User(
                one.name, one.id, one.arn, created, one.is_disabled, one.password is not None,
                groups, attached, inline, keys, dict(one.tags),
            )  # fmt: skip
        case "group":
            members = [member.name for member in directory.members(one.id)]
            return Group(one.name, one.id, one.arn, created, members, attached, inline)
        case "role":
            return Role(
                one.name, one.id, one.arn, created, one.description, one.trust or "", one.max_session,
                attached, inline, dict(one.tags),
            )  # fmt: skip


def _groups(directory: Directory, one: Principal) -> list[str]:
    found = (directory.by_id(group) for group in one.groups)
    return sorted(group.name for group in found if group is not None)
