"""Who a trusted issuer knows opens sessions of roles, and nobody is asked who was not named (S19)."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
import trio.testing

from node.registry.authentication.federation import Federation
from node.registry.authentication.issuers import Issuer, delete_issuer, list_issuers, put_issuer
from node.registry.authentication.logins import Logins
from node.registry.authentication.people import begin_login, finish_login
from node.registry.authentication.roles import Assumed, Wanted
from node.registry.authentication.sessions import open_credentials
from node.registry.authentication.subjects import Client
from node.registry.identity.principals import create_principal
from node.registry.registry import Registry
from protocol.auth.openid import code_challenge
from protocol.auth.secret import Secret
from protocol.errors import (
    Denied,
    IdentityTokenInvalid,
    IssuerUnreachable,
    ParameterInvalid,
    PrincipalUnknown,
    Refusal,
    RuleInvalid,
)
from tests.identity_provider import ProviderKeys
from tests.node.registry.world import ACCOUNT, ALICE, EVE, World

URL = "https://id.example/realm"
ISSUER = Issuer(URL, ("entrepot", "console"), client="console")
BROWSER = Client("192.0.2.1", "id", is_secure=True)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/people"
KEYS = ProviderKeys()


@dataclass
class Net:
    """What is answered out there, by URL, and what was asked."""

    answers: dict[str, bytes | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    forms: list[dict[str, list[str]]] = field(default_factory=list)

    async def fetch(self, _issuer: Issuer, url: str, form: bytes | None) -> bytes:
        self.asked.append(url)
        if form is not None:
            self.forms.append(parse_qs(form.decode()))
        await trio.sleep(0.1)
        answer = self.answers.get(url, IssuerUnreachable("404"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def publish(self, keys: ProviderKeys = KEYS, **changed: object) -> None:
        names = {"jwks_uri": "keys", "authorization_endpoint": "auth", "token_endpoint": "token"}
        said = {"issuer": URL, **{name: f"{URL}/{path}" for name, path in names.items()}, **changed}
        self.answers[f"{URL}/.well-known/openid-configuration"] = json.dumps(said).encode()
        self.answers[f"{URL}/keys"] = json.dumps(keys.published()).encode()


@pytest.fixture
def net() -> Net:
    net = Net()
    net.publish()
    return net


@pytest.fixture
async def federation(registry: Registry, net: Net) -> Federation:
    await put_issuer(registry, ALICE, ISSUER, secret=Secret(b"hush"))
    condition = {"StringEquals": {"id.example/realm:groups": "staff"}}
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/id.example/realm"},
        "Condition": condition,
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    await create_principal(registry, ALICE, "role", "people", trust=trust)
    return Federation(registry, net.fetch, Logins())


def token(world: World, keys: ProviderKeys = KEYS, algorithm: str = "ES256", **changed: Any) -> str:
    now = int(world.now)
    said = {"iss": URL, "sub": "ana", "aud": "entrepot", "iat": now, "exp": now + 300, "groups": ["staff"]}
    return keys.token(said | changed, algorithm)


async def test_a_token_is_verified_by_keys_that_are_asked_for_once(
    federation: Federation, net: Net, world: World, autojump_clock: trio.testing.MockClock
) -> None:
    for algorithm in ("RS256", "ES256", "EdDSA"):
        assert (await federation.identify(token(world, algorithm=algorithm))).subject == "ana"
    assert net.asked == [f"{URL}/.well-known/openid-configuration", f"{URL}/keys"]


async def test_tokens_of_nobody_cost_a_request_a_minute(
    federation: Federation, net: Net, world: World, autojump_clock: trio.testing.MockClock
) -> None:
    other = ProviderKeys()

    async def knock() -> None:
        with pytest.raises(IdentityTokenInvalid):
            await federation.identify(token(world, other, kid="new"))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(knock)
    assert len(net.asked) == 2
    await federation.identify(token(world))
    assert len(net.asked) == 2
    await trio.sleep(4000)
    await federation.identify(token(world))
    assert len(net.asked) == 4


async def test_new_keys_are_found_and_old_ones_used_while_nobody_answers(
    federation: Federation, net: Net, world: World, autojump_clock: trio.testing.MockClock
) -> None:
    await federation.identify(token(world))
    net.answers.clear()
    await trio.sleep(7200)
    assert (await federation.identify(token(world))).subject == "ana"
    await trio.sleep(86_400)
    with pytest.raises(IssuerUnreachable, match="404"):
        await federation.identify(token(world))
    new = ProviderKeys()
    net.publish(new)
    await trio.sleep(61)
    assert (await federation.identify(token(world, new))).subject == "ana"
    with pytest.raises(IdentityTokenInvalid):
        await federation.identify(token(world))


@pytest.mark.parametrize(
    "changed",
    [
        {"jwks_uri": "https://evil.example/keys"},
        {"jwks_uri": "http://169.254.169.254/keys"},
        {"issuer": "https://evil.example"},
    ],
)
async def test_nobody_else_is_asked(
    federation: Federation,
    net: Net,
    world: World,
    changed: dict[str, Any],
    autojump_clock: trio.testing.MockClock,
) -> None:
    net.publish(**changed)
    with pytest.raises(IssuerUnreachable):
        await federation.identify(token(world))
    assert net.asked == [f"{URL}/.well-known/openid-configuration"]


async def test_an_issuer_that_is_not_trusted_is_not_asked(federation: Federation, net: Net, world: World) -> None:
    for url in ("https://evil.example", URL + "/", URL.upper(), "https://id.example", "", "file:///etc/passwd"):
        with pytest.raises(IdentityTokenInvalid):
            await federation.identify(token(world, iss=url))
    assert net.asked == []


async def test_keys_that_were_given_need_no_asking(
    registry: Registry, federation: Federation, net: Net, world: World
) -> None:
    given = Issuer(URL, ("entrepot",), keys=json.dumps(KEYS.published()))
    await put_issuer(registry, ALICE, given)
    assert (await federation.identify(token(world))).subject == "ana"
    assert net.asked == []
    await delete_issuer(registry, ALICE, "id.example/realm")
    with pytest.raises(IdentityTokenInvalid):
        await federation.identify(token(world))
    assert list_issuers(registry, ALICE) == []
    with pytest.raises(PrincipalUnknown):
        await delete_issuer(registry, ALICE, URL)


WRONG: list[tuple[Issuer, type[Refusal]]] = [
    (Issuer("http://id.example", ("a",)), RuleInvalid),
    (Issuer("https://user@id.example", ("a",)), RuleInvalid),
    (Issuer("https://127.0.0.1", ("a",)), RuleInvalid),
    (Issuer("https://id.example?x", ("a",)), RuleInvalid),
    (Issuer("https://id.example/?x", ("a",)), ParameterInvalid),
    (Issuer("https://id.example", ()), ParameterInvalid),
    (Issuer("https://id.example", ("",)), ParameterInvalid),
    (Issuer("https://id.example", ("a",), keys="{}"), ParameterInvalid),
    (Issuer("https://id.example", ("a",), keys='{"keys": []}'), ParameterInvalid),
    (Issuer("https://id.example", ("a",), endpoints=("nowhere",)), RuleInvalid),
    (Issuer("https://id.example", ("a",), allow=("0.0.0.0/0",)), RuleInvalid),
    (Issuer("https://id.example/" + "a" * 300, ("a",)), ParameterInvalid),
]


@pytest.mark.parametrize(("issuer", "refusal"), WRONG)
async def test_an_issuer_that_cannot_be_one_is_refused(
    registry: Registry, issuer: Issuer, refusal: type[Refusal]
) -> None:
    with pytest.raises(refusal):
        await put_issuer(registry, ALICE, issuer)


async def test_issuers_are_for_those_who_may(registry: Registry, federation: Federation) -> None:
    attempts: list[Callable[[], Any]] = [
        lambda: put_issuer(registry, EVE, ISSUER),
        lambda: delete_issuer(registry, EVE, URL),
    ]
    for attempt in attempts:
        with pytest.raises(Denied):
            await attempt()
    with pytest.raises(Denied):
        list_issuers(registry, EVE)


WANTED = Wanted(ROLE, "ana")


async def came_back(
    registry: Registry, federation: Federation, net: Net, world: World, **changed: Any
) -> tuple[Assumed, dict[str, str]]:
    """Log in, and let the provider answer with a token in which something is *changed*."""
    begun = await begin_login(registry, federation, URL, "https://registry.example/back")
    asked = {name: value for name, [value] in parse_qs(urlsplit(begun.url).query).items()}
    said: dict[str, Any] = {"aud": "console", "nonce": asked["nonce"], **changed}
    net.answers[f"{URL}/token"] = json.dumps({"id_token": token(world, **said)}).encode()
    kept = begun.kept.value.decode()
    return await finish_login(registry, federation, kept, asked["state"], "c0de", client=BROWSER, wanted=WANTED), asked


async def test_a_person_logs_in(registry: Registry, federation: Federation, net: Net, world: World) -> None:
    assumed, asked = await came_back(registry, federation, net, world)
    assert (asked["client_id"], asked["response_type"]) == ("console", "code")
    [form] = net.forms
    assert form["code"] == ["c0de"]
    assert form["client_secret"] == ["hush"]
    assert form["redirect_uri"] == [asked["redirect_uri"]] == ["https://registry.example/back"]
    assert code_challenge(form["code_verifier"][0]) == asked["code_challenge"]
    assert assumed.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/people/ana"
    credentials = assumed.credentials
    subject, secret = open_credentials(registry, credentials.key, credentials.token.value.decode())
    assert (subject.session, secret) == ("ana", credentials.secret.value.decode())


@pytest.mark.parametrize(
    "changed", [{"nonce": "other"}, {"nonce": ""}, {"aud": "entrepot"}, {"iss": "https://x.example"}]
)
async def test_a_token_of_another_log_in_is_refused(
    registry: Registry, federation: Federation, net: Net, world: World, changed: dict[str, Any]
) -> None:
    with pytest.raises(IdentityTokenInvalid):
        await came_back(registry, federation, net, world, **changed)


async def test_whom_the_role_does_not_trust_is_denied(
    registry: Registry, federation: Federation, net: Net, world: World
) -> None:
    with pytest.raises(Denied):
        await came_back(registry, federation, net, world, groups=["guests"])


async def test_nobody_finishes_the_log_in_of_another_browser(
    registry: Registry, federation: Federation, net: Net, world: World
) -> None:
    first, second = [await begin_login(registry, federation, URL, "https://r.example/back") for _ in range(2)]
    states = [parse_qs(urlsplit(one.url).query)["state"][0] for one in (first, second)]
    kept = first.kept.value.decode()
    attempts = [(kept, states[1]), (kept, ""), ("", states[0]), (kept[:-4] + "AAAA", states[0]), ("\u00fc", states[0])]
    for shown, state in attempts:
        with pytest.raises(IdentityTokenInvalid):
            await finish_login(registry, federation, shown, state, "c0de", client=BROWSER, wanted=WANTED)
    world.now += 601
    with pytest.raises(IdentityTokenInvalid, match="too long"):
        await finish_login(registry, federation, kept, states[0], "c0de", client=BROWSER, wanted=WANTED)
    assert net.forms == []
