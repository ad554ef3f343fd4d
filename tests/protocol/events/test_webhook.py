"""Webhooks as they are put, what they are told of, and what is signed."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RuleInvalid
from protocol.events.event import Event
from protocol.events.request import ping_request, webhook_request
from protocol.events.signature import format_secret, parse_secret, signature
from protocol.events.webhook import FORMATS, Format, Webhook, checked, matches, webhook_name
from protocol.oci.digest import digest_of
from protocol.oci.names import RepositoryName, TagName

URL = "https://ci.example/hook"
EVENT = Event(
    "12f8df28-b331-8c40-8dfe-47cb1fb65393", 12, 1, "push", "PUSH", 1_769_903_999_250, "111111111111", "eu-west-1",
    RepositoryName("team/app"), digest_of(b"image"), TagName("1.27"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"url": "http://ci.example/"}, "in the clear"),
        ({"url": "ci.example"}, "the URL is not"),
        ({"url": URL, "events": []}, "no events are chosen"),
        ({"url": URL, "repositories": ["team/*/x"]}, "no repository's name"),
        ({"url": URL, "repositories": [""]}, "no repository's name"),
        ({"url": URL, "allow_addresses": ["10.0.0.0/7"]}, "too much"),
        ({"url": "https://127.0.0.1/"}, "this machine itself"),
        ({"url": "https://[::ffff:127.0.0.1]/", "allow_addresses": ["10.0.0.0/8"]}, "this machine itself"),
        ({"url": "https://169.254.169.254/", "allow_addresses": ["169.254.0.0/16"]}, "metadata"),
    ],
)
def test_what_is_no_webhook(document: Mapping[str, object], message: str) -> None:
    with pytest.raises(RuleInvalid, match=message):
        checked(msgspec.convert(document, Webhook))


@pytest.mark.parametrize("name", ["", "A", "-a", "a/b", "a b", "a" * 64, "ä", "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(RuleInvalid):
        webhook_name(name)


def test_an_address_that_the_rule_names() -> None:
    for url, allowed in (("https://127.0.0.1/", "127.0.0.1"), ("https://10.1.2.3/", "10.0.0.0/8")):
        hook = Webhook(url, allow_addresses=(allowed,))
        assert checked(hook) is hook


def test_a_webhook_is_told_of_what_it_asked_for() -> None:
    assert checked(Webhook(URL)).wants(EVENT)
    assert not Webhook(URL, events=("delete",)).wants(EVENT)
    assert not Webhook(URL, repositories=("team",)).wants(EVENT)
    assert Webhook(URL, repositories=("other", "team/*")).wants(EVENT)
    assert Webhook(URL, repositories=("*",)).wants(EVENT)


def test_patterns() -> None:
    name = RepositoryName("team/app")
    assert [matches((one,), name) for one in ("team/app", "team/ap*", "team/*", "team/app*", "*")] == [True] * 5
    assert [matches((one,), name) for one in ("team/ap", "eam/*", "team/app/*")] == [False] * 3


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The vector is of the specification's reference libraries."""
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature((key,), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_make_two_signatures() -> None:
    one, two = b"1" * 32, b"2" * 32
    both = signature((one, two), "id", 5, b"body").split(" ")
    assert both == [signature((one,), "id", 5, b"body"), signature((two,), "id", 5, b"body")]


@given(st.binary(min_size=16, max_size=256))
def test_a_secret_is_read_as_it_is_shown(key: bytes) -> None:
    assert parse_secret(format_secret(key) + "\n") == key


@pytest.mark.parametrize("text", ["", "short", "whsec_!!!!", "whsec_c2hvcnQ=", "x" * 257])
def test_a_refused_secret_is_not_repeated(text: str) -> None:
    with pytest.raises(RuleInvalid) as refused:
        parse_secret(text)
    assert not text or text not in str(refused.value)
    assert parse_secret("a passphrase of some length") == b"a passphrase of some length"


@pytest.mark.parametrize("form", FORMATS)
def test_a_request_is_signed_over_what_is_sent(form: Format) -> None:
    key = b"k" * 32
    request = webhook_request(EVENT, form, (key,), timestamp=1_769_904_000, is_replay=False)
    headers = dict(request.headers)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert (headers["webhook-id"], headers["entrepot-position"]) == (EVENT.id, "12")
    assert "entrepot-replay" not in headers
    body = json.loads(request.body)
    match form:
        case "ecr":
            assert (headers["content-type"], body["detail-type"]) == ("application/json", "ECR Image Action")
        case "cloudevents":
            assert (headers["content-type"], body["specversion"]) == ("application/cloudevents+json", "1.0")
        case "cloudevents-binary":
            assert (headers["content-type"], headers["ce-id"]) == ("application/json", EVENT.id)
            assert body["image-tag"] == "1.27"


def test_a_replay_has_the_same_id_and_body() -> None:
    first = webhook_request(EVENT, "ecr", (b"k" * 32,), timestamp=1, is_replay=False)
    again = webhook_request(EVENT, "ecr", (b"k" * 32,), timestamp=1, is_replay=True)
    assert again.body == first.body
    assert dict(again.headers) == {**dict(first.headers), "entrepot-replay": "true"}


def test_a_test_says_that_it_is_one() -> None:
    request = ping_request("ci", "some-id", (b"k" * 32,), timestamp=1, registry=("111111111111", "eu-west-1"))
    assert json.loads(request.body)["detail-type"] == "Entrepot Webhook Test"
    assert dict(request.headers)["webhook-signature"].startswith("v1,")
