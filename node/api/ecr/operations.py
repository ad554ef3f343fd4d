"""The table of all operations of both services.

An action other than the first is asked for where the input has what it is about, such as tags at the creation of a
repository. The use case behind a handler asks for the same actions.
"""

from node.api.ecr import (
    account,
    authorization,
    backfills,
    catalog,
    images,
    layers,
    lifecycle,
    policies,
    public,
    pullthrough,
    replication,
    repositories,
    scanning,
    signing,
    storage,
    tags,
    templates,
)
from node.api.ecr.door import Operation

OPERATIONS: tuple[Operation, ...] = (
    # Private service, authentication and account.
    Operation("ecr", "GetAuthorizationToken", ("ecr:GetAuthorizationToken",), authorization.get_token),
    Operation("ecr", "GetAccountSetting", ("ecr:GetAccountSetting",), account.get_setting),
    Operation("ecr", "PutAccountSetting", ("ecr:PutAccountSetting",), account.put_setting),
    Operation("ecr", "DescribeRegistry", ("ecr:DescribeRegistry",), replication.describe_registry),
    # Private service, repositories.
    Operation("ecr", "CreateRepository", ("ecr:CreateRepository", "ecr:TagResource"), repositories.create),
    Operation("ecr", "DescribeRepositories", ("ecr:DescribeRepositories",), repositories.describe),
    Operation("ecr", "DeleteRepository", ("ecr:DeleteRepository",), repositories.delete),
    Operation("ecr", "PutImageTagMutability", ("ecr:PutImageTagMutability",), repositories.put_image_tag_mutability),
    Operation(
        "ecr",
        "PutImageScanningConfiguration",
        ("ecr:PutImageScanningConfiguration",),
        repositories.put_image_scanning_configuration,
    ),
    # Private service, resource tags.
    Operation("ecr", "TagResource", ("ecr:TagResource",), tags.tag),
    Operation("ecr", "UntagResource", ("ecr:UntagResource",), tags.untag),
    Operation("ecr", "ListTagsForResource", ("ecr:ListTagsForResource",), tags.list_),
    # Private service, repository and registry policies.
    Operation("ecr", "SetRepositoryPolicy", ("ecr:SetRepositoryPolicy",), policies.set_of_repository),
    Operation("ecr", "GetRepositoryPolicy", ("ecr:GetRepositoryPolicy",), policies.get_of_repository),
    Operation("ecr", "DeleteRepositoryPolicy", ("ecr:DeleteRepositoryPolicy",), policies.delete_of_repository),
    Operation("ecr", "PutRegistryPolicy", ("ecr:PutRegistryPolicy",), policies.put_of_registry),
    Operation("ecr", "GetRegistryPolicy", ("ecr:GetRegistryPolicy",), policies.get_of_registry),
    Operation("ecr", "DeleteRegistryPolicy", ("ecr:DeleteRegistryPolicy",), policies.delete_of_registry),
    # Private service, images.
    Operation("ecr", "PutImage", ("ecr:PutImage",), images.put),
    Operation("ecr", "BatchGetImage", ("ecr:BatchGetImage",), images.batch_get),
    Operation("ecr", "BatchDeleteImage", ("ecr:BatchDeleteImage",), images.batch_delete),
    Operation("ecr", "DescribeImages", ("ecr:DescribeImages",), images.describe),
    Operation("ecr", "ListImages", ("ecr:ListImages",), images.list_),
    Operation("ecr", "ListImageReferrers", ("ecr:BatchGetImage",), images.list_referrers),
    Operation("ecr", "UpdateImageStorageClass", ("ecr:UpdateImageStorageClass",), storage.update),
    # Private service, layers.
    Operation(
        "ecr", "BatchCheckLayerAvailability", ("ecr:BatchCheckLayerAvailability",), layers.batch_check_availability
    ),
    Operation("ecr", "GetDownloadUrlForLayer", ("ecr:GetDownloadUrlForLayer",), layers.get_download_url),
    Operation("ecr", "InitiateLayerUpload", ("ecr:InitiateLayerUpload",), layers.initiate_upload),
    Operation("ecr", "UploadLayerPart", ("ecr:UploadLayerPart",), layers.upload_part),
    Operation("ecr", "CompleteLayerUpload", ("ecr:CompleteLayerUpload",), layers.complete_upload),
    # Private service, pull times.
    Operation(
        "ecr",
        "RegisterPullTimeUpdateExclusion",
        ("ecr:RegisterPullTimeUpdateExclusion",),
        account.register_pull_time_exclusion,
    ),
    Operation(
        "ecr",
        "DeregisterPullTimeUpdateExclusion",
        ("ecr:DeregisterPullTimeUpdateExclusion",),
        account.deregister_pull_time_exclusion,
    ),
    Operation(
        "ecr", "ListPullTimeUpdateExclusions", ("ecr:ListPullTimeUpdateExclusions",), account.list_pull_time_exclusions
    ),
    # Private service, lifecycle.
    Operation("ecr", "PutLifecyclePolicy", ("ecr:PutLifecyclePolicy",), lifecycle.put),
    Operation("ecr", "GetLifecyclePolicy", ("ecr:GetLifecyclePolicy",), lifecycle.get),
    Operation("ecr", "DeleteLifecyclePolicy", ("ecr:DeleteLifecyclePolicy",), lifecycle.delete),
    Operation("ecr", "StartLifecyclePolicyPreview", ("ecr:StartLifecyclePolicyPreview",), lifecycle.start),
    Operation("ecr", "GetLifecyclePolicyPreview", ("ecr:GetLifecyclePolicyPreview",), lifecycle.preview),
    # Private service, repository creation templates.
    Operation(
        "ecr",
        "CreateRepositoryCreationTemplate",
        (
            "ecr:CreateRepositoryCreationTemplate",
            "ecr:CreateRepository",
            "ecr:PutLifecyclePolicy",
            "ecr:SetRepositoryPolicy",
            "iam:PassRole",
        ),
        templates.create,
    ),
    Operation(
        "ecr", "DescribeRepositoryCreationTemplates", ("ecr:DescribeRepositoryCreationTemplates",), templates.describe
    ),
    Operation(
        "ecr",
        "UpdateRepositoryCreationTemplate",
        (
            "ecr:UpdateRepositoryCreationTemplate",
            "ecr:CreateRepository",
            "ecr:PutLifecyclePolicy",
            "ecr:SetRepositoryPolicy",
            "iam:PassRole",
        ),
        templates.update,
    ),
    Operation("ecr", "DeleteRepositoryCreationTemplate", ("ecr:DeleteRepositoryCreationTemplate",), templates.delete),
    # Private service, pull through cache.
    Operation("ecr", "CreatePullThroughCacheRule", ("ecr:CreatePullThroughCacheRule",), pullthrough.create),
    Operation("ecr", "DescribePullThroughCacheRules", ("ecr:DescribePullThroughCacheRules",), pullthrough.describe),
    Operation("ecr", "UpdatePullThroughCacheRule", ("ecr:UpdatePullThroughCacheRule",), pullthrough.update),
    Operation("ecr", "DeletePullThroughCacheRule", ("ecr:DeletePullThroughCacheRule",), pullthrough.delete),
    Operation("ecr", "ValidatePullThroughCacheRule", ("ecr:ValidatePullThroughCacheRule",), pullthrough.validate),
    # Private service, replication.
    Operation("ecr", "PutReplicationConfiguration", ("ecr:PutReplicationConfiguration",), replication.put),
    Operation(
        "ecr", "DescribeImageReplicationStatus", ("ecr:DescribeImageReplicationStatus",), replication.image_status
    ),
    Operation("ecr", "StartReplicationBackfill", ("ecr:StartReplicationBackfill",), backfills.start),
    Operation("ecr", "StopReplicationBackfill", ("ecr:StopReplicationBackfill",), backfills.stop),
    Operation("ecr", "ListReplicationBackfills", ("ecr:ListReplicationBackfills",), backfills.list_),
    Operation(
        "ecr", "DescribeReplicationBackfillResults", ("ecr:DescribeReplicationBackfillResults",), backfills.results
    ),
    # Private service, scanning.
    Operation(
        "ecr", "PutRegistryScanningConfiguration", ("ecr:PutRegistryScanningConfiguration",), scanning.put_registry
    ),
    Operation(
        "ecr", "GetRegistryScanningConfiguration", ("ecr:GetRegistryScanningConfiguration",), scanning.get_registry
    ),
    Operation(
        "ecr",
        "BatchGetRepositoryScanningConfiguration",
        ("ecr:BatchGetRepositoryScanningConfiguration",),
        scanning.get_repositories,
    ),
    Operation("ecr", "StartImageScan", ("ecr:StartImageScan",), scanning.start),
    Operation("ecr", "DescribeImageScanFindings", ("ecr:DescribeImageScanFindings",), scanning.findings),
    # Private service, signing.
    Operation("ecr", "PutSigningConfiguration", ("ecr:PutSigningConfiguration",), signing.put),
    Operation("ecr", "GetSigningConfiguration", ("ecr:GetSigningConfiguration",), signing.get),
    Operation("ecr", "DeleteSigningConfiguration", ("ecr:DeleteSigningConfiguration",), signing.delete),
    Operation("ecr", "DescribeImageSigningStatus", ("ecr:DescribeImageSigningStatus",), signing.status),
    # Public service, authentication.
    Operation(
        "ecr-public",
        "GetAuthorizationToken",
        ("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"),
        authorization.get_public_token,
    ),
    # Public service, registry and gallery.
    Operation("ecr-public", "DescribeRegistries", ("ecr-public:DescribeRegistries",), public.describe_registries),
    Operation("ecr-public", "GetRegistryCatalogData", ("ecr-public:GetRegistryCatalogData",), catalog.get_of_registry),
    Operation("ecr-public", "PutRegistryCatalogData", ("ecr-public:PutRegistryCatalogData",), catalog.put_of_registry),
    Operation(
        "ecr-public", "GetRepositoryCatalogData", ("ecr-public:GetRepositoryCatalogData",), catalog.get_of_repository
    ),
    Operation(
        "ecr-public", "PutRepositoryCatalogData", ("ecr-public:PutRepositoryCatalogData",), catalog.put_of_repository
    ),
    # Public service, repositories.
    Operation(
        "ecr-public", "CreateRepository", ("ecr-public:CreateRepository", "ecr-public:TagResource"), public.create
    ),
    Operation("ecr-public", "DescribeRepositories", ("ecr-public:DescribeRepositories",), public.describe),
    Operation("ecr-public", "DeleteRepository", ("ecr-public:DeleteRepository",), public.delete),
    # Public service, resource tags.
    Operation("ecr-public", "TagResource", ("ecr-public:TagResource",), tags.tag),
    Operation("ecr-public", "UntagResource", ("ecr-public:UntagResource",), tags.untag),
    Operation("ecr-public", "ListTagsForResource", ("ecr-public:ListTagsForResource",), tags.list_),
    # Public service, repository policies.
    Operation("ecr-public", "SetRepositoryPolicy", ("ecr-public:SetRepositoryPolicy",), policies.set_of_repository),
    Operation("ecr-public", "GetRepositoryPolicy", ("ecr-public:GetRepositoryPolicy",), policies.get_of_repository),
    Operation(
        "ecr-public", "DeleteRepositoryPolicy", ("ecr-public:DeleteRepositoryPolicy",), policies.delete_of_repository
    ),
    # Public service, images and layers.
    Operation("ecr-public", "PutImage", ("ecr-public:PutImage",), images.put),
    Operation("ecr-public", "BatchDeleteImage", ("ecr-public:BatchDeleteImage",), images.batch_delete),
    Operation("ecr-public", "DescribeImages", ("ecr-public:DescribeImages",), images.describe),
    Operation("ecr-public", "DescribeImageTags", ("ecr-public:DescribeImageTags",), images.describe_tags),
    Operation(
        "ecr-public",
        "BatchCheckLayerAvailability",
        ("ecr-public:BatchCheckLayerAvailability",),
        layers.batch_check_availability,
    ),
    Operation("ecr-public", "InitiateLayerUpload", ("ecr-public:InitiateLayerUpload",), layers.initiate_upload),
    Operation("ecr-public", "UploadLayerPart", ("ecr-public:UploadLayerPart",), layers.upload_part),
    Operation("ecr-public", "CompleteLayerUpload", ("ecr-public:CompleteLayerUpload",), layers.complete_upload),
)
