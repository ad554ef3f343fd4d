"""Whatever an operation is given, it answers with a result, or with an error that it declares: there is no bug to find.

Inputs are drawn from the shapes of the models, with values that mean something often enough to get past the checks.
"""

import json
from random import Random

import botocore.session
import pytest

from node.api.ecr.answer import COMMON
from node.api.ecr.operations import OPERATIONS
from protocol.ecr.private import PRIVATE
from protocol.ecr.public import PUBLIC
from protocol.ecr.shapes import Model
from protocol.oci.digest import digest_of
from tests.e2e.ecr.calls import conforms
from tests.node.ecr.conftest import Calls
from tests.node.registry.world import ACCOUNT, image, push_image

DRAWS = 40
DIGEST = "sha256:" + "0" * 64
TEXTS = (
    "team/app", "other", "1.27", DIGEST, "sha256:12", ACCOUNT, "999999999999", "", "ROOT", "*", "aws:x", "a" * 300,
    "arn:aws:ecr:eu-west-1:111111111111:repository/team/app", "arn:aws:iam::111111111111:user/alice", "public.ecr.aws",
    "00000000-0000-4000-8000-000000000000", "BLOB_MOUNTING", "ENABLED", "eu-west-1", "us-east-1", "{}", "e30=",
    "111111111111.dkr.ecr.us-east-1.amazonaws.com", '{"rules":[]}', "\U0001f600", "\x00", image(b"{}").decode(),
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:*"}]}',
    '{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},'
    '"action":{"type":"expire"}}]}',
)  # fmt: skip
USUAL = {
    "repositoryName": ("team/app",),
    "registryId": (ACCOUNT,),
    "imageTag": ("1.27", "latest", "new"),
    "imageDigest": (digest_of(image(b"{}")), DIGEST),
    "resourceArn": ("arn:aws:ecr:eu-west-1:111111111111:repository/team/app",),
    "region": ("eu-west-1", "us-east-1"),
    "policyText": (TEXTS[-2],),
    "lifecyclePolicyText": (TEXTS[-1],),
    "imageManifest": (image(b"{}").decode(), image(b"{}", annotations={"a": "b"}).decode()),
    "layerDigest": (digest_of(b"{}"), DIGEST),
    "prefix": ("team", "ROOT"),
    "ecrRepositoryPrefix": ("team", "ROOT"),
    "Key": ("a", "b"),
    "Value": ("c",),
}
"""What a member mostly is, so that most calls get somewhere."""

NUMBERS = (0, 1, 2, 5, 100, 1000, 2**31 - 1, 2**63 - 1, -1)


def drawn(random: Random, model: Model, name: str) -> object:
    """Return a value of the shape *name*, or nearly one."""
    shape = model.shapes[name]
    match shape.kind:
        case "structure":
            chosen = [one for one in shape.members if one in shape.required or random.random() < 0.4]
            return {one: _member(random, model, one, shape.members[one]) for one in chosen}
        case "list":
            return [drawn(random, model, shape.member) for _ in range(random.randint(0, 3))]
        case "map":
            return {random.choice(TEXTS): drawn(random, model, shape.member)}
        case "boolean":
            return random.random() < 0.5
        case "integer" | "long" | "double" | "timestamp":
            return random.choice(NUMBERS)
        case _:
            return random.choice(shape.enum) if shape.enum and random.random() < 0.9 else random.choice(TEXTS)


def _member(random: Random, model: Model, member: str, shape: str) -> object:
    if member in USUAL and random.random() < 0.8:
        return random.choice(USUAL[member])
    return drawn(random, model, shape)


@pytest.mark.parametrize("service", ["ecr", "ecr-public"])
async def test_any_input_is_answered_in_the_words_of_its_operation(calls: Calls, service: str) -> None:
    model = PRIVATE if service == "ecr" else PUBLIC
    service_model = botocore.session.get_session().get_service_model(service)
    random = Random(service)
    await push_image(calls.registry, b"{}", tags=("1.27", "latest"))
    wrong: list[str] = []
    answered = 0
    for operation in (one for one in OPERATIONS if one.service == service):
        declared = {*model.operations[operation.name].errors, *COMMON}
        for _ in range(DRAWS):
            given = drawn(random, model, model.operations[operation.name].input)
            assert isinstance(given, dict)
            status, body = await calls(operation.name, given, target=model.target)
            if status == 200:
                answered += 1
                shape = service_model.operation_model(operation.name).output_shape
                if shape is not None:
                    conforms(shape, body, operation.name)
            if status != 200 and (body["__type"] not in declared or status >= 500):
                wrong.append(f"{operation.name} {json.dumps(given)[:300]}: {status} {body}")
    assert not wrong, "\n".join(wrong[:10])
    assert not calls.bugs, calls.bugs[0]
    assert answered > 100  # Else it looks at little.
