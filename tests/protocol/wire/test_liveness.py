"""A silent peer is pinged, then given up; who was late itself grants the peer its time."""

import pytest

from protocol.wire.liveness import Answered, Effect, Event, GiveUp, Heard, Liveness, SendPing, Wake

QUIET: list[tuple[float, Event, list[Effect]]] = [
    (0, Wake(), [SendPing(1)]),  # At once, to measure the way.
    (0.2, Answered(1), []),
    (5.1, Wake(), []),  # Early: not an error.
    (5.2, Wake(), [SendPing(2)]),
    (5.3, Heard(), []),
    (10.3, Wake(), [SendPing(3)]),
    (15.3, Wake(), [SendPing(4)]),
    (20.3, Wake(), [GiveUp(15)]),
]
BUSY: list[tuple[float, Event, list[Effect]]] = [
    (0, Wake(), [SendPing(1)]),
    *((float(second), Heard(), list[Effect]()) for second in range(1, 30)),
    (30, Wake(), [SendPing(2)]),  # The round trip is measured even where there is always something to hear.
]
LATE: list[tuple[float, Event, list[Effect]]] = [
    (0, Wake(), [SendPing(1)]),
    (60, Wake(), [SendPing(2)]),  # We slept: the peer is not to blame.
    (65, Wake(), [SendPing(3)]),
    (70, Wake(), [GiveUp(15)]),
]


@pytest.mark.parametrize("script", [QUIET, BUSY, LATE])
def test_script(script: list[tuple[float, Event, list[Effect]]]) -> None:
    machine = Liveness(now=0)
    for now, event, effects in script:
        assert machine.handle(event, now=now) == effects, now


def test_the_round_trip_is_smoothed_and_old_answers_measure_nothing() -> None:
    machine = Liveness(now=0)
    assert machine.round_trip is None
    machine.handle(Wake(), now=0)
    machine.handle(Answered(1), now=0.1)
    assert machine.round_trip == pytest.approx(0.1)
    machine.handle(Wake(), now=machine.deadline)
    sent = 5.1
    machine.handle(Answered(1), now=sent + 3)
    assert machine.round_trip == pytest.approx(0.1)
    machine.handle(Answered(2), now=sent + 0.9)
    assert machine.round_trip == pytest.approx(0.2)


def test_a_wake_at_the_deadline_is_never_for_nothing() -> None:
    machine, now = Liveness(now=0), 0.0
    for _ in range(3):
        now = machine.deadline
        assert machine.handle(Wake(), now=now)
        machine.handle(Heard(), now=now + 0.5)
