"""Whatever is written wherever, seen by whomever, in whatever order: all come to the same state, and the right one.

What is right is worked out a second time here, slowly, from all records and from what each writer had seen.
"""

from random import Random
from typing import TypeAlias

from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.sync.entries import ImageDelete, ImagePut, RepositoryDelete, RepositoryPut, TagPut
from protocol.sync.fingerprint import Bucket, entry_hash
from protocol.sync.tags import TagDot, rank, shown_history
from tests.protocol.sync.federation import IMAGES, NAME, TAG, Node, State, Written

EPOCH = 1_700_000_000.0
Step: TypeAlias = tuple[int, int, str, int, bool]
"""Who; with whom; does what; with which image; on an immutable tag, or with other settings."""

DEEDS = ["push"] * 4 + ["sync"] * 6 + ["push untagged", "delete tag", "delete tag", "delete image", "put", "delete"]
STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(DEEDS), st.integers(0, 1), st.booleans()),
    min_size=15,
    max_size=50,
)


UNSEEN: list[Step] = [
    (0, 0, "push", 0, False),
    (1, 0, "sync", 0, False),
    (1, 1, "push", 1, False),  # Overwrites the first push knowingly.
    (2, 1, "sync", 0, False),
    (2, 2, "delete", 0, False),  # Sees the second push and not the first, whose tag must not come back.
]


def play(count: int, steps: list[Step]) -> list[Node]:
    """Let *count* nodes do *steps*, one a second."""
    nodes = [Node(f"n{n}", skew=n * 7.0) for n in range(count)]
    for now, step in enumerate(steps, int(EPOCH)):
        act(nodes[step[0] % count], nodes[step[1] % count], step, now)
    return nodes


def act(node: Node, other: Node, step: Step, now: float) -> None:
    _, _, deed, which, flag = step
    image = IMAGES[which]
    match deed:
        case "push":
            node.push(NAME, image, [TAG], flag, now)
        case "push untagged":
            node.push(NAME, image, [], flag, now)
        case "delete tag":
            node.delete_tag(NAME, TAG, now)
        case "delete image":
            node.delete_image(NAME, image, now)
        case "put":
            node.put_settings(NAME, "IMMUTABLE" if flag else "", now)
        case "delete":
            node.delete_repository(NAME, now)
        case _:  # The next record of one other writer: nothing keeps causes before their effects.
            new = [written.record for written in other.journal if written.record.dot not in node.seen]
            for record in new[:1]:
                node.take(record, now)


def settle(nodes: list[Node]) -> list[Written]:
    """Let each node take all that it lacks, and return all records."""
    journal = [written for node in nodes for written in node.journal]
    for node in nodes:
        for written in journal:
            if written.record.dot not in node.seen:
                node.take(written.record, EPOCH + 1000)
    return journal


def killed(journal: list[Written], put: Written) -> bool:
    """Whether a delete of the repository had seen *put*."""
    return any(
        isinstance(entry, RepositoryDelete) and put.record.dot in written.seen
        for written in journal
        for entry in written.record.entries
    )


def tag_values(journal: list[Written]) -> list[tuple[Written, TagDot]]:
    return [
        (written, TagDot(written.record.dot, entry.key.life, written.record.hlc, entry.value))
        for written in journal
        for entry in written.record.entries
        if isinstance(entry, TagPut)
    ]


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS, seed=st.integers(0, 2**32))
@example(count=3, steps=UNSEEN, seed=0)
def test_any_order_and_repetition_gives_the_same_state(count: int, steps: list[Step], seed: int) -> None:
    nodes = play(count, steps)
    journal, random = settle(nodes), Random(seed)
    for _ in range(3):
        records = [written.record for written in journal]
        records += random.sample(records, random.randint(0, len(records)))
        random.shuffle(records)
        state = State()
        for record in records:
            state.apply(record)
        assert all(node.state == state for node in nodes)


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
def test_an_image_is_there_while_a_push_is_left_that_no_delete_saw(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    for image in IMAGES:
        puts, deletes = (
            [w for w in journal for e in w.record.entries if isinstance(e, kind) and e.key.digest == image]
            for kind in (ImagePut, ImageDelete)
        )
        left = {
            put.record.dot
            for put in puts
            if not killed(journal, put) and not any(put.record.dot in delete.seen for delete in deletes)
        }
        state = nodes[0].state.images.get((NAME, image))
        dots = {dot.dot for dot in state.dots} if state else set()
        assert dots == {dot for dot in left if not any(o.node == dot.node and o.seq > dot.seq for o in left)}


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
@example(count=3, steps=UNSEEN)
def test_a_tag_is_its_greatest_value_that_none_overwrote_knowingly(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    values = tag_values(journal)
    counting = [
        value
        for written, value in values
        if not killed(journal, written)
        and not any(value.dot in other.seen and rank(over) > rank(value) for other, over in values)
    ]
    state = nodes[0].state.tags.get((NAME, TAG))
    assert (state.current if state else None) == max(counting, key=rank, default=None)


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
def test_what_a_node_writes_counts_there_at_once(count: int, steps: list[Step]) -> None:
    for node in play(count, steps):
        for written in node.journal:
            for entry in written.record.entries:
                match entry:
                    case TagPut(_, value):
                        current = written.after.tags[NAME, TAG].current
                        assert current is not None
                        assert current.value == value
                    case ImagePut(key):
                        assert written.after.images[NAME, key.digest].shown is not None
                    case ImageDelete(key):
                        assert not written.after.images[NAME, key.digest].dots
                    case RepositoryDelete():
                        assert not any(image.dots for image in written.after.images.values())
                        assert not any(tag.values for tag in written.after.tags.values())
                        assert not written.after.repositories[NAME].is_put
                    case _:
                        assert written.after.repositories[NAME].is_put


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
@example(count=3, steps=UNSEEN)
def test_no_value_of_a_tag_is_lost_unseen(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    state = nodes[0].state
    shown = shown_history(state.tags.get((NAME, TAG)), state.history.get((NAME, TAG), set()))
    assert set(shown) == {value for written, value in tag_values(journal) if not killed(journal, written)}


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
def test_what_a_delete_of_a_tag_saw_never_comes_back(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    state = nodes[0].state.tags.get((NAME, TAG))
    if state and state.current and state.current.value.digest:
        for written, value in tag_values(journal):
            assert value.value.digest or state.current.dot not in written.seen


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
def test_a_repository_is_put_while_a_put_is_left_that_no_delete_saw(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    left = [
        (written.record.hlc, written.record.node, entry.value.settings)
        for written in journal
        for entry in written.record.entries
        if isinstance(entry, RepositoryPut) and not killed(journal, written)
    ]
    state = nodes[0].state.repositories.get(NAME)
    assert (state is not None and state.is_put) == bool(left)
    expected = [values for *_, values in sorted(left, key=lambda one: one[:2]) if values]
    assert (state.settings() if state else {}) == (expected[-1] if expected else {})


@settings(max_examples=100, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS, seed=st.integers(0, 2**32))
def test_sums_kept_step_by_step_are_those_of_the_state(count: int, steps: list[Step], seed: int) -> None:
    records = [written.record for written in settle(play(count, steps))]
    Random(seed).shuffle(records)
    state, kept = State(), Bucket()
    hashes: dict[bytes, bytes | None] = {}
    for record in records:
        state.apply(record)
        rows = {repr(key).encode(): row for key, row in state.rows()}
        for key in rows.keys() | hashes.keys():
            new = entry_hash(key, rows.get(key))
            kept, hashes[key] = kept.replace(hashes.get(key), new), new
    whole = Bucket()
    for one in hashes.values():
        whole = whole.replace(None, one)
    assert kept == whole
