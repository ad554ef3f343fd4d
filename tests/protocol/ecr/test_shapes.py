"""An input is what the service's model says, and what is wrong is named as the service names it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ecr.private import PRIVATE
from protocol.ecr.public import PUBLIC
from protocol.ecr.shapes import Model, check_input
from protocol.errors import ParameterInvalid


def test_all_operations_are_there() -> None:
    assert len(PRIVATE.operations) == 62
    assert len(PUBLIC.operations) == 23


@pytest.mark.parametrize("model", [PRIVATE, PUBLIC])
def test_every_shape_that_is_named_is_there(model: Model) -> None:
    named = {operation.input for operation in model.operations.values()}
    for shape in model.shapes.values():
        named |= {*shape.members.values()} | ({shape.member} if shape.member else set())
        assert set(shape.required) <= set(shape.members)
    assert named == set(model.shapes)


NAME = {"repositoryName": "ab"}
PART = NAME | {"uploadId": "0a0b0c0d-0000-0000-0000-000000000000", "partFirstByte": 0, "partLastByte": 2}


@pytest.mark.parametrize(
    ("operation", "value", "where", "why"),
    [
        ("CreateRepository", {}, "repositoryName", "Member must not be null"),
        ("CreateRepository", {"repositoryName": None}, "repositoryName", "not be null"),
        ("CreateRepository", {"repositoryName": "a"}, "repositoryName", "length greater than or equal to 2"),
        ("CreateRepository", {"repositoryName": "A/b"}, "repositoryName", "must satisfy regular expression"),
        ("CreateRepository", {"repositoryName": "team/app\n"}, "repositoryName", "regular expression"),
        ("CreateRepository", {"repositoryName": "a" * 257}, "repositoryName", "less than or equal to 256"),
        ("CreateRepository", {"repositoryName": 5}, "repositoryName", "Member must be a string"),
        ("CreateRepository", NAME | {"registryId": "12345678901\uff12"}, "registryId", "regular expression"),
        ("CreateRepository", NAME | {"imageTagMutability": "immutable"}, "imageTagMutability", "value set: [MUTABLE"),
        ("CreateRepository", NAME | {"tags": {"Key": "x"}}, "tags", "Member must be a list"),
        ("CreateRepository", NAME | {"tags": [{"Key": "x"}]}, "tags.1.member.Value", "not be null"),
        ("CreateRepository", NAME | {"imageScanningConfiguration": {"scanOnPush": "true"}},
         "imageScanningConfiguration.scanOnPush", "Member must be a boolean"),
        ("DescribeRepositories", {"maxResults": 1001}, "maxResults", "value less than or equal to 1000"),
        ("DescribeRepositories", {"maxResults": 0}, "maxResults", "greater than or equal to 1"),
        ("DescribeRepositories", {"maxResults": True}, "maxResults", "must be a integer"),
        ("DescribeRepositories", {"maxResults": 10.0}, "maxResults", "must be a integer"),
        ("DescribeRepositories", {"maxResults": 2**31}, "maxResults", "must be a integer"),
        ("UploadLayerPart", PART | {"layerPartBlob": "%%"}, "layerPartBlob", "Member must be base64"),
        ("BatchDeleteImage", NAME | {"imageIds": [{"imageTag": "x"}] * 101}, "imageIds", "less than or equal to 100"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(operation: str, value: object, where: str, why: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        check_input(PRIVATE, operation, value)
    assert f"Invalid parameter at '{where}' failed to satisfy constraint: '" in str(refused.value)
    assert why in str(refused.value)


def test_an_input_is_an_object() -> None:
    with pytest.raises(ParameterInvalid):
        check_input(PRIVATE, "BatchDeleteImage", [])


def test_what_is_right_comes_back_with_blobs_decoded_and_without_what_is_not_known() -> None:
    given = {"repositoryName": "team/app", "tags": [{"Key": "k", "Value": ""}], "registryId": None, "later": 1}
    assert check_input(PRIVATE, "CreateRepository", given) == {
        "repositoryName": "team/app",
        "tags": [{"Key": "k", "Value": ""}],
    }
    assert check_input(PRIVATE, "UploadLayerPart", PART | {"layerPartBlob": "aGkh"})["layerPartBlob"] == b"hi!"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_any_input_is_taken_or_refused(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from([PRIVATE, PUBLIC]))
    operation = data.draw(st.sampled_from(sorted(model.operations)))
    members = model.shapes[model.operations[operation].input].members
    value = data.draw(st.dictionaries(st.sampled_from(sorted(members) or ["x"]), JSON, max_size=4))
    try:
        checked = check_input(model, operation, value)
    except ParameterInvalid:
        return
    assert set(checked) <= set(members)
