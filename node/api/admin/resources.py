"""What the API under ``/api/v1`` has: a row for each operation, with what it takes and returns.

The control socket has the same under ``/admin/v1``, beside what only an operator on the machine may ask.
"""

from collections.abc import Iterator
from functools import partial

import msgspec

from node.api.admin import audit, grants, issuers, keys, peers, principals, simulation
from node.api.admin.answer import Handler
from node.api.admin.control import PeersSeen
from node.registry.audit.reading import AuditPage, Verified
from node.registry.simulation import Simulation
from protocol.auth.principals import PrincipalKind


class Resource(msgspec.Struct, frozen=True):
    """One operation."""

    method: str
    path: str  # Below the prefix. ``{name}`` may have slashes in it.
    action: str  # What the policies are asked for.
    handler: Handler
    summary: str
    body: type[msgspec.Struct] | None = None
    answer: type[msgspec.Struct] | None = None  # None: there is no body.
    status: int = 200
    is_paged: bool = False  # Takes ``after`` and ``limit``.


def _principals() -> Iterator[Resource]:
    shown: dict[PrincipalKind, tuple[type[msgspec.Struct], type[msgspec.Struct]]] = {
        "user": (principals.User, principals.Users),
        "group": (principals.Group, principals.Groups),
        "role": (principals.Role, principals.Roles),
    }
    creating: dict[PrincipalKind, tuple[type[msgspec.Struct], Handler]] = {
        "user": (principals.UserAsked, principals.create_user),
        "group": (principals.GroupAsked, principals.create_group),
        "role": (principals.RoleAsked, principals.create_role),
    }
    for kind, (one, page) in shown.items():
        title, every, path = kind.capitalize(), f"/{kind}s", f"/{kind}s/{{{kind}}}"
        asked, create = creating[kind]
        listing, get = partial(principals.list_all, kind), partial(principals.get_one, kind)
        delete = partial(principals.delete_one, kind)
        yield Resource("GET", every, f"iam:List{title}s", listing, f"List the {kind}s", None, page, is_paged=True)
        yield Resource("POST", every, f"iam:Create{title}", create, f"Create a {kind}", asked, one, 201)
        yield Resource("GET", path, f"iam:Get{title}", get, f"Get a {kind}", None, one)
        yield Resource("DELETE", path, f"iam:Delete{title}", delete, f"Delete a {kind}", status=204)
        yield from _grants(kind, path, one)


def _grants(kind: PrincipalKind, path: str, one: type[msgspec.Struct]) -> Iterator[Resource]:
    attached, own, title = f"{path}/attached/{{name}}", f"{path}/policies/{{policy}}", kind.capitalize()

    def row(
        method: str, where: str, verb: str, handler: Handler, text: str, body: type[msgspec.Struct] | None = None
    ) -> Resource:
        return Resource(method, where, f"iam:{verb}{title}Policy", handler, text, body, one)

    yield row("PUT", attached, "Attach", partial(grants.attach, kind), f"Attach a policy to a {kind}")
    yield row("DELETE", attached, "Detach", partial(grants.detach, kind), f"Detach a policy from a {kind}")
    get, put, delete = (partial(do, kind) for do in (grants.get_inline, grants.put_inline, grants.delete_inline))
    yield Resource(
        "GET", own, f"iam:Get{title}Policy", get, f"Get a policy of a {kind}'s own", None, grants.InlinePolicy
    )
    yield row("PUT", own, "Put", put, f"Give a {kind} a policy of its own", grants.DocumentAsked)
    yield row("DELETE", own, "Delete", delete, f"Delete a policy of a {kind}'s own")


def _of_users() -> Iterator[Resource]:
    path, user = "/users/{user}", principals.User
    disable, enable = partial(principals.set_disabled, True), partial(principals.set_disabled, False)
    tag = partial(principals.post_tags, "user")
    asked, password, profile = principals.PasswordAsked, f"{path}/password", "iam:UpdateLoginProfile"
    groups, adding = principals.GroupNames, "iam:AddUserToGroup"
    yield Resource("POST", f"{path}/disable", "iam:UpdateUser", disable, "Disable a user", None, user)
    yield Resource("POST", f"{path}/enable", "iam:UpdateUser", enable, "Enable a user", None, user)
    yield Resource(
        "POST", f"{path}/tags", "iam:TagUser", tag, "Set and remove tags of a user", principals.TagsAsked, user
    )
    yield Resource("PUT", password, profile, principals.put_password, "Give a user a password", asked, user)
    yield Resource("DELETE", password, profile, principals.delete_password, "Take a user's password away", None, user)
    yield Resource("PUT", f"{path}/groups", adding, principals.put_groups, "Replace a user's groups", groups, user)


def _of_groups() -> Iterator[Resource]:
    path, group = "/groups/{group}/members/{user}", principals.Group
    add, remove = partial(principals.set_member, True), partial(principals.set_member, False)
    yield Resource("PUT", path, "iam:AddUserToGroup", add, "Put a user into a group", None, group)
    yield Resource("DELETE", path, "iam:RemoveUserFromGroup", remove, "Take a user out of a group", None, group)


def _of_roles() -> Iterator[Resource]:
    path, role, tag = "/roles/{role}", principals.Role, partial(principals.post_tags, "role")
    change, tags = principals.RoleChange, principals.TagsAsked
    yield Resource("POST", path, "iam:UpdateRole", principals.post_role, "Change a role", change, role)
    yield Resource("POST", f"{path}/tags", "iam:TagRole", tag, "Set and remove tags of a role", tags, role)


def _keys() -> Iterator[Resource]:
    every, path, new = "/users/{user}/keys", "/keys/{key}", keys.MadeKey
    update, create = "iam:UpdateAccessKey", "iam:CreateAccessKey"
    disable, enable = partial(keys.set_active, False), partial(keys.set_active, True)
    yield Resource("GET", every, "iam:ListAccessKeys", keys.list_keys, "List a user's access keys", None, keys.Keys)
    yield Resource("POST", every, create, keys.create_key, "Create an access key", keys.KeyAsked, new, 201)
    yield Resource("GET", path, "iam:GetAccessKeyLastUsed", keys.get_key, "Get an access key", None, keys.Key)
    yield Resource("POST", f"{path}/disable", update, disable, "Disable an access key", status=204)
    yield Resource("POST", f"{path}/enable", update, enable, "Enable an access key", status=204)
    yield Resource(
        "POST", f"{path}/rotate", update, keys.rotate_key, "Rotate an access key", keys.RotationAsked, new, 201
    )
    yield Resource("DELETE", path, "iam:DeleteAccessKey", keys.delete_key, "Delete an access key", status=204)


def _policies() -> Iterator[Resource]:
    every, path, one, asked = "/policies", "/policies/{name}", grants.Policy, grants.PolicyAsked
    replacing, document = "iam:CreatePolicyVersion", grants.DocumentAsked
    yield Resource(
        "GET", every, "iam:ListPolicies", grants.list_policies, "List the managed policies", None, grants.Policies
    )
    yield Resource("POST", every, "iam:CreatePolicy", grants.create_policy, "Create a managed policy", asked, one, 201)
    yield Resource("GET", path, "iam:GetPolicy", grants.get_policy, "Get a managed policy", None, one)
    yield Resource("PUT", path, replacing, grants.put_policy, "Replace a managed policy's document", document, one)
    yield Resource("DELETE", path, "iam:DeletePolicy", grants.delete_policy, "Delete a managed policy", status=204)


def _issuers() -> Iterator[Resource]:
    path, asked, one = "/issuers/{name}", issuers.IssuerAsked, issuers.Issuer
    put, delete, every = "iam:CreateOpenIDConnectProvider", "iam:DeleteOpenIDConnectProvider", issuers.Issuers
    listing = "iam:ListOpenIDConnectProviders"
    yield Resource("GET", "/issuers", listing, issuers.list_all, "List the trusted issuers", None, every)
    yield Resource("PUT", path, put, issuers.put_one, "Trust an issuer", asked, one)
    yield Resource("DELETE", path, delete, issuers.delete_one, "Trust an issuer no longer", status=204)


def _peers() -> Iterator[Resource]:
    yield Resource("GET", "/peers", "entrepot:DescribePeers", peers.get_peers, "List the other nodes", None, PeersSeen)


def _decisions() -> Iterator[Resource]:
    listing, verifying = audit.get_audit, audit.get_verification
    yield Resource("GET", "/audit", "entrepot:ListAudit", listing, "List the audit", None, AuditPage, is_paged=True)
    yield Resource(
        "GET", "/audit/verification", "entrepot:VerifyAudit", verifying, "Verify a part of the audit", None, Verified
    )
    yield Resource(
        "POST",
        "/policy-simulation",
        "iam:SimulatePrincipalPolicy",
        simulation.post_simulation,
        "Say what policies would decide",
        simulation.SimulationAsked,
        Simulation,
    )


RESOURCES: tuple[Resource, ...] = (
    *_principals(),
    *_of_users(),
    *_of_groups(),
    *_of_roles(),
    *_keys(),
    *_policies(),
    *_issuers(),
    *_peers(),
    *_decisions(),
)
