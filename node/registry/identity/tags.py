"""Tags of users and roles, which conditions of policies compare (``aws:PrincipalTag/team``)."""

from collections.abc import Collection, Mapping

from node.registry.identity.directory import Directory
from node.registry.identity.principals import authorize, change, named, tag_fields
from node.registry.registry import Registry
from node.registry.settings import tag_keys
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.principals import PrincipalKind
from protocol.errors import LimitExceeded
from protocol.rules.tags import MAX_TAGS, require_tag_keys
from protocol.sync.entries import Setting


async def change_tags(
    registry: Registry,
    caller: Caller,
    kind: PrincipalKind,
    name: str,
    *,
    put: Mapping[str, str],
    remove: Collection[str] = (),
) -> None:
    """Set tags of a user or role, and remove others; those that are neither stay.

    Raises:
        Denied: without ``iam:TagUser`` (``Role``) for what is set, and ``iam:UntagUser`` for what is removed.
        TagsInvalid: a key or value is none.
        PrincipalUnknown: there is none of this name.
        LimitExceeded: there would be too many.
    """
    action = ""
    if remove:
        action = authorize(registry, caller, "Untag", kind, name, {"aws:tagkeys": tuple(remove)})
    if put or not remove:
        action = authorize(registry, caller, "Tag", kind, name, tag_keys(put))
    require_tag_keys(remove)
    fields: dict[str, Setting] = {**dict.fromkeys(f"tag:{key}" for key in remove), **tag_fields(put)}

    def write(_txn: WriteTxn, directory: Directory) -> Mapping[tuple[str, str], Mapping[str, Setting] | None]:
        found = named(directory, kind, name)
        if len((dict(found.tags).keys() - set(remove)) | put.keys()) > MAX_TAGS:
            raise LimitExceeded(f"a {kind} has at most {MAX_TAGS} tags")
        return {(kind, found.id): fields}

    await change(registry, Act(caller, action, name), write)
