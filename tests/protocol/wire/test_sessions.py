"""Two hellos come to one agreement, and two sessions to the same survivor, on both sides."""

from itertools import product

import msgspec
import pytest

from protocol.auth.names import Account, NodeId, NodeName, Region, RegistryName
from protocol.errors import PeerFault
from protocol.wire.messages import Hello
from protocol.wire.redial import LAST, LEAST, Redial
from protocol.wire.sessions import Standing, agree, newer_stays

REGISTRY = RegistryName(Account("111111111111"), Region("eu-west-1"))
A, B = NodeName(REGISTRY, NodeId("a" * 16)), NodeName(REGISTRY, NodeId("b" * 16))
OURS = Hello(2, 4, A, b"i" * 16, b"b" * 8, 1_000, ("image", "tag"), ("x", "y"))
THEIRS = Hello(3, 9, B, b"i" * 16, b"c" * 8, 1_500, ("tag", "weather"), ("y",))


def test_the_highest_common_version_is_spoken() -> None:
    agreement = agree(OURS, THEIRS, certified=B)
    assert (agreement.version, agreement.ahead_ms) == (4, 500)
    assert (agreement.kinds, agreement.topics) == (frozenset({"tag"}), frozenset({"y"}))
    assert agree(THEIRS, OURS, certified=A).version == 4


@pytest.mark.parametrize(
    ("theirs", "certified", "says"),
    [
        (msgspec.structs.replace(THEIRS, low=5), B, "none in common"),
        (msgspec.structs.replace(THEIRS, low=1, high=1), B, "none in common"),
        (THEIRS, A, "says that it is"),
        (msgspec.structs.replace(THEIRS, name=A), A, "our own name"),
    ],
)
def test_a_hello_that_is_refused(theirs: Hello, certified: NodeName, says: str) -> None:
    with pytest.raises(PeerFault, match=says):
        agree(OURS, theirs, certified=certified)


def test_both_sides_keep_the_same_session_in_whatever_order_they_see_them() -> None:
    """Each session as (who dialled, that side's boot, the other side's boot)."""
    for dialler_1, dialler_2 in product("ab", repeat=2):

        def seen(dialler: str, by: str) -> Standing:
            return Standing(dialler == by, b"x")

        by_a = newer_stays(seen(dialler_1, "a"), seen(dialler_2, "a"), ours=A.node, theirs=B.node)
        by_b = newer_stays(seen(dialler_1, "b"), seen(dialler_2, "b"), ours=B.node, theirs=A.node)
        assert by_a == by_b
        if dialler_1 != dialler_2:  # Those that cross on the way are seen in another order.
            crossed = newer_stays(seen(dialler_2, "b"), seen(dialler_1, "b"), ours=B.node, theirs=A.node)
            assert by_a != crossed
            assert by_a == (dialler_2 == "a")
        else:
            assert by_a


def test_a_peer_that_started_anew_has_no_use_for_the_old_session() -> None:
    assert newer_stays(Standing(True, b"x"), Standing(False, b"y"), ours=A.node, theirs=B.node)


def test_delays_grow_and_a_good_session_resets_them() -> None:
    redial = Redial(lambda: 1.0)
    assert [redial.after_failure() for _ in range(7)] == [2, 4, 8, 16, 32, LAST, LAST]
    assert redial.after_session(5) == LAST  # Cut soon: as good as a failure.
    assert redial.after_session(3600) == 2
    assert redial.after_failure() == 2
    assert Redial(lambda: 0.0).after_failure() >= LEAST
    assert (redial.first(has_lower_id=True), redial.first(has_lower_id=False)) == (0, 2)
