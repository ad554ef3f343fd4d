"""The calls of Terraform's resources, in their order: created, read, changed, read, destroyed, and found to be gone.

What is read has to be what was asked for, to the last field, or Terraform would have something to do for ever; and what
is gone has to be gone by the error that each resource waits for. `make terraform` runs the real thing.

Source: hashicorp/terraform-provider-aws 6.47.1, ``internal/service/ecr`` and ``ecrpublic``.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.e2e.ecr.calls import ACCOUNT, REGION, refused
from tests.e2e.ecr.conftest import EcrNode

TEMPLATE_SETTINGS = (
    "appliedFor", "customRoleArn", "description", "encryptionConfiguration", "imageTagMutability",
    "lifecyclePolicy", "prefix", "repositoryPolicy", "resourceTags",
)  # fmt: skip


def document(*actions: str, **more: object) -> str:
    return json.dumps({"Statement": [{"Action": actions, "Effect": "Allow", "Principal": "*", **more}]})


def lifecycle(days: int) -> str:
    selection = {"countNumber": days, "countType": "sinceImagePushed", "countUnit": "days", "tagStatus": "untagged"}
    return json.dumps({"rules": [{"action": {"type": "expire"}, "rulePriority": 1, "selection": selection}]})


def test_a_repository(ecr: Any, name: str) -> None:
    asked = {
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [
            {"filter": "latest", "filterType": "WILDCARD"},
            {"filter": "dev-*", "filterType": "WILDCARD"},
        ],
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }
    tags = [{"Key": "a", "Value": "b"}]
    arn = ecr.create_repository(repositoryName=name, tags=tags, **asked)["repository"]["repositoryArn"]
    [read] = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert {key: read[key] for key in asked} == asked
    assert (read["registryId"], read["repositoryArn"]) == (ACCOUNT, arn)
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == tags
    ecr.put_image_tag_mutability(registryId=ACCOUNT, repositoryName=name, imageTagMutability="MUTABLE")
    off = {"scanOnPush": False}
    ecr.put_image_scanning_configuration(registryId=ACCOUNT, repositoryName=name, imageScanningConfiguration=off)
    ecr.untag_resource(resourceArn=arn, tagKeys=["a"])
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "c", "Value": "d"}])
    [read] = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert (read["imageTagMutability"], read["imageScanningConfiguration"]) == ("MUTABLE", off)
    assert "imageTagMutabilityExclusionFilters" not in read
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "c", "Value": "d"}]
    ecr.delete_repository(repositoryName=name, registryId=ACCOUNT, force=False)
    assert refused(ecr.describe_repositories, repositoryNames=[name])["Code"] == "RepositoryNotFoundException"
    assert refused(ecr.delete_repository, repositoryName=name)["Code"] == "RepositoryNotFoundException"


@pytest.mark.parametrize("service", ["ecr", "ecr-public"])
def test_the_policy_of_a_repository(ecr_node: EcrNode, ecr: Any, service: str, name: str) -> None:
    client = ecr if service == "ecr" else ecr_node.public
    client.create_repository(repositoryName=name)
    refusal = refused(client.set_repository_policy, repositoryName=name, policyText=document("s3:GetObject"))
    assert refusal["Code"] == "InvalidParameterException"  # It tries again on both of these: a role may be too new.
    assert "Invalid repository policy provided" in refusal["Message"]
    for text in (document(f"{service}:PutImage"), document(f"{service}:PutImage", Sid="it")):
        client.set_repository_policy(repositoryName=name, policyText=text)
        read = client.get_repository_policy(repositoryName=name)
        assert (read["policyText"], read["repositoryName"], read["registryId"]) == (text, name, ACCOUNT)
    client.delete_repository_policy(repositoryName=name, registryId=ACCOUNT)
    for call in (client.get_repository_policy, client.delete_repository_policy):
        assert refused(call, repositoryName=name)["Code"] == "RepositoryPolicyNotFoundException"
    client.delete_repository(repositoryName=name)
    for call in (client.get_repository_policy, client.delete_repository_policy):
        assert refused(call, repositoryName=name)["Code"] == "RepositoryNotFoundException"


def test_a_lifecycle_policy(ecr: Any, name: str) -> None:
    ecr.create_repository(repositoryName=name)
    for text in (lifecycle(14), lifecycle(7)):
        ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=text)
        assert ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"] == text
    ecr.delete_lifecycle_policy(repositoryName=name)
    assert refused(ecr.get_lifecycle_policy, repositoryName=name)["Code"] == "LifecyclePolicyNotFoundException"
    ecr.delete_repository(repositoryName=name)
    assert refused(ecr.delete_lifecycle_policy, repositoryName=name)["Code"] == "RepositoryNotFoundException"


def test_a_pull_through_cache_rule(ecr: Any) -> None:
    prefix, secret = (
        f"t{uuid.uuid4().hex[:8]}",
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:ecr-pullthroughcache/x",
    )
    named = {"ecrRepositoryPrefix": prefix}
    ecr.create_pull_through_cache_rule(**named, upstreamRegistryUrl="registry-1.docker.io", credentialArn=secret)
    for wanted in (secret, f"{secret}y"):
        ecr.update_pull_through_cache_rule(**named, credentialArn=wanted)
        [read] = ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=[prefix])["pullThroughCacheRules"]
        assert (read["credentialArn"], read["upstreamRegistryUrl"]) == (wanted, "registry-1.docker.io")
        assert not {"upstreamRepositoryPrefix", "customRoleArn"} & set(read)  # Either would be a difference.
    ecr.delete_pull_through_cache_rule(**named, registryId=ACCOUNT)
    gone = "PullThroughCacheRuleNotFoundException"
    assert refused(ecr.describe_pull_through_cache_rules, ecrRepositoryPrefixes=[prefix])["Code"] == gone
    assert refused(ecr.delete_pull_through_cache_rule, **named)["Code"] == gone


def test_a_creation_template(ecr: Any) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}"
    asked: Mapping[str, Any] = {
        "appliedFor": ["CREATE_ON_PUSH", "PULL_THROUGH_CACHE"],
        "customRoleArn": f"arn:aws:iam::{ACCOUNT}:role/creator",
        "description": "for teams",
        "encryptionConfiguration": {"encryptionType": "AES256"},
        "imageTagMutability": "IMMUTABLE",
        "lifecyclePolicy": lifecycle(14),
        "repositoryPolicy": document("ecr:PutImage"),
        "resourceTags": [{"Key": "a", "Value": "b"}],
    }
    ecr.create_repository_creation_template(prefix=prefix, **asked)
    changed = {**asked, "appliedFor": ["REPLICATION"], "description": "", "resourceTags": [{"Key": "c", "Value": "d"}]}
    for wanted in (asked, changed):
        ecr.update_repository_creation_template(prefix=prefix, **wanted)
        [read] = ecr.describe_repository_creation_templates(prefixes=[prefix])["repositoryCreationTemplates"]
        shown = {key: value for key, value in wanted.items() if value != ""} | {"prefix": prefix}
        assert {key: read[key] for key in TEMPLATE_SETTINGS if key in read} == shown
    ecr.delete_repository_creation_template(prefix=prefix)
    assert ecr.describe_repository_creation_templates(prefixes=[prefix])["repositoryCreationTemplates"] == []
    assert refused(ecr.delete_repository_creation_template, prefix=prefix)["Code"] == "TemplateNotFoundException"


def test_what_the_registry_has_one_of(ecr: Any) -> None:
    rule = {
        "destinations": [{"region": "us-west-2", "registryId": ACCOUNT}],
        "repositoryFilters": [{"filter": "prod", "filterType": "PREFIX_MATCH"}],
    }
    for rules in ([rule], []):
        ecr.put_replication_configuration(replicationConfiguration={"rules": rules})
        assert ecr.describe_registry()["replicationConfiguration"] == {"rules": rules}
    scan = {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}
    for wanted in ({"scanType": "ENHANCED", "rules": [scan]}, {"scanType": "BASIC", "rules": []}):
        ecr.put_registry_scanning_configuration(**wanted)
        read = ecr.get_registry_scanning_configuration()
        assert (read["registryId"], read["scanningConfiguration"]) == (ACCOUNT, wanted)
    text = document("ecr:ReplicateImage", Resource=f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/*")
    ecr.put_registry_policy(policyText=text)
    assert ecr.get_registry_policy() | {"ResponseMetadata": 0} == {
        "registryId": ACCOUNT, "policyText": text, "ResponseMetadata": 0,
    }  # fmt: skip
    ecr.delete_registry_policy()
    for call in (ecr.get_registry_policy, ecr.delete_registry_policy):
        assert refused(call)["Code"] == "RegistryPolicyNotFoundException"


def test_a_pull_time_update_exclusion(ecr: Any, name: str) -> None:
    named = {"principalArn": f"arn:aws:iam::{ACCOUNT}:role/{name.partition('/')[0]}"}
    ecr.register_pull_time_update_exclusion(**named)
    assert named["principalArn"] in ecr.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"]
    ecr.deregister_pull_time_update_exclusion(**named)
    assert refused(ecr.deregister_pull_time_update_exclusion, **named)["Code"] == "ExclusionNotFoundException"


@pytest.mark.parametrize(
    "catalog", [None, {"architectures": ["Linux"], "description": "d", "operatingSystems": ["ARM"]}]
)
def test_a_public_repository(ecr_node: EcrNode, ecr: Any, name: str, catalog: dict[str, Any] | None) -> None:
    public: Any = ecr_node.public
    create: Callable[..., Any] = public.create_repository
    create(repositoryName=name, **({} if catalog is None else {"catalogData": catalog}))
    for wanted in (catalog or {}, {"aboutText": "# About", "usageText": "Pull it."}):
        if wanted is not catalog and wanted:
            public.put_repository_catalog_data(repositoryName=name, registryId=ACCOUNT, catalogData=wanted)
        [read] = public.describe_repositories(repositoryNames=[name])["repositories"]
        assert read["repositoryName"] == name
        # Without any it has to be an answer, too: whatever is an error here is one for Terraform.
        shown = public.get_repository_catalog_data(repositoryName=name, registryId=ACCOUNT)["catalogData"]
        assert shown == wanted | {"marketplaceCertified": False}
    public.delete_repository(repositoryName=name, registryId=ACCOUNT, force=True)
    assert refused(public.describe_repositories, repositoryNames=[name])["Code"] == "RepositoryNotFoundException"
    assert refused(public.delete_repository, repositoryName=name)["Code"] == "RepositoryNotFoundException"
