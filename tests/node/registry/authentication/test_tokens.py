"""Keys of tokens are made, shared and replaced without a token that fails; what was issued ends with whom it names."""

import base64
from collections.abc import Callable

import pytest

from node.registry.authentication.authorization import authenticate_authorization_token, issue_authorization_token
from node.registry.authentication.bearer import BearerTokens
from node.registry.authentication.logins import Logins
from node.registry.authentication.sessions import issue_credentials, open_credentials
from node.registry.authentication.subjects import Client, Subject, caller_of_subject, subject_of
from node.registry.authentication.tokenkeys import TokenKeys, rotate_token_keys
from node.registry.identity.keys import create_key, delete_key
from node.registry.identity.principals import create_principal, delete_principal, set_disabled
from node.registry.registers import registers
from node.registry.registry import Registry
from node.registry.vault import Vault
from protocol.auth.caller import Caller
from protocol.auth.challenge import parse_scopes
from protocol.errors import Busy, TokenExpired, TokenInvalid
from tests.node.registry.world import ACCOUNT, ALICE, APP, DAY, World, push_image

LIFETIME = 900  # Seconds.
CLIENT = Client("192.0.2.1", "id", is_secure=True)
LOG_IN = ("ecr:GetAuthorizationToken",)


@pytest.fixture
async def bob(registry: Registry, world: World) -> Caller:
    """A user who may do everything that this world's policies are asked for."""
    await create_principal(registry, ALICE, "user", "bob")
    found = registry.directory.get().by_name("user", "bob")
    assert found is not None
    caller = caller_of_subject(registry, Subject(found.id, found.generation), CLIENT)
    world.allowed.add(caller)
    return caller


def key_ids(registry: Registry) -> list[str]:
    with registry.store.meta.read() as txn:
        return [name for name, _ in registers(registry, txn, "token-key", limit=100)]


async def test_nothing_is_signed_without_a_key(registry: Registry, bob: Caller) -> None:
    with pytest.raises(Busy):
        BearerTokens(registry, Logins()).issue(bob, ())


async def test_keys_are_replaced_with_an_overlap(registry: Registry, world: World, bob: Caller) -> None:
    await rotate_token_keys(registry, ALICE)
    keys, bearer = TokenKeys(registry), BearerTokens(registry, Logins())
    first, _ = keys.signer()
    await rotate_token_keys(registry, ALICE)
    assert key_ids(registry) == [first]
    world.now += 29 * DAY + 60
    await rotate_token_keys(registry, ALICE)
    assert len(key_ids(registry)) == 2
    assert keys.signer()[0] == first  # The new one is told to every node first.
    old = bearer.issue(bob, ()).password
    world.now += 3700
    second, _ = keys.signer()
    assert second != first
    world.now -= 3700 - LIFETIME + 60
    assert BearerTokens(registry, Logins()).authenticate(old, CLIENT).arn == bob.arn
    world.now += 3 * DAY
    await rotate_token_keys(registry, ALICE)
    assert key_ids(registry) == [second]


async def test_a_private_key_lies_sealed(registry: Registry) -> None:
    await rotate_token_keys(registry, ALICE)
    with registry.store.meta.read() as txn:
        [(name, fields)] = registers(registry, txn, "token-key", limit=1)
    sealed = base64.b64decode(str(fields["private"]))
    assert len(sealed) > 32 + 16
    assert registry.vault.unseal("token keys", sealed, f"token-key/{name}")


async def test_a_token_carries_who_asked_and_what_it_is_for(registry: Registry, world: World, bob: Caller) -> None:
    await rotate_token_keys(registry, ALICE)
    await push_image(registry, b"{}")
    issued = BearerTokens(registry, Logins()).issue(
        bob, parse_scopes([f"repository:{APP}:pull", "repository:no/such:pull"])
    )
    logins = Logins()
    bearer = BearerTokens(registry, logins)
    caller = bearer.authenticate(issued.password, CLIENT)
    assert (caller.arn, caller.user_id, caller.address) == (bob.arn, bob.user_id, "192.0.2.1")
    assert caller.access is not None
    lives = {one.repository: one.life for one in caller.access}
    assert (lives[APP] > 0, lives["no/such"]) == (True, 0)
    assert all("ecr:PutImage" not in one.actions for one in caller.access)
    assert bearer.known(issued.password, CLIENT) == caller
    assert logins.taken["bearer-token"] == 1
    world.now += LIFETIME + 31
    with pytest.raises(TokenInvalid):
        bearer.authenticate(issued.password, CLIENT)
    assert logins.refused["bearer-token"] == 1


async def test_a_token_is_never_larger_than_is_taken(registry: Registry, bob: Caller) -> None:
    await rotate_token_keys(registry, ALICE)
    bearer = BearerTokens(registry, Logins())
    scopes = parse_scopes([f"repository:{'a' * 250}/{at}:pull,push,delete" for at in range(16)])
    session = Caller(bob.arn, ACCOUNT, user_id=bob.user_id, session_policy="x" * 2048)
    caller = bearer.authenticate(bearer.issue(session, scopes).password, CLIENT)
    assert caller.session_policy == session.session_policy


@pytest.mark.parametrize("end", ["delete", "disable", "key"])
async def test_what_was_issued_ends_with_its_user(registry: Registry, bob: Caller, end: str) -> None:
    """S11."""
    key = await create_key(registry, ALICE, "bob")
    await rotate_token_keys(registry, ALICE)
    bearer = BearerTokens(registry, Logins())
    token, refresh = bearer.issue(bob, ()).password, bearer.issue_refresh(bob).password
    password = issue_authorization_token(registry, bob, LOG_IN).password
    credentials = issue_credentials(registry, subject_of(registry, bob), 900)
    session, _ = open_credentials(registry, credentials.key, credentials.token.value.decode())
    assert authenticate_authorization_token(registry, password, CLIENT).arn == bob.arn
    assert bearer.authenticate(token, CLIENT).arn == bob.arn
    if end == "delete":
        await delete_principal(registry, ALICE, "user", "bob")
    elif end == "disable":
        await set_disabled(registry, ALICE, "bob", is_disabled=True)
        await set_disabled(registry, ALICE, "bob", is_disabled=False)
    else:
        await delete_key(registry, ALICE, key.key.id)
    attempts: list[Callable[[], object]] = [
        lambda: authenticate_authorization_token(registry, password, CLIENT),
        lambda: bearer.authenticate(token, CLIENT),
        lambda: bearer.authenticate_refresh(refresh, CLIENT),
        lambda: caller_of_subject(registry, session, CLIENT),
    ]
    for attempt in attempts:
        with pytest.raises((TokenExpired, TokenInvalid)):
            attempt()


async def test_a_password_of_ecr_is_over_in_time_and_good_in_its_registry_alone(
    registry: Registry, world: World, bob: Caller
) -> None:
    issued = issue_authorization_token(registry, bob, LOG_IN)
    assert issued.expires == world.now + 12 * 3600
    assert issued.password not in repr(issued)
    world.now += 12 * 3600 - 1
    assert authenticate_authorization_token(registry, issued.password, CLIENT).arn == bob.arn
    world.now += 1
    with pytest.raises(TokenExpired, match="Reauthenticate and try again"):
        authenticate_authorization_token(registry, issued.password, CLIENT)
    world.now -= 3600
    registry.vault = Vault(b"\1" * 32, bytes)
    with pytest.raises(TokenExpired, match="Reauthenticate and try again"):
        authenticate_authorization_token(registry, issued.password, CLIENT)


async def test_a_refresh_token_is_no_password_and_a_password_is_no_refresh_token(
    registry: Registry, bob: Caller
) -> None:
    bearer = BearerTokens(registry, Logins())
    refresh = bearer.issue_refresh(bob).password
    password = issue_authorization_token(registry, bob, LOG_IN).password
    with pytest.raises(TokenExpired):
        authenticate_authorization_token(registry, refresh, CLIENT)
    with pytest.raises(TokenInvalid):
        bearer.authenticate_refresh(password, CLIENT)
    nobody = bearer.issue_refresh(Caller("*", "")).password
    with pytest.raises(TokenInvalid):
        bearer.authenticate_refresh(nobody, CLIENT)
