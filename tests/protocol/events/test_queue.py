"""Nothing is skipped, each repository is told in order, none waits for another, and what is durable stays small."""

from collections.abc import Callable
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.events.queue import (
    LANE,
    MAX_BEHIND,
    MAX_SENDING,
    WINDOW,
    Behind,
    Checkpoint,
    Delivered,
    Outcome,
    Queue,
    Ref,
    Refused,
    SetAside,
    Unreached,
    outcome_of,
)
from protocol.oci.names import RepositoryName

A, B, C = RepositoryName("a"), RepositoryName("b"), RepositoryName("c")
NO = Refused("status 400", is_lasting=True)
LATER = Refused("status 503", is_lasting=False)
Journal = list[list[RepositoryName]]
"""What each record, from position 1 on, has events of."""


START = Checkpoint(0)


def queue(checkpoint: Checkpoint = START, *, attempts: int = 3, patience: float = 1000, now: float = 0) -> Queue:
    return Queue(checkpoint, attempts=attempts, patience=patience, draw=Random(0).random, now=now)


def read(journal: Journal, one: Queue) -> None:
    """Let the queue read whatever it wants."""
    while True:
        if (place := one.hungry) is not None:
            for position in range(place + 1, min(place + 20, one.read) + 1):
                one.feed_behind(position, events(journal, position), before=position - 1)
        elif one.wants_more and one.read < len(journal):
            one.feed(one.read + 1, events(journal, one.read + 1))
        else:
            return


def events(journal: Journal, position: int) -> list[tuple[RepositoryName, int]]:
    return [(name, index) for index, name in enumerate(journal[position - 1])]


def send(
    journal: Journal, one: Queue, answer: Callable[[RepositoryName, Ref], Outcome], *, now: float, steps: int = 10**6
) -> tuple[list[tuple[RepositoryName, Ref]], list[SetAside]]:
    """Send what is due at *now* until nothing is; return what was taken, in order, and what was set aside."""
    taken, aside = [], []
    for _ in range(steps):
        read(journal, one)
        due = one.due(now)
        if not due:
            break
        for name, ref in due:
            outcome = answer(name, ref)
            if isinstance(outcome, Delivered):
                taken.append((name, ref))
            over = one.ended(name, outcome, now=now, may_set_aside=True)
            if over is not None:
                aside.append(over)
    return taken, aside


def yes(_name: RepositoryName, _ref: Ref) -> Outcome:
    return Delivered()


def test_all_is_told_and_the_cursor_is_at_the_end() -> None:
    one, journal = queue(), [[A], [B, A], [], [C]]
    taken, _ = send(journal, one, yes, now=0)
    assert sorted(ref for _, ref in taken) == [Ref(1, 0), Ref(2, 0), Ref(2, 1), Ref(4, 0)]
    assert one.checkpoint(0) == Checkpoint(4)


def test_one_event_of_a_repository_at_a_time() -> None:
    one = queue()
    read([[A], [A], [B]], one)
    assert one.due(0) == [(A, Ref(1, 0)), (B, Ref(3, 0))]
    assert one.due(0) == []
    one.ended(A, Delivered(), now=0, may_set_aside=True)
    assert one.due(0) == [(A, Ref(2, 0))]


def test_a_repository_whose_events_are_refused_holds_up_no_other() -> None:
    one = queue(attempts=1000)
    journal = [[A], *([[B], [A]] * 3 * WINDOW)]
    taken, _ = send(journal, one, lambda name, _: NO if name == A else Delivered(), now=0)
    assert [ref.position for _, ref in taken] == [*range(2, len(journal) + 1, 2)]
    assert one.checkpoint(0) == Checkpoint(len(journal), (Behind(A, 0, 1, 0.0, 1),))
    assert one.waiting <= LANE + 1
    taken, _ = send(journal, one, yes, now=1000)
    assert [ref.position for _, ref in taken] == [1, *range(3, len(journal) + 1, 2)]
    assert one.checkpoint(1000) == Checkpoint(len(journal))


def test_a_lane_that_is_slow_is_passed_and_catches_up() -> None:
    one, journal = queue(), [[A]] * (LANE * 3) + [[B]]
    read(journal, one)
    assert {name for name, _ in one.due(0)} == {A, B}
    assert one.waiting == LANE + 1
    one.ended(B, Delivered(), now=0, may_set_aside=True)
    assert one.checkpoint(0) == Checkpoint(len(journal), (Behind(A, 0),))
    one.ended(A, Delivered(), now=0, may_set_aside=True)
    taken, _ = send(journal, one, yes, now=0)
    assert [ref.position for _, ref in taken] == [*range(2, LANE * 3 + 1)]


def test_a_lane_that_is_behind_goes_on_over_records_that_are_missing() -> None:
    one = queue(Checkpoint(9, (Behind(A, 3), Behind(B, 5))))
    assert one.hungry == 3
    one.feed_behind(7, [(A, 0), (B, 1)], before=3)
    assert one.due(0) == [(A, Ref(7, 0)), (B, Ref(7, 1))]
    for name in (A, B):
        one.ended(name, Delivered(), now=0, may_set_aside=True)
    assert one.hungry == 7
    one.feed_behind(9, (), before=7)
    assert one.checkpoint(0) == Checkpoint(9)


def test_a_receiver_that_fails_for_all_stops_the_reading() -> None:
    one = queue()
    journal = [[RepositoryName(f"r{number}")] for number in range(3 * (MAX_BEHIND + WINDOW))]
    taken, aside = send(journal, one, lambda *_: LATER, now=0)
    assert (taken, aside) == ([], [])
    assert one.read <= MAX_BEHIND + WINDOW
    assert len(one.checkpoint(0).behind) == MAX_BEHIND
    recovered, _ = send(journal, one, yes, now=1000)
    assert sorted(ref.position for _, ref in recovered) == [*range(1, len(journal) + 1)]


def test_a_receiver_that_is_not_reached_is_tried_by_one_lane() -> None:
    one, now, tries = queue(), 0.0, 0
    journal: Journal = [[RepositoryName(f"r{number}")] for number in range(2 * WINDOW)]
    read(journal, one)
    first = one.due(0)
    assert len(first) == MAX_SENDING
    for name, _ in first:
        one.ended(name, Unreached("no connection"), now=0, may_set_aside=True)
    while now < 86_400 * 3:
        later = one.deadline(now)
        assert 0 < later - now <= 300
        now = later
        (due,) = one.due(now)
        assert one.ended(due[0], Unreached("no connection"), now=now, may_set_aside=True) is None
        tries += 1
    assert 850 < tries < 1800  # 300 s apart, less the jitter.
    assert one.checkpoint(now) == Checkpoint(0)  # Nothing but the lag.
    taken, _ = send(journal, one, yes, now=now + 300)
    assert len(taken) == 2 * WINDOW


def test_a_refused_event_is_set_aside_after_its_attempts() -> None:
    one, now, journal = queue(attempts=3), 0.0, [[A], [A]]
    asides: list[SetAside] = []
    taken: list[tuple[RepositoryName, Ref]] = []
    times = []
    while not asides:
        times.append(now)
        taken, asides = send(journal, one, lambda _, ref: NO if ref.position == 1 else Delivered(), now=now)
        now = one.deadline(now)
    assert asides == [SetAside(Ref(1, 0), 3, "status 400")]
    assert taken == [(A, Ref(2, 0))]
    assert len(times) == 3
    assert 0.5 <= times[1] - times[0] <= 1
    assert 1 <= times[2] - times[1] <= 2


def test_a_failing_event_is_set_aside_after_its_time() -> None:
    one, now = queue(attempts=1, patience=1000), 0.0
    while True:
        _, asides = send([[A]], one, lambda *_: LATER, now=now)
        if asides:
            break
        now = one.deadline(now)
    assert 1000 <= now <= 1300
    assert asides[0].reason == "status 503"


def test_errors_do_not_count_as_refusals() -> None:
    one, now = queue(attempts=2), 0.0
    for _ in range(5):
        send([[A]], one, lambda *_: LATER, now=now)
        now = one.deadline(now)
    assert send([[A]], one, lambda *_: NO, now=now) == ([], [])
    assert len(send([[A]], one, lambda *_: NO, now=one.deadline(now))[1]) == 1


def test_nothing_is_set_aside_where_there_is_no_room() -> None:
    one = queue(attempts=1)
    read([[A]], one)
    one.due(0)
    assert one.ended(A, NO, now=0, may_set_aside=False) is None
    assert one.due(1) == [(A, Ref(1, 0))]


def test_retry_after_is_kept_to() -> None:
    one = queue()
    read([[A]], one)
    one.due(0)
    one.ended(A, outcome_of(503, retry_after=120), now=0, may_set_aside=True)
    assert one.due(119.9) == []
    assert one.deadline(0) == 120
    assert one.due(120) == [(A, Ref(1, 0))]


def test_what_was_tried_before_a_restart_counts() -> None:
    one, journal = queue(attempts=3), [[A], [B]]
    send(journal, one, lambda name, _: NO if name == A else Delivered(), now=100)
    kept = one.checkpoint(190)
    assert kept == Checkpoint(2, (Behind(A, 0, 1, 60.0, 1),))
    again = queue(kept, attempts=2, now=7)
    _, asides = send(journal, again, lambda *_: NO, now=7)
    assert asides == [SetAside(Ref(1, 0), 2, "status 400")]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Delivered()),
        (204, Delivered()),
        (301, Refused("status 301: redirects are not followed", is_lasting=True)),
        (400, Refused("status 400", is_lasting=True, retry_after=5)),
        (410, Refused("status 410", is_lasting=True, retry_after=5)),
        (429, Refused("status 429", is_lasting=False, retry_after=5)),
        (408, Refused("status 408", is_lasting=False, retry_after=5)),
        (500, Refused("status 500", is_lasting=False, retry_after=5)),
    ],
)
def test_what_an_answer_means(status: int, expected: Outcome) -> None:
    assert outcome_of(status, retry_after=5) == expected


def test_nobody_is_left_alone_for_days() -> None:
    assert outcome_of(503, retry_after=1e9) == Refused("status 503", is_lasting=False, retry_after=3600)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([A, B, C]), max_size=3), max_size=200),
    st.integers(0, 2**32),
    st.integers(1, 40),
)
def test_after_any_crashes_all_was_told_in_order(journal: Journal, seed: int, crashes: int) -> None:
    """A receiver that fails at random, a node that dies at random and goes on from its last checkpoint."""
    random, now = Random(seed), 0.0
    told: dict[RepositoryName, list[Ref]] = {A: [], B: [], C: []}
    kept = Checkpoint(0)

    def answer(name: RepositoryName, ref: Ref) -> Outcome:
        if random.random() < 0.3:
            return LATER if random.random() < 0.5 else Unreached("no connection")
        told[name].append(ref)
        return Delivered()

    for life in range(crashes + 1):
        one = queue(kept, patience=inf, now=now)
        is_last = life == crashes
        for _ in range(10**5 if is_last else random.randint(0, 40)):
            send(journal, one, answer, now=now, steps=random.randint(0, 5))
            if random.random() < 0.5:
                kept = one.checkpoint(now)
                if is_last and kept == Checkpoint(len(journal)):
                    break
            later = one.deadline(now)
            now = now + 1 if later == inf else later
    assert kept == Checkpoint(len(journal))
    for name, refs in told.items():
        first_times = list(dict.fromkeys(refs))
        wanted = [
            Ref(position, index)
            for position in range(1, len(journal) + 1)
            for index, one_name in enumerate(journal[position - 1])
            if one_name == name
        ]
        assert first_times == wanted
