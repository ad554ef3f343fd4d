"""Repository creation templates."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.paging import next_token, no_page_with, page_of
from node.registry.templates import (
    CreationTemplate,
    TemplateChange,
    create_template,
    delete_template,
    find_templates,
    list_templates,
    update_template,
)
from protocol.auth.caller import Caller
from protocol.rules.mutability import Exclusion, mutability, stored_exclusions, stored_mutability
from protocol.rules.tags import require_room, resource_tags
from protocol.sync.entries import Setting


async def create(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``CreateRepositoryCreationTemplate``."""
    return _answer(door, await create_template(door.registry, caller, given["prefix"], _change(given)))


async def update(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``UpdateRepositoryCreationTemplate``: what is not named stays, an empty text takes away."""
    return _answer(door, await update_template(door.registry, caller, given["prefix"], _change(given)))


async def delete(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DeleteRepositoryCreationTemplate``."""
    return _answer(door, await delete_template(door.registry, caller, given["prefix"]))


async def describe(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribeRepositoryCreationTemplates``."""
    no_page_with(door, "prefixes")
    if "prefixes" in given:
        found = find_templates(door.registry, caller, given["prefixes"])
        return {"registryId": door.account, "repositoryCreationTemplates": [_shown(one) for one in found]}
    page = page_of(door)
    rows = list_templates(door.registry, caller, after=page.after, limit=page.limit + 1)
    return {
        "registryId": door.account,
        "repositoryCreationTemplates": [_shown(one) for _, one in rows[: page.limit]],
        "nextToken": next_token(door, rows[page.limit - 1][0]) if len(rows) > page.limit else None,
    }


def _change(given: Given) -> TemplateChange:
    tags: dict[str, str] | None = None
    if "resourceTags" in given:
        tags = resource_tags(given["resourceTags"])
        require_room(tags)
    applied_for = tuple(dict.fromkeys(given["appliedFor"])) if "appliedFor" in given else None
    return TemplateChange(applied_for, given.get("description"), given.get("customRoleArn"), _settings(given), tags)


def _settings(given: Given) -> dict[str, Setting]:
    """Return what repositories get; ``None`` where an empty text takes it away."""
    settings: dict[str, Setting] = {}
    if "imageTagMutability" in given or "imageTagMutabilityExclusionFilters" in given:
        filters = given.get("imageTagMutabilityExclusionFilters", [])
        exclusions = tuple(Exclusion(one["filter"], one["filterType"]) for one in filters)
        setting = mutability(given.get("imageTagMutability", "MUTABLE"), exclusions)
        settings |= {"tag-mutability": setting.mode, "tag-mutability-exclusions": stored_exclusions(setting)}
    encryption = given.get("encryptionConfiguration")
    if encryption is not None:
        settings["encryption"] = encryption["encryptionType"]
        if encryption["encryptionType"] == "AES256" or "kmsKey" in encryption:
            settings["kms-key"] = encryption.get("kmsKey") or None
    if "repositoryPolicy" in given:
        settings["policy"] = given["repositoryPolicy"] or None
    if "lifecyclePolicy" in given:
        settings["lifecycle-policy"] = given["lifecyclePolicy"] or None
    return settings


def _answer(door: Door, template: CreationTemplate) -> dict[str, Any]:
    return {"registryId": door.account, "repositoryCreationTemplate": _shown(template)}


def _shown(template: CreationTemplate) -> dict[str, Any]:
    """Return the shape ``RepositoryCreationTemplate``."""
    settings = template.settings
    setting = stored_mutability(settings.get("tag-mutability"), settings.get("tag-mutability-exclusions"))
    filters = [{"filterType": one.filter_type, "filter": one.filter} for one in setting.exclusions]
    tags = [
        {"Key": key.removeprefix("tag:"), "Value": value} for key, value in settings.items() if key.startswith("tag:")
    ]
    return {
        "prefix": template.prefix,
        "description": template.description or None,
        "encryptionConfiguration": {
            "encryptionType": settings.get("encryption", "AES256"),
            "kmsKey": settings.get("kms-key"),
        },
        "resourceTags": tags or None,
        "imageTagMutability": setting.mode,
        "imageTagMutabilityExclusionFilters": filters or None,
        "repositoryPolicy": settings.get("policy"),
        "lifecyclePolicy": settings.get("lifecycle-policy"),
        "appliedFor": list(template.applied_for),
        "customRoleArn": template.role or None,
        "createdAt": template.created,
        "updatedAt": template.updated,
    }
