"""The table of resources as an OpenAPI document.

Source: OpenAPI Specification 3.1.0; JSON Schema 2020-12, as msgspec makes it of the structs.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from node.api.admin.resources import Resource

_FIELD = re.compile(r"\{(\w+)\}")
_ABOUT = {
    "user": "Name of a user.",
    "group": "Name of a group.",
    "role": "Name of a role.",
    "key": "Id of an access key.",
    "policy": "Name of a policy of its own.",
    "name": "Name or ARN of a managed policy, or the URL of an issuer without its scheme; slashes stand as they are.",
}
_PAGING: list[dict[str, Any]] = [
    {
        "name": "after",
        "in": "query",
        "description": "Where the page begins: `next` of the one before.",
        "schema": {"type": "string"},
    },
    {
        "name": "limit",
        "in": "query",
        "description": "Rows of a page at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
    },
]
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }
    },
}
_SIGNED = {
    "type": "apiKey",
    "in": "header",
    "name": "Authorization",
    "description": "AWS Signature Version 4 with an access key, for the service `entrepot` and the registry's region.",
}


def description(resources: Iterable[Resource], version: str) -> dict[str, Any]:
    """Return the document, as JSON's types."""
    rows = list(resources)
    types = {one for row in rows for one in (row.body, row.answer) if one is not None}
    ordered = sorted(types, key=lambda one: one.__name__)
    references, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(ordered, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schemas)
    for path, item in paths.items():
        item["parameters"] = [_parameter(name) for name in _FIELD.findall(path)]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "entrepot",
            "version": version,
            "description": "What ECR has no operation for: principals, their keys and policies, and other nodes.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"signature": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {"signature": _SIGNED, "basic": {"type": "http", "scheme": "basic"}},
        },
    }


def _operation(row: Resource, schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    words = re.sub(r"[^a-z ]", "", row.summary.lower().replace("'s", "s")).split()
    good: dict[str, Any] = {"description": "Done."}
    if row.answer is not None:
        good["content"] = {"application/json": {"schema": schemas[row.answer]}}
    error = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    operation: dict[str, Any] = {
        "operationId": words[0] + "".join(word.capitalize() for word in words[1:] if word not in {"a", "an", "the"}),
        "summary": row.summary,
        "description": f"Needs `{row.action}`.",
        "responses": {str(row.status): good, "default": {"description": "Refused: `code` says why.", **error}},
    }
    if row.is_paged:
        operation["parameters"] = _PAGING
    if row.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[row.body]}},
        }
    return operation


def _parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": _ABOUT[name],
        "schema": {"type": "string"},
    }
