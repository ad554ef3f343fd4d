"""Resource tags of repositories, as boto3 sees them."""

from typing import Any

import pytest

from tests.e2e.ecr.calls import ACCOUNT, REGION, Raw, refused


def _tags(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def test_tags_are_added_replaced_and_taken_away(ecr: Any, name: str) -> None:
    arn = ecr.create_repository(repositoryName=name, tags=_tags(a="1", b="2"))["repository"]["repositoryArn"]
    ecr.tag_resource(resourceArn=arn, tags=_tags(b="3", c=""))
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == _tags(a="1", b="3", c="")
    ecr.untag_resource(resourceArn=arn, tagKeys=["a", "c", "none"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == _tags(b="3")


@pytest.mark.parametrize(
    "tags",
    [
        [{"Key": "aws:mine", "Value": "x"}],
        [{"Key": "", "Value": "x"}],
        [{"Key": "k" * 129, "Value": "x"}],
        [{"Key": "k", "Value": "v" * 257}],
        [{"Key": "a!b", "Value": "x"}],
        [{"Key": "a\nb", "Value": "x"}],
        [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}],
    ],
)
def test_what_is_no_tag_is_refused_before_anything_is_made(raw: Raw, name: str, tags: list[dict[str, str]]) -> None:
    assert raw.call("CreateRepository", {"repositoryName": name, "tags": tags}).error == "InvalidTagParameterException"
    assert raw.call("DescribeRepositories", {"repositoryNames": [name]}).error == "RepositoryNotFoundException"


def test_a_repository_has_fifty_tags_and_no_more(ecr: Any, name: str) -> None:
    fifty = _tags(**{f"key {at}": "x" for at in range(50)})
    assert refused(ecr.create_repository, repositoryName=name, tags=[*fifty, *_tags(more="x")])["Code"] == (
        "TooManyTagsException"
    )
    arn = ecr.create_repository(repositoryName=name, tags=fifty)["repository"]["repositoryArn"]
    assert refused(ecr.tag_resource, resourceArn=arn, tags=_tags(more="x"))["Code"] == "TooManyTagsException"
    ecr.tag_resource(resourceArn=arn, tags=fifty)
    assert len(ecr.list_tags_for_resource(resourceArn=arn)["tags"]) == 50


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "repository/app",
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/",
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:app",
        f"arn:aws:s3:{REGION}:{ACCOUNT}:repository/app",
        f"arn:aws:ecr-public::{ACCOUNT}:repository/app",
        f"arn:aws:ecr:{REGION}:1:repository/app",
    ],
)
def test_what_is_no_arn_of_a_repository_is_an_invalid_parameter(raw: Raw, arn: str) -> None:
    calls: tuple[tuple[str, dict[str, object]], ...] = (
        ("ListTagsForResource", {}),
        ("TagResource", {"tags": []}),
        ("UntagResource", {"tagKeys": []}),
    )
    for operation, more in calls:
        result = raw.call(operation, {"resourceArn": arn, **more})
        assert result.error == "InvalidParameterException"
        assert result.body["message"] == (
            "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'"
        )


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/no/such",
        f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/no/such",
        f"arn:aws:ecr:{REGION}:999999999999:repository/no/such",
        f"arn:aws-cn:ecr:{REGION}:{ACCOUNT}:repository/no/such",
    ],
)
def test_an_arn_of_what_is_not_here_is_a_repository_that_is_not_found(ecr: Any, arn: str) -> None:
    for call, more in (
        (ecr.list_tags_for_resource, {}),
        (ecr.tag_resource, {"tags": _tags(a="b")}),
        (ecr.untag_resource, {"tagKeys": ["a"]}),
    ):
        assert refused(call, resourceArn=arn, **more)["Code"] == "RepositoryNotFoundException"
