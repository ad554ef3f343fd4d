"""Two nodes administrate apart and meet: in whatever order their entries come, both know the same principals."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.registry.identity.directory import Directory, Principal, principal_of
from node.registry.identity.principals import create_principal
from node.registry.registers import put_register
from node.registry.registry import Registry
from node.store.table import WriteTxn
from protocol.auth.caller import Act
from protocol.auth.principals import PrincipalKind
from protocol.errors import ParameterInvalid
from protocol.sync.entries import RegisterPut, RegisterValue, Setting, register_name
from protocol.sync.registers import RegisterField, RegisterState, merge_register
from protocol.sync.vector import Dot
from tests.node.registry.world import ALICE

ACCOUNT = "111111111111"
KINDS: tuple[PrincipalKind, ...] = ("user", "group", "role")

FIELDS = st.dictionaries(
    st.sampled_from(["name", "created", "disabled", "group:ID1", "policy:own", "tag:team"]),
    st.none() | st.integers(0, 3) | st.sampled_from(["ana", "bob"]),
    max_size=4,
)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[PrincipalKind, str, dict[str, Setting], bool, Dot, int]]:
    """What two nodes wrote: each with its own dots and a clock that grows."""
    entries = []
    for node in ("a" * 16, "b" * 16):
        clock = 0
        for seq in range(1, draw(st.integers(0, 6)) + 1):
            clock += draw(st.integers(1, 3))
            kind = draw(st.sampled_from(KINDS))
            unique_id = f"{kind}-{draw(st.integers(1, 3))}"
            fields: dict[str, Setting] = {**draw(FIELDS)}
            entries.append((kind, unique_id, fields, draw(st.integers(0, 9)) == 0, Dot(node, bytes(16), seq), clock))
    return entries


Entries = Sequence[tuple[PrincipalKind, str, dict[str, Setting], bool, Dot, int]]


def known(entries: Entries) -> Directory:
    states: dict[tuple[PrincipalKind, str], RegisterState] = {}
    for kind, unique_id, fields, ended, dot, hlc in entries:
        put = RegisterPut(register_name(kind, unique_id), RegisterValue(fields, ended, "arn"))
        states[kind, unique_id] = merge_register(states.get((kind, unique_id)), put, dot, hlc).state
    principals = [
        principal_of(ACCOUNT, kind, unique_id, state.values())
        for (kind, unique_id), state in states.items()
        if not state.ended and "name" in state.values()
    ]
    return Directory(ACCOUNT, principals, [], [])


def everyone(directory: Directory) -> list[Principal]:
    return [one for kind in KINDS for one in directory.principals(kind)]


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_principals(entries: Entries, random: Random) -> None:
    shuffled = [*entries, *entries[:2]]  # And some of them twice.
    random.shuffle(shuffled)
    assert everyone(known(shuffled)) == everyone(known(entries))


@given(histories())
def test_each_name_is_one_principals_and_found_by_id_name_and_arn_alike(entries: Entries) -> None:
    directory = known(entries)
    found = everyone(directory)
    assert len({(one.kind, one.name) for one in found}) == len(found)
    for one in found:
        assert directory.by_id(one.id) == directory.by_name(one.kind, one.name) == directory.by_arn(one.arn) == one
        others = [rival for rival in directory.all_named(one.kind, one.name) if rival.id != one.id]
        assert all((one.created, one.id) < (rival.created, rival.id) for rival in others), "the oldest has the name"
        assert all(directory.by_id(rival.id) is None for rival in others if rival.id != one.id)


async def test_the_directory_is_the_same_one_until_a_principal_changes(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "ana")
    before = registry.directory.get()
    await put_register(registry, Act(ALICE, "ecr:PutRegistryPolicy"), "document", "registry-policy", {"text": "{}"})
    assert registry.directory.get() is before
    await create_principal(registry, ALICE, "user", "bob")
    after = registry.directory.get()
    assert [one.name for one in after.principals("user")] == ["ana", "bob"]
    assert after.by_name("user", "ana") is before.by_name("user", "ana"), "what did not change was not made anew"


async def test_what_an_aborted_transaction_wrote_is_not_believed(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "ana")
    before = registry.directory.get()

    def run(txn: WriteTxn) -> None:
        state = RegisterState((RegisterField("name", "mallory", 1, Dot("a" * 16, bytes(16), 1), "arn"),))
        registry.store.meta.registers.put(txn, "user", "AIDAX", state)
        assert registry.principals.read(txn).by_id("AIDAX") is not None
        raise ParameterInvalid("not this time")

    with pytest.raises(ParameterInvalid):
        await registry.store.writer.write(run)
    with registry.store.meta.read() as txn:
        assert [one.name for one in registry.principals.read(txn).principals("user")] == ["ana"]
    assert registry.directory.get().principals("user") == before.principals("user")
