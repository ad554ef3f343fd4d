"""An event as EventBridge has those of Amazon ECR: what was written for ECR's events reads these.

    push, delete, storage
                    ``ECR Image Action``, of an artifact that refers to an image ``ECR Referrer Action``
    replication     ``ECR Replication Action``, told by the destination, as at ECR
    pull-through    ``ECR Pull Through Cache Action``
    repository      ``ECR Repository Action``, which ECR itself has only in CloudTrail; also of a repository's delete

``time`` has whole seconds, as there. A field that nobody knows is left out.

Source: Amazon ECR user guide, "Amazon ECR events and EventBridge"; EventBridge user guide, "Event structure".
"""

from typing import Any

import msgspec

from protocol.events.event import Event
from protocol.moment import rfc3339

SOURCE = "aws.ecr"
_encode = msgspec.json.Encoder().encode


def ecr_event(event: Event) -> dict[str, Any]:
    """Return the document, ready for JSON."""
    detail_type = _detail_type(event)
    has_resource = event.kind in {"replication", "pull-through"}
    arn = f"arn:aws:ecr:{event.region}:{event.account}:repository/{event.repository}"
    return {
        "version": "0",
        "id": event.id,
        "detail-type": detail_type,
        "source": SOURCE,
        "account": event.account,
        "time": rfc3339(event.at, with_ms=False),
        "region": event.region,
        "resources": [arn] if has_resource else [],
        "detail": ecr_detail(event),
    }


def ecr_body(event: Event) -> bytes:
    """Return the document as JSON."""
    return _encode(ecr_event(event))


def ecr_detail(event: Event) -> dict[str, Any]:
    """Return ``detail`` alone."""
    named = {"image-digest": event.digest, "image-tag": event.tag}
    arrival = event.arrival
    if arrival is not None and event.kind == "pull-through":
        detail = {
            "rule-version": "1",
            "sync-status": "SUCCESS",
            "ecr-repository-prefix": arrival.prefix.rstrip("/") or "ROOT",
            "repository-name": event.repository,
            "upstream-registry-url": f"entrepot://{arrival.source}" if arrival.source else None,
            **named,
        }
    elif arrival is not None:
        account, _, region = arrival.source.partition("/")
        detail = {
            "result": "SUCCESS",
            "repository-name": event.repository,
            **named,
            "source-account": account or None,
            "source-region": region or None,
            "action-type": event.action,
        }
    else:
        detail = {
            "result": "SUCCESS",
            "repository-name": event.repository,
            **named,
            "action-type": event.action,
            "target-storage-class": event.storage_class,
            "manifest-media-type": event.media_type,
            "artifact-media-type": event.artifact_type,
        }
    return {name: value for name, value in detail.items() if value is not None}


def _detail_type(event: Event) -> str:
    if event.kind == "repository" or is_whole_repository(event):
        return "ECR Repository Action"
    match event.kind:
        case "push" | "delete" | "storage":
            return "ECR Referrer Action" if event.is_referrer else "ECR Image Action"
        case "replication":
            return "ECR Replication Action"
        case "pull-through":
            return "ECR Pull Through Cache Action"


def is_whole_repository(event: Event) -> bool:
    """Whether the event says that a repository went, with all that was in it."""
    return event.kind == "delete" and event.digest is None and event.tag is None
