"""Images: a push that a delete did not see survives it; one that it saw never comes back."""

from protocol.oci.names import RepositoryName
from protocol.sync.entries import ImageDelete, ImageKey, ImagePut, ImageValue
from protocol.sync.images import ImageDot, ImageState, Tombstone, bury_image, merge_image, seen_dots
from protocol.sync.vector import Dead, Dot, Mark, vector
from tests.protocol.sync.federation import IMAGES, image_value

KEY = ImageKey(RepositoryName("app"), 1, IMAGES[0])
VALUE = image_value(IMAGES[0])
A1, A2, B1 = Dot("a", bytes(16), 1), Dot("a", bytes(16), 2), Dot("b", bytes(16), 1)


def put(state: ImageState | None, dot: Dot, hlc: int, value: ImageValue = VALUE) -> ImageState | None:
    return merge_image(state, ImagePut(KEY, value), dot, hlc)


def delete(state: ImageState | None, *dots: Dot, hlc: int = 9) -> ImageState | None:
    entry = ImageDelete(KEY, tuple(Mark(dot, 1) for dot in dots))
    return merge_image(state, entry, Dot("d", bytes(16), hlc), hlc)


def test_the_push_with_the_latest_clock_is_shown_then_the_greater_node() -> None:
    for first, second in (((A1, 5), (B1, 6)), ((B1, 6), (A1, 5)), ((A1, 6), (B1, 6))):
        state = put(put(None, *first), *second)
        assert state is not None
        assert state.shown is not None
        assert state.shown.dot == B1


def test_a_put_that_comes_after_its_delete_is_deleted() -> None:
    assert put(delete(None, A1), A1, 5) == delete(put(None, A1, 5), A1) == ImageState((), (Tombstone(A1, 1, 9),))


def test_a_push_that_the_delete_did_not_see_survives() -> None:
    for state in (delete(put(put(None, A1, 5), B1, 6), A1), put(delete(None, A1), B1, 6)):
        assert state == ImageState((ImageDot(B1, 1, 6, VALUE),), (Tombstone(A1, 1, 9),))
    again = put(delete(put(None, A1, 5), A1), A2, 10)
    assert again == ImageState((ImageDot(A2, 1, 10, VALUE),), (Tombstone(A1, 1, 9),))


def test_a_delete_names_what_is_there() -> None:
    state = put(put(put(None, A1, 5), B1, 6), A2, 7)
    assert state is not None
    assert seen_dots(state) == (Mark(A2, 1), Mark(B1, 1))
    assert delete(state, A2, B1) == ImageState((), (Tombstone(A2, 1, 9), Tombstone(B1, 1, 9)))


def test_pushing_again_and_again_leaves_one_dot_and_one_tombstone() -> None:
    state: ImageState | None = None
    for n in range(1, 50):
        dot = Dot("a", bytes(16), n)
        state = delete(put(state, dot, n), dot, hlc=n)
    assert state == ImageState((), (Tombstone(Dot("a", bytes(16), 49), 1, 49),))


def test_the_latest_delete_of_a_dot_keeps_its_tombstone() -> None:
    assert delete(delete(None, A1, hlc=9), A1, hlc=7) == delete(delete(None, A1, hlc=7), A1, hlc=9)


def test_a_record_that_contradicts_itself_is_merged_alike_everywhere() -> None:
    other = ImageValue(1, "x", 1, bytes(32))
    assert put(put(None, A1, 5), A1, 5, other) == put(put(None, A1, 5, other), A1, 5)


def test_a_repository_delete_takes_what_it_saw_and_its_tombstones() -> None:
    dead = (Dead(1, vector([A1])),)
    state = delete(put(put(None, A1, 5), B1, 6), A1)
    assert state is not None
    assert bury_image(state, dead) == ImageState((ImageDot(B1, 1, 6, VALUE),))
    assert merge_image(None, ImagePut(KEY, VALUE), A1, 5, dead) is None
    assert merge_image(None, ImageDelete(KEY, (Mark(A1, 1),)), B1, 9, dead) is None
    later = ImagePut(ImageKey(KEY.repository, 2, KEY.digest), VALUE)
    assert merge_image(None, later, A1, 5, dead) == ImageState((ImageDot(A1, 2, 5, VALUE),))


def test_what_changes_nothing_is_the_same_object() -> None:
    state = put(None, A2, 5)
    assert state is not None
    assert put(state, A2, 5) is put(state, A1, 4) is bury_image(state, (Dead(1, vector([A1, B1])),)) is state
    gone = delete(state, A2)
    assert delete(gone, A1) is put(gone, A1, 4) is gone
