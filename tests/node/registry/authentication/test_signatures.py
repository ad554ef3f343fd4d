"""Which signatures are taken, and which cannot be good whatever the body is: those do not have one received."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from node.registry.authentication.signatures import authenticate_signature, check_signer
from node.registry.authentication.subjects import Client
from node.registry.identity.keys import NewKey, create_key, set_key_active
from node.registry.identity.principals import create_principal
from node.registry.registry import Registry
from protocol.auth.caller import Caller, root_of
from protocol.auth.sigv4 import Request
from protocol.errors import KeyUnknown, SignatureExpired, SignatureInvalid
from tests.node.registry.world import ACCOUNT, HERE, World, opened

ROOT = Caller(root_of(ACCOUNT), ACCOUNT)
BODY = b'{"repositoryName":"team/app"}'


@pytest.fixture
def world() -> World:
    return World(now=time.time(), allowed={ROOT})


@pytest.fixture
async def registry(tmp_path: Path, world: World) -> AsyncIterator[Registry]:
    async with opened(tmp_path, world) as registry:
        await create_principal(registry, ROOT, "user", "alice")
        yield registry


async def key_of(registry: Registry) -> NewKey:
    return await create_key(registry, ROOT, "alice")


def signed(key: str, secret: str, body: bytes = BODY) -> Request:
    request = AWSRequest("POST", "http://localhost:5000/", {"Host": "localhost:5000"}, body)
    SigV4Auth(Credentials(key, secret), "ecr", HERE.region).add_auth(request)
    return Request("POST", "/", "", [(name.lower(), value) for name, value in request.headers.items()])


async def test_a_signature_is_that_of_a_key_over_a_body(registry: Registry) -> None:
    new = await key_of(registry)
    client = Client("127.0.0.1", "1", is_secure=False)
    request = signed(new.key.id, new.secret.value.decode())
    check_signer(registry, request)
    caller = authenticate_signature(registry, request, BODY, client, services=("ecr",))
    assert caller.arn == f"arn:aws:iam::{ACCOUNT}:user/alice"
    with pytest.raises(SignatureInvalid):
        authenticate_signature(registry, request, BODY + b" ", client, services=("ecr",))


async def test_a_key_that_is_not_there_has_no_body_received(registry: Registry, world: World) -> None:
    new = await key_of(registry)
    with pytest.raises(KeyUnknown):
        check_signer(registry, signed("AKIA" + "A" * 16, "x"))
    await set_key_active(registry, ROOT, new.key.id, is_active=False)
    with pytest.raises(KeyUnknown):
        check_signer(registry, signed(new.key.id, new.secret.value.decode()))


@pytest.mark.parametrize("later", [-400, 400])
async def test_nor_has_a_signature_of_another_time(registry: Registry, world: World, later: float) -> None:
    new = await key_of(registry)
    request = signed(new.key.id, new.secret.value.decode())
    world.now += later
    with pytest.raises(SignatureExpired):
        check_signer(registry, request)
