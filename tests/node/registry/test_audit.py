"""What is done is written down with it, what is read or refused soon after; and nobody changes that unseen."""

import os
from collections.abc import Callable
from functools import partial

import msgspec
import pytest
import trio
import trio.testing

from node.jobs.audit import audit_forever
from node.registry.audit.notes import MAX_NOTES, MAX_OF_STRANGERS, stranger
from node.registry.audit.reading import EntryShown, Verified, Wanted, last_audit, list_audit, verify_audit
from node.registry.audit.writing import Keeping, append_change, sign_checkpoint, trim_audit, write_notes
from node.registry.registers import put_register
from node.registry.registry import Registry
from node.registry.repositories import delete_repository
from node.registry.settings import create_repository
from node.registry.tags import delete_tag
from node.store.table import WriteTxn
from protocol.auth.audit import encode_entry, read_entry
from protocol.auth.caller import Act, Caller
from protocol.auth.public import public_repository
from protocol.errors import Denied, ManifestUnknown, SignatureInvalid, SignatureMissing
from protocol.oci.names import TagName
from tests.node.registry.world import ALICE, APP, TAG, World, push_image

KEEP = Keeping(days=400, bytes=2**40)


def entries(registry: Registry, *, who: str = "", action: str = "") -> list[EntryShown]:
    return list_audit(registry, ALICE, Wanted(who=who, action=action), after=0, limit=5000).entries


def verified(registry: Registry, *, after: int = 0, known: str = "") -> Verified:
    return verify_audit(registry, ALICE, after=after, known=known)


def put_raw(registry: Registry, seq: int, change: Callable[[bytes], bytes | None]) -> Callable[[WriteTxn], None]:
    """Change an entry as who has the disk: with a seal that fits."""

    def run(txn: WriteTxn) -> None:
        audit, key = registry.store.meta.audit, seq.to_bytes(8, "big")
        data = change(audit.entries.get(txn, key) or b"")
        if data is None:
            audit.entries.delete(txn, key)
        else:
            audit.entries.put(txn, key, data)

    return run


async def test_a_change_says_who_did_what_to_what_from_where(registry: Registry) -> None:
    ana = msgspec.structs.replace(ALICE, address="203.0.113.9", request="r-7")
    digest = await push_image(registry, b"{}", tags=(TAG,))
    await put_register(
        registry, Act(ana, "iam:CreateUser", "bob"), "user", "AIDA1", {"name": "bob", "secret": "s3cret"}
    )
    [created, pushed, made] = entries(registry)
    assert (created.action, created.resource) == ("ecr:CreateRepository", APP)
    assert (pushed.who, pushed.action, pushed.resource, pushed.result) == (ALICE.arn, "ecr:PutImage", APP, "ok")
    assert pushed.what == (digest, f":{TAG}")
    assert (made.source, made.request, made.what) == ("203.0.113.9", "r-7", ("user/AIDA1",))
    assert made.record > pushed.record > created.record > 0
    assert "s3cret" not in str(entries(registry))
    assert verified(registry).faults == []


async def test_a_change_that_is_undone_leaves_no_entry(registry: Registry) -> None:
    await push_image(registry, b"{}", tags=(TAG,))
    before = entries(registry)
    with pytest.raises(ManifestUnknown):
        await delete_tag(registry, ALICE, APP, TagName("none"))
    assert entries(registry) == before


async def test_where_the_audit_cannot_be_written_nothing_changes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push_image(registry, b"{}", tags=(TAG,))

    def fail(*_: object) -> None:
        raise OSError("the audit cannot be written")

    monkeypatch.setattr("node.registry.commit.append_change", fail)
    with pytest.raises(OSError, match="cannot be written"):
        await delete_repository(registry, ALICE, APP, force=True)
    monkeypatch.setattr("node.registry.commit.append_change", append_change)
    await delete_tag(registry, ALICE, APP, TagName(TAG))  # It is all there still.


async def test_what_is_alike_is_one_entry_with_a_count(registry: Registry) -> None:
    notes = registry.notes_of_audit
    for number in range(5):
        notes.note(msgspec.structs.replace(ALICE, request=f"r-{number}"), "ecr:BatchGetImage", APP)
    notes.refused(ALICE, "ecr:BatchGetImage", APP, Denied("no"))
    assert entries(registry) == []
    assert await write_notes(registry) == 2
    [pulled, refused] = entries(registry)
    assert (pulled.count, pulled.request, pulled.result, pulled.record) == (5, "r-0", "ok", 0)
    assert (refused.count, refused.result) == (1, "AccessDeniedException")
    assert await write_notes(registry) == 0


async def test_a_denial_names_what_was_denied_and_a_door_names_the_rest(registry: Registry, world: World) -> None:
    world.denied.add(("ecr:CreateRepository", APP))
    with pytest.raises(Denied) as caught:
        registry.authorize(ALICE, "ecr:CreateRepository", APP)
    registry.notes_of_audit.refused(ALICE, "ecr:PutImage", APP, caught.value)
    registry.notes_of_audit.refused(stranger("203.0.113.9", "r-1"), "ecr:PutImage", "", SignatureInvalid("wrong"))
    registry.notes_of_audit.refused(stranger("203.0.113.9", "r-2"), "ecr:PutImage", "", SignatureMissing("none"))
    await write_notes(registry)
    assert [(one.who, one.action, one.result) for one in entries(registry)] == [
        (ALICE.arn, "ecr:CreateRepository", "AccessDeniedException"),
        ("*", "ecr:PutImage", "InvalidSignatureException"),
    ]


async def test_a_change_that_was_written_with_its_record_is_not_written_again(registry: Registry) -> None:
    ana = msgspec.structs.replace(ALICE, request="r-9")
    await put_register(registry, Act(ana, "iam:CreateUser", "bob"), "user", "AIDA1", {"name": "bob"})
    registry.notes_of_audit.note(ana, "iam:CreateUser", "bob")
    registry.notes_of_audit.note(ana, "ecr:InitiateLayerUpload", APP)
    assert await write_notes(registry) == 1
    assert [one.action for one in entries(registry)] == ["iam:CreateUser", "ecr:InitiateLayerUpload"]


async def test_what_is_done_to_a_public_repository_is_called_by_its_own_service(
    registry: Registry, world: World
) -> None:
    ana, name = msgspec.structs.replace(ALICE, request="r-9"), public_repository(registry.name.account, "app")
    world.allowed.add(ana)
    await create_repository(registry, ana, name, {})
    registry.notes_of_audit.note(ana, "ecr-public:CreateRepository", "app")  # As the API does, after the change.
    registry.notes_of_audit.note(ana, "ecr:BatchGetImage", name)  # As the distribution API does.
    assert await write_notes(registry) == 1
    assert [(one.action, one.resource) for one in entries(registry)] == [
        ("ecr-public:CreateRepository", name),
        ("ecr-public:BatchGetImage", name),
    ]


async def test_a_flood_that_differs_is_folded(registry: Registry) -> None:
    notes = registry.notes_of_audit
    for number in range(3 * MAX_OF_STRANGERS):
        notes.note(stranger("203.0.113.9", "r"), "ecr:BatchGetImage", f"guess/{number}", "AccessDeniedException")
    for number in range(2 * MAX_NOTES):
        notes.note(ALICE, "ecr:BatchGetImage", f"guess/{number}", "AccessDeniedException")
    assert await write_notes(registry) <= MAX_NOTES + 2
    assert sum(one.count for one in entries(registry)) == 3 * MAX_OF_STRANGERS + 2 * MAX_NOTES


async def test_an_entry_that_was_changed_removed_or_put_in_is_told_of(registry: Registry) -> None:
    for tag in ("a", "b", "c", "d"):
        await push_image(registry, b"{}", tags=(tag,))
    assert verified(registry).faults == []

    def by_nobody(data: bytes) -> bytes:
        return encode_entry(msgspec.structs.replace(read_entry(data), who="nobody"))

    original = b""
    with registry.store.meta.read() as txn:
        original = registry.store.meta.audit.entries.get(txn, (3).to_bytes(8, "big")) or b""
    await registry.store.writer.write(put_raw(registry, 3, by_nobody))
    assert verified(registry).faults == ["entry 4 does not follow the entry before it: one of them was changed"]
    await registry.store.writer.write(put_raw(registry, 3, lambda _: None))
    assert verified(registry).faults == ["entry 3 is missing; the next one is 4"]
    await registry.store.writer.write(put_raw(registry, 3, lambda _: original))
    assert verified(registry).faults == []


async def test_who_writes_the_whole_chain_anew_cannot_sign_for_it(registry: Registry) -> None:
    for tag in ("a", "b", "c"):
        await push_image(registry, b"{}", tags=(tag,))
    assert (await sign_checkpoint(registry)) is not None
    assert await sign_checkpoint(registry) is None
    assert verified(registry).signed == 4

    def again(txn: WriteTxn) -> None:
        audit = registry.store.meta.audit
        for key in audit.entries.keys(txn, b"", limit=99):
            audit.entries.delete(txn, key)
        prev = bytes(32)
        for seq in range(1, 5):
            from_nobody = read_entry(encode_entry(read_entry(_entry(seq, prev))))
            audit.append(txn, seq, encode_entry(from_nobody))
            _, prev = audit.end(txn)

    await registry.store.writer.write(again)
    assert verified(registry).faults == ["entry 4 is not what its checkpoint says: it or one before it was changed"]


def _entry(seq: int, prev: bytes) -> bytes:
    from_template = msgspec.msgpack.encode((seq, seq << 16, "nobody", "", "ecr:PutImage", APP, "ok", "", prev))
    return bytes(from_template)


async def test_an_end_that_was_cut_off_is_missing(registry: Registry) -> None:
    for tag in ("a", "b", "c"):
        await push_image(registry, b"{}", tags=(tag,))
    await sign_checkpoint(registry)
    await registry.store.writer.write(put_raw(registry, 4, lambda _: None))
    assert verified(registry).faults == ["entry 4 is missing: a checkpoint signs for it"]


async def test_a_verification_in_steps_holds_the_chain_together(registry: Registry) -> None:
    for tag in ("a", "b", "c"):
        await push_image(registry, b"{}", tags=(tag,))
    second = entries(registry)[1]
    assert verified(registry, after=2, known=second.hash).faults == []
    assert verified(registry, after=2, known="00" * 32).faults != []


async def test_a_damaged_entry_is_told_of_and_keeps_nobody_from_writing(registry: Registry) -> None:
    for tag in ("a", "b"):
        await push_image(registry, b"{}", tags=(tag,))

    def damage(txn: WriteTxn) -> None:
        txn.put((3).to_bytes(8, "big"), os.urandom(60), db=registry.store.meta.audit.entries.db)

    await registry.store.writer.write(damage)
    await push_image(registry, b"{}", tags=("c",))
    assert verified(registry).faults == ["entry 3 cannot be read"]
    assert [one.seq for one in entries(registry)] == [1, 2, 4]


async def test_old_entries_go_up_to_a_checkpoint_and_the_chain_holds(registry: Registry, world: World) -> None:
    await push_image(registry, b"{}", tags=("a", "b"))
    await sign_checkpoint(registry)
    world.now += 401 * 86_400
    registry.author.clock.believe(world.now)
    assert await trim_audit(registry, Keeping(days=500, bytes=2**40)) == 0
    await push_image(registry, b"{}", tags=("c",))
    await sign_checkpoint(registry)
    assert await trim_audit(registry, KEEP) == 2
    assert [one.seq for one in entries(registry)] == [3]
    assert verified(registry).faults == []
    assert await trim_audit(registry, Keeping(days=1, bytes=2**40)) == 0


async def test_what_is_too_much_goes_as_well(registry: Registry) -> None:
    for _ in range(5):
        for number in range(60):
            registry.notes_of_audit.note(ALICE, "ecr:BatchGetImage", f"repository/{number}" + "x" * 200)
        await write_notes(registry)
        await sign_checkpoint(registry)
    assert await trim_audit(registry, Keeping(days=400, bytes=2**40)) == 0
    assert await trim_audit(registry, Keeping(days=400, bytes=40_000)) == 180
    assert verified(registry).faults == []


async def test_entries_are_found_by_what_they_say(registry: Registry, world: World) -> None:
    await push_image(registry, b"{}", tags=("a",))
    world.now += 100
    await push_image(registry, b"{}", tags=("b",))
    assert [one.seq for one in entries(registry, action="ecr:Put*")] == [2, 3]
    assert [one.seq for one in entries(registry, who="*user/bob")] == []
    found = list_audit(registry, ALICE, Wanted(since=world.now - 50), after=0, limit=10)
    assert ([one.seq for one in found.entries], found.at_end) == ([3], True)
    first = list_audit(registry, ALICE, Wanted(), after=0, limit=2)
    assert ([one.seq for one in first.entries], first.next, first.at_end) == ([1, 2], 2, False)
    assert [one.seq for one in last_audit(registry, ALICE, Wanted(), limit=2).entries] == [2, 3]
    assert [one.seq for one in last_audit(registry, ALICE, Wanted(action="ecr:Create*"), limit=2).entries] == [1]


async def test_who_may_not_read_the_audit_is_refused(registry: Registry) -> None:
    eve = Caller("*", "")
    for ask in (partial(list_audit, after=0, limit=1), partial(last_audit, limit=1)):
        with pytest.raises(Denied):
            ask(registry, eve, Wanted())
    with pytest.raises(Denied):
        verify_audit(registry, eve, after=0, known="")


async def test_a_node_that_stops_writes_down_what_is_left_and_signs_for_it(registry: Registry) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(audit_forever, registry, lambda: KEEP)
        await trio.testing.wait_all_tasks_blocked()
        registry.notes_of_audit.note(ALICE, "ecr:BatchGetImage", APP)
        nursery.cancel_scope.cancel()
    assert [one.action for one in entries(registry)] == ["ecr:BatchGetImage"]
    assert verified(registry).signed == 1
