"""Repositories of the private service, as boto3 sees them."""

from typing import Any

import pytest


def test_a_repository_that_is_not_there_fails_the_whole_call(ecr: Any, name: str) -> None:
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException) as caught:
        ecr.describe_repositories(repositoryNames=[name])
    text = f"The repository with name '{name}' does not exist in the registry with id '123456789012'"
    assert caught.value.response["Error"]["Message"] == text
