"""Writes ``docs/ecr-api.md``: every operation of both services, and how far it goes here.

python -m tests.ecr_page
"""

from pathlib import Path

from node.api.ecr.operations import OPERATIONS

PAGE = Path(__file__).parents[1] / "docs/ecr-api.md"
TITLES = {"ecr": "Private repositories: `ecr`", "ecr-public": "Public repositories: `ecr-public`"}

COMPLETE = "complete"
SCANS = "kept and answered; nothing is scanned yet"
SIGNS = "kept and answered; nothing is signed yet"
KEPT = {
    ("ecr", "PutLifecyclePolicy"): "kept and checked in full; nothing expires by it yet",
    ("ecr", "GetLifecyclePolicy"): "complete; `lastEvaluatedAt` stays absent, for no policy is acted on yet",
    ("ecr", "DeleteLifecyclePolicy"): "complete",
    ("ecr", "PutImageScanningConfiguration"): SCANS,
    ("ecr", "PutRegistryScanningConfiguration"): SCANS,
    ("ecr", "GetRegistryScanningConfiguration"): SCANS,
    ("ecr", "BatchGetRepositoryScanningConfiguration"): SCANS,
    ("ecr", "StartImageScan"): "taken; the scan has `FAILED` at once, for there is no scanner yet",
    ("ecr", "DescribeImageScanFindings"): "tells of the scan that has `FAILED`; there are no findings yet",
    ("ecr", "PutSigningConfiguration"): SIGNS,
    ("ecr", "GetSigningConfiguration"): SIGNS,
    ("ecr", "DeleteSigningConfiguration"): SIGNS,
    ("ecr", "DescribeImageSigningStatus"): "`FAILED` with `SigningNotSupported` for each profile that should sign",
    (
        "ecr",
        "PutReplicationConfiguration",
    ): "complete; `deleteReplication` is kept, and deletions are not replicated yet",
    (
        "ecr",
        "CreatePullThroughCacheRule",
    ): "complete for upstreams of the federation; others are kept, and not asked yet",
    (
        "ecr",
        "ValidatePullThroughCacheRule",
    ): "complete for upstreams of the federation; of others it says that nobody asks",
}
"""What an operation does whose engine comes later; all others are complete."""

HEAD = """# The API of Amazon ECR

Each operation of Amazon ECR's two services, and how far it goes here. A node serves both on its client port (AWS JSON
1.1, `POST /`): an SDK, the aws CLI or Terraform needs only another endpoint, as `AWS_ENDPOINT_URL_ECR`,
`AWS_ENDPOINT_URL_ECR_PUBLIC` and `AWS_ENDPOINT_URL_STS`, and the region of the registry. Who may do what is in
[access.md](access.md), what the rules do in [rules.md](rules.md), public repositories are in [public.md](public.md).

- Inputs are checked against the patterns and limits of the service models, outputs against their shapes in every test.
- `repositoryUri` begins with the first of `listen.public_hosts`, or with the host that the client used.
- `nextToken` is good for the list that gave it, at every node of the registry. A page may have fewer elements than
  asked for, or none, with more behind it, where a filter takes most of them out.
- `GetDownloadUrlForLayer` gives a URL on this node that needs nothing else for an hour, and serves ranges.
- `BatchDeleteImage` with both a digest and a tag deletes the tag, if it points there; and the image with its last one.
- Layers and images go into repositories that exist: a push by the API creates none.
- Counts are limited as at ECR, and an operator may raise the limits (`[quotas]`); rates are not limited.
- The access log names each call (`operation`). A mistake of the node is answered with `ServerException`; the id in
  `x-amzn-RequestId` has that of the log in its first and last group.

This page is written by `python -m tests.ecr_page`.
"""


def page() -> str:
    """Return the text of the page."""
    lines = [HEAD]
    for service, title in TITLES.items():
        lines += [f"## {title}", "", "| operation | asks for | state |", "|---|---|---|"]
        for one in sorted((row for row in OPERATIONS if row.service == service), key=lambda row: row.name):
            actions = ", ".join(f"`{action}`" for action in one.actions)
            lines.append(f"| `{one.name}` | {actions} | {KEPT.get((service, one.name), COMPLETE)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
