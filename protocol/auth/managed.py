"""Policies that everyone has: those of AWS about registries, under the ARNs that they have there.

Source: ECR user guide, "AWS managed policies for Amazon Elastic Container Registry"; ECR Public user guide, likewise.
"""

from collections.abc import Mapping

import msgspec

_PULL = ("GetAuthorizationToken", "BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage")
_READ = (
    *_PULL,
    "GetRepositoryPolicy",
    "DescribeRepositories",
    "ListImages",
    "DescribeImages",
    "GetLifecyclePolicy",
    "GetLifecyclePolicyPreview",
    "ListTagsForResource",
    "DescribeImageScanFindings",
)
_PUSH = ("InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage")
_PUBLIC_READ = (
    "GetAuthorizationToken",
    "BatchCheckLayerAvailability",
    "GetRepositoryPolicy",
    "DescribeRepositories",
    "DescribeRegistries",
    "DescribeImages",
    "DescribeImageTags",
    "GetRepositoryCatalogData",
    "GetRegistryCatalogData",
)
_BEARER = "sts:GetServiceBearerToken"


def _of(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()


def _private(*names: str) -> str:
    return _of(*(f"ecr:{one}" for one in names))


def _public(*names: str) -> str:
    return _of(*(f"ecr-public:{one}" for one in names), _BEARER)


MANAGED: Mapping[str, str] = {
    f"arn:aws:iam::aws:policy/{name}": document
    for name, document in {
        "AdministratorAccess": _of("*"),
        "AmazonEC2ContainerRegistryFullAccess": _private("*"),
        "AmazonEC2ContainerRegistryPowerUser": _private(*_READ, *_PUSH),
        "AmazonEC2ContainerRegistryReadOnly": _private(*_READ),
        "AmazonEC2ContainerRegistryPullOnly": _private(
            "GetAuthorizationToken", "BatchGetImage", "GetDownloadUrlForLayer", "BatchImportUpstreamImage"
        ),
        "AmazonElasticContainerRegistryPublicFullAccess": _public("*"),
        "AmazonElasticContainerRegistryPublicPowerUser": _public(*_PUBLIC_READ, *_PUSH),
        "AmazonElasticContainerRegistryPublicReadOnly": _public(*_PUBLIC_READ),
        "IAMFullAccess": _of("iam:*"),
    }.items()
}
"""ARN -> document."""
