"""Passwords are hashed in turns: who was right before is not held up by those who guess, and nobody waits for long."""

from collections.abc import Callable

import pytest
import trio
import trio.testing

from node.registry.authentication.turns import AT_ONCE, WAITING, Turns, network_of
from protocol.errors import TooManyAttempts

HASH = 0.25  # Seconds that a turn is held.


class Door:
    """Where log-ins knock; each is noted when it is through: who, after how long, whether it had a turn."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.done: list[tuple[str, float, bool]] = []

    async def knock(self, who: str, name: str = "ana", address: str = "192.0.2.1", *, right: bool = False) -> None:
        start = trio.current_time()
        try:
            async with self.turns.turn(address, name, was_right=right) as failed:
                await trio.sleep(HASH)
                if who.startswith("wrong"):
                    failed()
        except TooManyAttempts:
            self.done.append((who, trio.current_time() - start, False))
        else:
            self.done.append((who, trio.current_time() - start, True))

    async def knocks(self, count: int, name_of: Callable[[int], str] = lambda _: "ana", *last: str) -> None:
        """Let *count* wrong ones knock at once, then *last*, and wait for all."""
        async with trio.open_nursery() as nursery:
            for at in range(count):
                nursery.start_soon(self.knock, f"wrong {at}", name_of(at))
            await trio.testing.wait_all_tasks_blocked()
            for one in last:
                nursery.start_soon(self.knock, one)

    def turns_of(self, who: str) -> list[float]:
        return [seconds for one, seconds, had_turn in self.done if one.startswith(who) and had_turn]


async def test_two_at_once_and_no_more(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    start = trio.current_time()
    await door.knocks(6, str)
    assert trio.current_time() - start == pytest.approx(6 / AT_ONCE * HASH)
    assert len(door.turns_of("wrong")) == 6


async def test_few_wait_and_the_others_are_told_at_once(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    await door.knocks(200, str)
    out = [seconds for _, seconds, had_turn in door.done if not had_turn]
    assert len(out) >= 200 - WAITING - AT_ONCE
    assert sum(seconds == 0 for seconds in out) >= 200 - WAITING - AT_ONCE


async def test_who_comes_after_a_heap_of_wrong_ones_is_next(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    await door.knocks(200, lambda _: "ana", "right")
    assert door.turns_of("right") == pytest.approx([2 * HASH])


async def test_who_was_right_before_goes_first_and_is_never_put_out(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(door.knock, "wrong", "x")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(lambda: door.knock("known", right=True))
        await trio.testing.wait_all_tasks_blocked()
        for at in range(100):
            nursery.start_soon(door.knock, f"wrong {at}", f"user {at}")
    assert door.turns_of("known") == pytest.approx([2 * HASH])


async def test_a_name_that_failed_often_from_an_address_has_a_turn_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = Door()
    for at in range(5):
        await door.knock(f"wrong {at}")
    start = trio.current_time()
    for at in range(3):
        await door.knock(f"wrong again {at}")
    assert trio.current_time() - start == pytest.approx(3 * (1 + HASH), abs=2 * HASH + 0.01)
    await door.knock("elsewhere", address="192.0.2.2")
    assert door.turns_of("elsewhere") == pytest.approx([HASH])
    await trio.sleep(600)
    await door.knock("later")
    assert door.turns_of("later") == pytest.approx([HASH])


async def test_an_address_that_fails_with_many_names_waits_behind_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = Door()
    for at in range(5):
        await door.knock(f"wrong {at}", f"user {at}")
    async with trio.open_nursery() as nursery:
        for at in range(4):
            nursery.start_soon(door.knock, f"wrong more {at}", f"another {at}")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(door.knock, "other", "bob", "192.0.2.2")
        await trio.testing.wait_all_tasks_blocked()
        for at in range(4):
            nursery.start_soon(door.knock, f"wrong last {at}", f"one more {at}")
    assert door.turns_of("other") == pytest.approx([2 * HASH])


async def test_whoever_stops_waiting_leaves_its_turn_to_others(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    for _ in range(20):
        with trio.move_on_after(0.1):
            await door.knocks(8, str)
    start = trio.current_time()
    await door.knocks(2)
    assert trio.current_time() - start == pytest.approx(HASH)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_a_network_of_ipv6_is_one_client(address: str, network: str) -> None:
    assert network_of(address) == network
