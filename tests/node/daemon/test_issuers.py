"""An issuer is asked where it is and nowhere else, and what it answers is bounded (S19)."""

from collections.abc import Iterator

import pytest

from node.daemon.issuers import issuer_fetch
from node.registry.authentication.issuers import Issuer
from node.upstream.client import MAX_BODY
from node.upstream.dial import system_dialer
from protocol.errors import IssuerUnreachable
from tests.identity_provider import Provider, running_provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


async def fetch(provider: Provider, path: str, form: bytes | None = None, *, allow: str = "127.0.0.1") -> bytes:
    issuer = Issuer(provider.url, ("entrepot",), allow=(allow,) if allow else ())
    return await issuer_fetch(system_dialer())(issuer, provider.url + path, form)


async def test_what_is_answered_comes_back(provider: Provider) -> None:
    assert b'"keys"' in await fetch(provider, "/keys")
    provider.answers["/token"] = 200, b"{}", {}
    assert await fetch(provider, "/token", b"grant_type=authorization_code") == b"{}"
    assert provider.forms == ["grant_type=authorization_code"]


async def test_a_redirect_is_followed_nowhere(provider: Provider) -> None:
    with running_provider() as other:
        for status in (301, 302, 307, 308):
            provider.answers["/keys"] = status, b"", {"location": f"{other.url}/keys"}
            with pytest.raises(IssuerUnreachable, match=str(status)):
                await fetch(provider, "/keys")
        assert other.asked == []
    assert len(provider.asked) == 4


@pytest.mark.parametrize("status", [204, 400, 404, 500, 503])
async def test_another_status_is_no_answer(provider: Provider, status: int) -> None:
    provider.answers["/keys"] = status, b'{"keys": []}' if status != 204 else b"", {}
    with pytest.raises(IssuerUnreachable, match=str(status)):
        await fetch(provider, "/keys")


@pytest.mark.parametrize("size", [MAX_BODY, 10 * 2**20])
async def test_too_much_is_no_answer(provider: Provider, size: int) -> None:
    provider.answers["/keys"] = 200, b"x" * size, {}
    with pytest.raises(IssuerUnreachable, match="bytes or more"):
        await fetch(provider, "/keys")


async def test_this_machine_is_not_asked_unless_the_issuer_is_allowed_to_be_it(provider: Provider) -> None:
    with pytest.raises(IssuerUnreachable, match="this machine itself"):
        await fetch(provider, "/keys", allow="")
    assert provider.asked == []


async def test_an_issuer_with_tls_is_asked_by_nothing_else(provider: Provider) -> None:
    issuer = Issuer("https://id.example", ("entrepot",), allow=("127.0.0.1",))
    with pytest.raises(IssuerUnreachable):
        await issuer_fetch(system_dialer())(issuer, f"{provider.url}/keys", None)
    assert provider.asked == []


async def test_nobody_there_is_no_answer() -> None:
    issuer = Issuer("http://127.0.0.1:9", ("entrepot",), allow=("127.0.0.1",))
    with pytest.raises(IssuerUnreachable):
        await issuer_fetch(system_dialer())(issuer, "http://127.0.0.1:9/keys", None)
