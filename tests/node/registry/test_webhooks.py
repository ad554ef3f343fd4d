"""Webhooks are put, kept, shown without their secrets, and told again from any position."""

import msgspec
import pytest

from node.registry.deliveries import (
    Aside,
    asides,
    lag,
    load_checkpoint,
    save_delivery,
    seal_webhooks,
    stored_webhook,
)
from node.registry.registry import Registry
from node.registry.webhooks import (
    clear_webhook,
    delete_webhook,
    list_webhooks,
    pause_webhook,
    put_webhook,
    replay_events,
    rotate_secret,
    show_webhook,
)
from node.registry.webhooksecrets import is_sealed, signing_keys
from node.store.damage import DamageRow, Place
from node.store.table import WriteTxn
from protocol.auth.secret import Secret, StoredSecret
from protocol.errors import Denied, ParameterInvalid, RuleInvalid, WebhookUnknown
from protocol.events.queue import Behind, Checkpoint, Ref
from protocol.events.signature import parse_secret
from protocol.events.webhook import MAX_WEBHOOKS, Webhook
from tests.node.registry.world import ALICE, APP, EVE, World, push_image

HOOK = Webhook("https://ci.example/hook?token=squeamish")
KEY = b"ossifrage-ossifrage-ossifrage"


async def put(
    registry: Registry, name: str = "ci", hook: Webhook = HOOK, key: bytes | None = KEY, start: str | None = None
) -> str | None:
    return (await put_webhook(registry, ALICE, name, hook, key=key, start=start)).secret


def keys(registry: Registry, name: str = "ci") -> tuple[bytes, ...]:
    with registry.store.meta.read() as txn:
        stored = stored_webhook(registry, txn, name)
        assert stored is not None
        return signing_keys(registry, name, stored.secrets)


def checkpoint(registry: Registry, name: str = "ci") -> Checkpoint:
    with registry.store.meta.read() as txn:
        return load_checkpoint(registry, txn, name)


async def save(registry: Registry, saved: Checkpoint, *, aside: dict[Ref, Aside] | None = None) -> None:
    with registry.store.meta.read() as txn:
        stored = stored_webhook(registry, txn, "ci")
        assert stored is not None
    await save_delivery(registry, "ci", stored.epoch, saved, aside=aside or {}, made_good=set())


async def test_a_webhook_begins_with_what_happens_from_now_on(registry: Registry) -> None:
    await push_image(registry, b"1")
    await put(registry)
    assert checkpoint(registry) == Checkpoint(2)
    await put(registry, "all", start="1")
    assert checkpoint(registry, "all") == Checkpoint(0)
    assert [(one.name, one.lag_records) for one in list_webhooks(registry, ALICE)] == [("all", 2), ("ci", 0)]


async def test_a_secret_is_made_and_shown_once(registry: Registry) -> None:
    shown = await put(registry, key=None)
    assert shown is not None
    assert keys(registry) == (parse_secret(shown),)
    assert await put(registry, key=None) is None  # It stays.
    assert keys(registry) == (parse_secret(shown),)
    assert await put(registry) is None
    assert keys(registry) == (KEY,)


async def test_nothing_shows_a_secret(registry: Registry) -> None:
    await put(registry)
    with registry.store.meta.read() as txn:
        stored = stored_webhook(registry, txn, "ci")
    text = msgspec.json.encode([list_webhooks(registry, ALICE), show_webhook(registry, ALICE, "ci")]).decode()
    for one in (text, repr(stored), str(list_webhooks(registry, ALICE))):
        assert "ossifrage" not in one
    assert "squeamish" not in text
    assert "https://ci.example/hook?***" in text


async def test_two_secrets_sign_while_one_follows_the_other(registry: Registry, world: World) -> None:
    await put(registry)
    assert (await rotate_secret(registry, ALICE, "ci", key=b"new" * 8, keep=3600)).secret is None
    assert keys(registry) == (b"new" * 8, KEY)
    world.now += 3601
    assert keys(registry) == (b"new" * 8,)
    made = (await rotate_secret(registry, ALICE, "ci", key=None, keep=0)).secret
    assert made is not None
    assert keys(registry) == (parse_secret(made),)


async def test_secrets_that_are_in_force_have_a_bound(registry: Registry) -> None:
    await put(registry)
    for _ in range(3):
        await rotate_secret(registry, ALICE, "ci", key=None, keep=3600)
    with pytest.raises(RuleInvalid, match="4 secrets are in force"):
        await rotate_secret(registry, ALICE, "ci", key=None, keep=3600)


async def test_a_change_keeps_the_place(registry: Registry) -> None:
    await put(registry)
    for number in range(3):
        await push_image(registry, bytes([number]))
    await save(registry, Checkpoint(3, (Behind(APP, 1),)))
    await put(registry, hook=Webhook("https://ci.example/other"))
    assert checkpoint(registry) == Checkpoint(3, (Behind(APP, 1),))
    await pause_webhook(registry, ALICE, "ci", paused=True)
    assert show_webhook(registry, ALICE, "ci")[0].state == "paused"
    await pause_webhook(registry, ALICE, "ci", paused=False)
    assert show_webhook(registry, ALICE, "ci")[0].state == "ok"
    assert checkpoint(registry) == Checkpoint(3, (Behind(APP, 1),))


async def test_what_was_worked_out_before_a_replay_is_not_written(registry: Registry) -> None:
    for number in range(3):
        await push_image(registry, bytes([number]))
    await put(registry)
    await replay_events(registry, ALICE, "ci", "2")
    await save_delivery(registry, "ci", 1, Checkpoint(4), aside={}, made_good=set())
    assert checkpoint(registry) == Checkpoint(1)
    await delete_webhook(registry, ALICE, "ci")
    await save_delivery(registry, "ci", 2, Checkpoint(4), aside={Ref(1, 0): Aside(0, 1, "x")}, made_good=set())
    with registry.store.meta.read() as txn:
        assert asides(registry, txn, "ci", limit=9) == []


async def test_events_that_were_set_aside_are_counted_and_cleared_though_damaged(registry: Registry) -> None:
    await put(registry)
    await save_delivery(registry, "ci", 1, Checkpoint(4), aside={Ref(1, 0): Aside(0, 1, "x")}, made_good=set())
    documents = registry.store.meta.documents
    with registry.store.meta.read() as txn:
        [key] = documents.rows.keys(txn, b"webhook-aside/", limit=9)
    await registry.store.writer.write(lambda txn: txn.put(key, b"damaged", db=documents.rows.db))
    assert list_webhooks(registry, ALICE)[0].aside == 1
    assert await clear_webhook(registry, ALICE, "ci") == 1
    assert list_webhooks(registry, ALICE)[0].aside == 0


async def test_one_that_is_damaged_leaves_the_others_and_can_be_put_anew_or_deleted(registry: Registry) -> None:
    await put(registry)
    await put(registry, "other")
    await save(registry, Checkpoint(0, (Behind(APP, 0),)))
    await push_image(registry, b"1")
    rows, damages = registry.store.meta.documents.rows, registry.store.meta.damages
    place = Place("documents", b"webhook/ci")

    def run(txn: WriteTxn) -> None:
        txn.put(place.key, b"damaged", db=rows.db)
        damages.put(txn, place, DamageRow(0, "lost"))

    await registry.store.writer.write(run)
    assert [one.name for one in list_webhooks(registry, ALICE)] == ["other"]
    await put(registry)
    assert [one.name for one in list_webhooks(registry, ALICE)] == ["ci", "other"]
    assert checkpoint(registry) == Checkpoint(0, (Behind(APP, 0),))
    await registry.store.writer.write(run)
    await delete_webhook(registry, ALICE, "ci")
    with registry.store.meta.read() as txn:
        assert not rows.has(txn, place.key)


async def test_a_replay_marks_what_was_told_and_keeps_who_is_behind(registry: Registry) -> None:
    await put(registry)
    for number in range(6):
        await push_image(registry, bytes([number]))
    await save(registry, Checkpoint(6, (Behind(APP, 2), Behind(type(APP)("other"), 5))))
    assert await replay_events(registry, ALICE, "ci", "4") == 3
    assert checkpoint(registry) == Checkpoint(3, (Behind(APP, 2),))
    with registry.store.meta.read() as txn:
        stored = stored_webhook(registry, txn, "ci")
        assert stored is not None
        assert stored.replay_until == 6
        assert lag(registry, txn, "ci").records == 5
    # Nothing is skipped by a replay of what is still to come.
    assert await replay_events(registry, ALICE, "ci", "7") == 3
    with pytest.raises(ParameterInvalid, match="beyond"):
        await replay_events(registry, ALICE, "ci", "99")


async def test_what_was_set_aside_is_shown_with_what_it_was(registry: Registry) -> None:
    await put(registry)
    digest = await push_image(registry, b"1", tags=("1.27",))
    await save(registry, Checkpoint(2), aside={Ref(2, 1): Aside(5.0, 12, "status 400"), Ref(99, 0): Aside(5.0, 1, "x")})
    shown, found = show_webhook(registry, ALICE, "ci")
    assert shown.aside == 2
    assert [(one.position, one.action, one.tag, one.digest) for one in found] == [
        (2, "PUSH", "1.27", digest),
        (99, None, None, None),
    ]
    assert await clear_webhook(registry, ALICE, "ci") == 2
    assert show_webhook(registry, ALICE, "ci")[1] == []
    await save(registry, Checkpoint(2), aside={Ref(2, 1): Aside(5.0, 12, "status 400")})
    await delete_webhook(registry, ALICE, "ci")
    await put(registry)
    assert show_webhook(registry, ALICE, "ci")[1] == []


async def test_lag_is_the_age_of_the_oldest(registry: Registry, world: World) -> None:
    await put(registry)
    await push_image(registry, b"1")
    world.now += 60
    await push_image(registry, b"2")
    world.now += 5
    with registry.store.meta.read() as txn:
        assert lag(registry, txn, "ci").records == 3
        assert lag(registry, txn, "ci").seconds == pytest.approx(65, abs=0.1)
    await save(registry, Checkpoint(3, (Behind(APP, 2),)))
    with registry.store.meta.read() as txn:
        assert lag(registry, txn, "ci").seconds == pytest.approx(5, abs=0.1)


async def test_what_is_refused(registry: Registry) -> None:
    with pytest.raises(RuleInvalid, match="name"):
        await put(registry, "No")
    with pytest.raises(RuleInvalid, match="in the clear"):
        await put(registry, hook=Webhook("http://ci.example/"))
    for text in ("x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"):
        with pytest.raises(RuleInvalid, match="not a certificate"):
            await put(registry, hook=Webhook("https://ci.example/", authority=text))
    with pytest.raises(ParameterInvalid, match="not a position"):
        await put(registry, start="yesterday")
    for number in range(MAX_WEBHOOKS):
        await put(registry, f"w{number}")
    with pytest.raises(RuleInvalid, match="64 webhooks already"):
        await put(registry, "one-more")
    await put(registry, "w0")
    with pytest.raises(WebhookUnknown):
        show_webhook(registry, ALICE, "none")
    for change in (delete_webhook(registry, ALICE, "none"), pause_webhook(registry, ALICE, "none", paused=True)):
        with pytest.raises(WebhookUnknown):
            await change


async def test_who_may_not_sees_and_changes_nothing(registry: Registry) -> None:
    await put(registry)
    for change in (
        put_webhook(registry, EVE, "ci", HOOK, key=KEY, start=None),
        delete_webhook(registry, EVE, "ci"),
        pause_webhook(registry, EVE, "ci", paused=True),
        clear_webhook(registry, EVE, "ci"),
        rotate_secret(registry, EVE, "ci", key=None, keep=0),
        replay_events(registry, EVE, "ci", "1"),
    ):
        with pytest.raises(Denied):
            await change
    with pytest.raises(Denied):
        list_webhooks(registry, EVE)
    with pytest.raises(Denied):
        show_webhook(registry, EVE, "none")


def kept(registry: Registry, name: str) -> bytes:
    with registry.store.meta.read() as txn:
        return registry.store.meta.documents.get(txn, f"webhook/{name}") or b""


async def test_a_secret_lies_sealed_and_opens_for_its_own_webhook_alone(registry: Registry) -> None:
    await put(registry)
    assert KEY not in kept(registry, "ci")
    with registry.store.meta.read() as txn:
        stored = stored_webhook(registry, txn, "ci")
    assert stored is not None
    with pytest.raises(RuleInvalid, match="webhook rotate other"):
        signing_keys(registry, "other", stored.secrets)


async def test_secrets_that_an_early_version_kept_as_they_are_are_sealed_and_sign_on(registry: Registry) -> None:
    await put(registry)
    documents = registry.store.meta.documents

    def write(txn: WriteTxn) -> None:
        stored = stored_webhook(registry, txn, "ci")
        assert stored is not None
        plain = msgspec.structs.replace(stored, secrets=(StoredSecret("plain", Secret(KEY), 1.0),))
        documents.put(txn, "webhook/ci", msgspec.msgpack.encode(plain))

    await registry.store.writer.write(write)
    assert KEY in kept(registry, "ci")
    assert keys(registry) == (KEY,)
    await seal_webhooks(registry)
    assert KEY not in kept(registry, "ci")
    assert keys(registry) == (KEY,)
    with registry.store.meta.read() as txn:
        stored = stored_webhook(registry, txn, "ci")
    assert stored is not None
    assert is_sealed(stored.secrets)
    revision = stored.revision
    await seal_webhooks(registry)
    with registry.store.meta.read() as txn:
        again = stored_webhook(registry, txn, "ci")
    assert again is not None
    assert again.revision == revision, "nothing was left to do"
