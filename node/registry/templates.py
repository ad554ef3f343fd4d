"""Creation templates: what a repository is made from where a push, a pull through or replication makes it.

A template is a register under its prefix. What a repository gets from it lies there under the names that the settings
of a repository have, with ``set:`` before them, so making a repository copies them and nothing has to be translated.
``prod`` and ``prod/`` are one prefix; it is shown as it was given, for Terraform compares it.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from node.registry.commit import commit_rules
from node.registry.knownprincipals import require_principals
from node.registry.registers import register, register_put, registers
from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.principals import Arn
from protocol.errors import LimitExceeded, TemplateExists, TemplateUnknown, ValidationFailed
from protocol.oci.names import RepositoryName
from protocol.rules.templates import ROOT, Cause, Template, template_for
from protocol.rules.texts import invalid, repository_lifecycle, repository_policy
from protocol.sync.entries import Setting

_ALL = 2**31
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)
_GROUP = "template"
_SET = "set:"
_TAG = "tag:"


class CreationTemplate(msgspec.Struct, frozen=True):
    """A template as it stands."""

    prefix: str  # As it was given.
    applied_for: tuple[Cause, ...]
    description: str
    role: str  # ARN; empty for none.
    settings: Mapping[str, Setting]  # Of the repositories made from it: see ``settings``.
    created: float  # Seconds since 1970, UTC.
    updated: float


class TemplateChange(msgspec.Struct, frozen=True):
    """What a call says of a template; what is ``None`` stays."""

    applied_for: tuple[Cause, ...] | None = None
    description: str | None = None
    role: str | None = None  # Empty: none any more.
    settings: Mapping[str, Setting] = {}
    """Of repositories, without tags; ``None`` takes one away."""
    tags: Mapping[str, str] | None = None  # All of them.


async def create_template(registry: Registry, caller: Caller, prefix: str, change: TemplateChange) -> CreationTemplate:
    """Add a template.

    Raises:
        Denied: without ``ecr:CreateRepositoryCreationTemplate``, or what it would do in the name of *caller*.
        ParameterInvalid, ValidationFailed: what it says is no template.
        TemplateExists: there is one of this prefix.
        LimitExceeded: there are too many.
    """
    action, most = "ecr:CreateRepositoryCreationTemplate", registry.settings.quotas.creation_templates
    registry.authorize(caller, action, None)
    _authorize_effects(registry, caller, prefix, change)
    _check_documents(registry, change)
    act, name, now = Act(caller, action, prefix), _name(prefix), int(registry.now() * 1000)

    def run(txn: WriteTxn) -> CreationTemplate:
        if register(registry, txn, _GROUP, name) is not None:
            raise TemplateExists(
                f"The repository creation template with prefix '{prefix}' already exists in the registry with id "
                f"'{registry.name.account}'"
            )
        if len(registers(registry, txn, _GROUP, limit=most)) >= most:
            raise LimitExceeded(f"There are {most} repository creation templates; delete one first")
        fields = {"prefix": prefix, "created": now, "updated": now, **_fields(change, {})}
        return _put(registry, txn, act, name, fields)

    template = await registry.store.writer.write(run)
    registry.changes.notify()
    return template


async def update_template(registry: Registry, caller: Caller, prefix: str, change: TemplateChange) -> CreationTemplate:
    """Change a template.

    Raises:
        Denied: without ``ecr:UpdateRepositoryCreationTemplate``, or what it would do in the name of *caller*.
        ParameterInvalid, ValidationFailed: what it would say is no template.
        TemplateUnknown: there is none of this prefix.
    """
    action = "ecr:UpdateRepositoryCreationTemplate"
    registry.authorize(caller, action, None)
    _authorize_effects(registry, caller, prefix, change)
    _check_documents(registry, change)
    act, name, now = Act(caller, action, prefix), _name(prefix), int(registry.now() * 1000)

    def run(txn: WriteTxn) -> CreationTemplate:
        old = _existing(registry, txn, prefix)
        return _put(registry, txn, act, name, {"updated": now, **_fields(change, old)})

    template = await registry.store.writer.write(run)
    registry.changes.notify()
    return template


async def delete_template(registry: Registry, caller: Caller, prefix: str) -> CreationTemplate:
    """Delete a template and return it; repositories made from it stay as they are.

    Raises:
        Denied: without ``ecr:DeleteRepositoryCreationTemplate``.
        TemplateUnknown: there is none of this prefix.
    """
    action = "ecr:DeleteRepositoryCreationTemplate"
    registry.authorize(caller, action, None)
    act, name = Act(caller, action, prefix), _name(prefix)

    def run(txn: WriteTxn) -> CreationTemplate:
        old = _existing(registry, txn, prefix)
        entry = register_put(registry, txn, act, _GROUP, name, dict.fromkeys(old))
        commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])
        return _template(old)

    template = await registry.store.writer.write(run)
    registry.changes.notify()
    return template


def list_templates(registry: Registry, caller: Caller, *, after: str, limit: int) -> list[tuple[str, CreationTemplate]]:
    """Return at most *limit* templates by prefix, each with the place from which the next page goes on.

    Raises:
        Denied: without ``ecr:DescribeRepositoryCreationTemplates``.
    """
    registry.authorize(caller, "ecr:DescribeRepositoryCreationTemplates", None)
    with registry.store.meta.read() as txn:
        page = registers(registry, txn, _GROUP, after=after, limit=limit)
    return [(name, _template(fields)) for name, fields in page]


def find_templates(registry: Registry, caller: Caller, prefixes: Iterable[str]) -> list[CreationTemplate]:
    """Return the templates of these prefixes; those that do not exist are left out.

    Raises:
        Denied: without ``ecr:DescribeRepositoryCreationTemplates``.
    """
    registry.authorize(caller, "ecr:DescribeRepositoryCreationTemplates", None)
    with registry.store.meta.read() as txn:
        found = [register(registry, txn, _GROUP, _name(prefix)) for prefix in prefixes]
    return [_template(fields) for fields in found if fields is not None]


def settings_from_template(
    registry: Registry, txn: ReadTxn, name: RepositoryName, cause: Cause
) -> Mapping[str, Setting] | None:
    """Return what a repository gets that is made for *cause*; ``None`` where no template is for that."""
    rows = {key: _template(fields) for key, fields in registers(registry, txn, _GROUP, limit=_ALL)}
    known = [Template(key, frozenset(one.applied_for)) for key, one in rows.items()]
    found = template_for(known, name, cause)
    return None if found is None else rows[found.prefix].settings


def _put(registry: Registry, txn: WriteTxn, act: Act, name: str, fields: Mapping[str, Setting]) -> CreationTemplate:
    entry = register_put(registry, txn, act, _GROUP, name, fields)
    commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])
    template = _template(register(registry, txn, _GROUP, name) or {})
    is_keyed = template.settings.get("encryption", "AES256") != "AES256"
    if (is_keyed or any(key.startswith(_TAG) for key in template.settings)) and not template.role:
        raise ValidationFailed("customRoleArn is required with resourceTags and with a KMS encryptionType")
    return template


def _existing(registry: Registry, txn: ReadTxn, prefix: str) -> dict[str, Setting]:
    fields = register(registry, txn, _GROUP, _name(prefix))
    if fields is None:
        raise TemplateUnknown(
            f"The repository creation template with prefix '{prefix}' does not exist in the registry with id "
            f"'{registry.name.account}'"
        )
    return fields


def _fields(change: TemplateChange, old: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the fields of the register that *change* sets, given those that it has."""
    fields: dict[str, Setting] = {f"{_SET}{key}": value for key, value in change.settings.items()}
    if change.applied_for is not None:
        fields["applied-for"] = msgspec.json.encode(change.applied_for).decode()
    if change.description is not None:
        fields["description"] = change.description or None
    if change.role is not None:
        fields["role"] = change.role or None
    if change.tags is not None:
        fields |= dict.fromkeys(key for key in old if key.startswith(f"{_SET}{_TAG}"))
        fields |= {f"{_SET}{_TAG}{key}": value for key, value in change.tags.items()}
    return fields


def _template(fields: Mapping[str, Setting]) -> CreationTemplate:
    return CreationTemplate(
        prefix=str(fields.get("prefix", "")),
        applied_for=msgspec.json.decode(str(fields.get("applied-for", "[]")), type=tuple[Cause, ...]),
        description=str(fields.get("description", "")),
        role=str(fields.get("role", "")),
        settings={key.removeprefix(_SET): value for key, value in fields.items() if key.startswith(_SET)},
        created=int(fields.get("created") or 0) / 1000,
        updated=int(fields.get("updated") or 0) / 1000,
    )


def _name(prefix: str) -> str:
    return prefix.rstrip("/")


def _authorize_effects(registry: Registry, caller: Caller, prefix: str, change: TemplateChange) -> None:
    """Refuse a template that does for others what *caller* may not do to all that comes to lie below its prefix."""
    below = RepositoryName("*" if prefix == ROOT else f"{_name(prefix)}/*")
    registry.authorize(caller, "ecr:CreateRepository", below)
    if change.role:
        if not _ROLE.fullmatch(change.role):
            raise invalid("customRoleArn", "Invalid ARN provided")
        registry.authorize(caller, "iam:PassRole", Arn(change.role))
    if change.settings.get("policy"):
        registry.authorize(caller, "ecr:SetRepositoryPolicy", below)
    if change.settings.get("lifecycle-policy"):
        registry.authorize(caller, "ecr:PutLifecyclePolicy", below)


def _check_documents(registry: Registry, change: TemplateChange) -> None:
    policy, lifecycle = change.settings.get("policy"), change.settings.get("lifecycle-policy")
    if isinstance(policy, str):
        require_principals(registry, repository_policy(policy, "RepositoryPolicy"), "RepositoryPolicy")
    if isinstance(lifecycle, str):
        repository_lifecycle(lifecycle, "LifecyclePolicy")
