"""Clients are told where to log in, and what they ask for is read as they mean it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.challenge import MAX_SCOPES, Scope, basic_challenge, bearer_challenge, parse_scopes, scope_text


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["repository:team/app:pull"], (Scope("team/app", ("pull",)),)),
        (["repository:team/app:push,pull"], (Scope("team/app", ("pull", "push")),)),
        (["repository:aa:pull repository:bb:pull,push"], (Scope("aa", ("pull",)), Scope("bb", ("pull", "push")))),
        (["repository:aa:pull", "repository:aa:push"], (Scope("aa", ("pull", "push")),)),
        (["repository(plugin):aa:pull"], (Scope("aa", ("pull",)),)),
        (["registry:catalog:*"], (Scope("*", ("*",)),)),
        (["repository:aa:*"], (Scope("aa", ("*",)),)),
        (["repository:aa:pull,fly"], (Scope("aa", ("pull",)),)),
        (["repository:A:pull", "repository:../x:pull", "repository:aa", "registry:other:*", "", "x"], ()),
        (["repository:localhost:5000/a:pull"], ()),
    ],
)
def test_scopes(texts: list[str], expected: tuple[Scope, ...]) -> None:
    assert parse_scopes(texts) == expected


@given(st.lists(st.text(max_size=60), max_size=4))
def test_any_text_is_a_scope_or_left_out(texts: list[str]) -> None:
    parse_scopes(texts)


def test_there_is_an_end_to_scopes() -> None:
    assert len(parse_scopes([f"repository:r{at}:pull" for at in range(100)])) == MAX_SCOPES


NAMES = st.from_regex(r"[a-z][a-z0-9]{1,8}(/[a-z]{1,5})?", fullmatch=True)


@given(NAMES, st.lists(st.sampled_from(["pull", "push", "delete"]), min_size=1, unique=True))
def test_a_scope_comes_back_from_its_text(name: str, actions: list[str]) -> None:
    [scope] = parse_scopes([f"repository:{name}:{','.join(actions)}"])
    assert parse_scopes([scope_text(scope)]) == (scope,)


def test_the_challenges() -> None:
    assert (
        bearer_challenge("https://host/token", "host", [Scope("team/app", ("pull",))])
        == 'Bearer realm="https://host/token",service="host",scope="repository:team/app:pull"'
    )
    assert bearer_challenge("https://host/token", "host", []) == 'Bearer realm="https://host/token",service="host"'
    basic = basic_challenge("https://host/", "ecr.amazonaws.com")
    assert basic == 'Basic realm="https://host/",service="ecr.amazonaws.com"'
