"""A password is known by its hash, at the costs that stand beside it."""

from protocol.auth.passwords import SALT, hash_password, is_outdated, is_password

KEPT = hash_password("correct horse", bytes(SALT))


def test_the_right_one_is_known_and_no_other() -> None:
    assert is_password("correct horse", KEPT)
    assert not is_password("correct horse ", KEPT)
    assert not is_password("", KEPT)


def test_salt_makes_two_of_one() -> None:
    assert hash_password("correct horse", b"1" * SALT) != KEPT


def test_what_was_hashed_at_other_costs_is_known_and_is_to_be_hashed_anew() -> None:
    assert not is_outdated(KEPT)
    old = "scrypt$4$8$1$AAAAAAAAAAAAAAAAAAAAAA==$PlRofMOE3uRkE9qkDMM7A4n8YFbJXEBVNeTCWCvXYmM="
    assert is_outdated(old)
    assert not is_password("correct horse", old)
