"""Whatever is written wherever, seen by whomever, in whatever order: all come to the same state, and the right one.

What is right is worked out a second time here, slowly, from all records and from what each writer had seen.
"""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.sync.entries import ImageDelete, ImagePut, RepositoryDelete, RepositoryPut, TagPut
from protocol.sync.fingerprint import Bucket, entry_hash
from protocol.sync.tags import TagDot, rank, shown_history
from tests.protocol.sync.federation import IMAGES, REPOSITORIES, TAGS, Node, State, Written

EPOCH = 1_700_000_000.0
Step = tuple[int, int, str, int, int, bool]
"""Who; with whom; does what; in which repository; with which image, tag or setting; on an immutable tag."""

DEEDS = ["push", "push", "push untagged", "sync", "sync", "sync", "delete tag", "delete image", "put", "delete"]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from(DEEDS),
        st.integers(0, 1),
        st.integers(0, 1),
        st.booleans(),
    ),
    max_size=24,
)


def play(count: int, steps: list[Step]) -> list[Node]:
    """Let *count* nodes do *steps*. Syncing takes the next record of one other writer: nothing keeps causes in order."""
    nodes = [Node(f"n{n}", skew=n * 7.0) for n in range(count)]
    for now, (who, whom, deed, repository, which, frozen) in enumerate(steps, int(EPOCH)):
        node, other, name = nodes[who % count], nodes[whom % count], REPOSITORIES[repository]
        match deed:
            case "push":
                node.push(name, IMAGES[which], [TAGS[0]], frozen, now)
            case "push untagged":
                node.push(name, IMAGES[which], [], frozen, now)
            case "delete tag":
                node.delete_tag(name, TAGS[0], now)
            case "delete image":
                node.delete_image(name, IMAGES[which], now)
            case "put":
                node.put_settings(name, "IMMUTABLE" if frozen else "", now)
            case "delete":
                node.delete_repository(name, now)
            case "sync":
                for written in other.journal:
                    if written.record.dot not in node.seen:
                        node.take(written.record, now)
                        break
    return nodes


def settle(nodes: list[Node]) -> list[Written]:
    """Let each node take all that it lacks, and return all records."""
    journal = [written for node in nodes for written in node.journal]
    for node in nodes:
        for written in journal:
            if written.record.dot not in node.seen:
                node.take(written.record, EPOCH + 1000)
    return journal


def killed(journal: list[Written], name: str, put: Written) -> bool:
    """Whether a delete of the repository had seen *put*."""
    return any(
        isinstance(entry, RepositoryDelete) and entry.key.repository == name and put.record.dot in written.seen
        for written in journal
        for entry in written.record.entries
    )


def tag_values(journal: list[Written], name: str, tag: str) -> list[tuple[Written, TagDot]]:
    return [
        (written, TagDot(written.record.dot, entry.key.life, written.record.hlc, entry.value))
        for written in journal
        for entry in written.record.entries
        if isinstance(entry, TagPut) and (entry.key.repository, entry.key.tag) == (name, tag)
    ]


@settings(max_examples=300, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS, seed=st.integers(0, 2**32))
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


@settings(max_examples=300, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
def test_an_image_is_there_while_a_push_is_left_that_no_delete_saw(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    for name in REPOSITORIES:
        for image in IMAGES:
            deletes = [
                written
                for written in journal
                for entry in written.record.entries
                if isinstance(entry, ImageDelete) and (entry.key.repository, entry.key.digest) == (name, image)
            ]
            left = {
                written.record.dot
                for written in journal
                for entry in written.record.entries
                if isinstance(entry, ImagePut)
                and (entry.key.repository, entry.key.digest) == (name, image)
                and not killed(journal, name, written)
                and not any(written.record.dot in delete.seen for delete in deletes)
            }
            state = nodes[0].state.images.get((name, image))
            dots = {dot.dot for dot in state.dots} if state else set()
            assert dots == {dot for dot in left if not any(o.node == dot.node and o.seq > dot.seq for o in left)}


@settings(max_examples=300, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
def test_a_tag_is_its_greatest_value_that_none_overwrote_knowingly(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    for name in REPOSITORIES:
        values = tag_values(journal, name, TAGS[0])
        counting = [
            value
            for written, value in values
            if not killed(journal, name, written)
            and not any(value.dot in other.seen and rank(over) > rank(value) for other, over in values)
        ]
        state = nodes[0].state.tags.get((name, TAGS[0]))
        assert (state.current if state else None) == max(counting, key=rank, default=None)


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
def test_no_write_is_lost_unseen(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    state = nodes[0].state
    for name in REPOSITORIES:
        where = (name, TAGS[0])
        shown = shown_history(state.tags.get(where), state.history.get(where, set()))
        written = {v for w, v in tag_values(journal, name, TAGS[0]) if not killed(journal, name, w)}
        assert set(shown) == written


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
def test_a_deleted_tag_stays_so_but_for_a_put_that_the_delete_did_not_see(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    for name in REPOSITORIES:
        state = nodes[0].state.tags.get((name, TAGS[0]))
        for written, value in tag_values(journal, name, TAGS[0]):
            if value.value.digest is None and state and state.current and state.current.value.digest:
                assert state.current.dot not in written.seen


@settings(max_examples=200, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS)
def test_a_repository_is_put_while_a_put_is_left_that_no_delete_saw(count: int, steps: list[Step]) -> None:
    nodes = play(count, steps)
    journal = settle(nodes)
    for name in REPOSITORIES:
        left = [
            (written.record.hlc, written.record.node, entry.value.settings)
            for written in journal
            for entry in written.record.entries
            if isinstance(entry, RepositoryPut) and entry.key.repository == name and not killed(journal, name, written)
        ]
        state = nodes[0].state.repositories.get(name)
        assert (state is not None and state.is_put) == bool(left)
        expected = [values for *_, values in sorted(left, key=lambda one: one[:2]) if values]
        assert (state.settings() if state else {}) == (expected[-1] if expected else {})


@settings(max_examples=100, deadline=None)
@given(count=st.integers(2, 4), steps=STEPS, seed=st.integers(0, 2**32))
def test_sums_kept_step_by_step_are_those_of_the_state(count: int, steps: list[Step], seed: int) -> None:
    records = [written.record for written in settle(play(count, steps))]
    Random(seed).shuffle(records)
    state, kept, hashes = State(), Bucket(), {}
    for record in records:
        state.apply(record)
        for key in state.repositories.keys() | state.images.keys() | state.tags.keys() | hashes.keys():
            row = state.repositories.get(key) or state.images.get(key) or state.tags.get(key)
            new = entry_hash(repr(key).encode(), row)
            kept, hashes[key] = kept.replace(hashes.get(key), new), new
    whole = Bucket()
    for one in hashes.values():
        whole = whole.replace(None, one)
    assert kept == whole
