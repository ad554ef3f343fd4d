"""Digests: three algorithms, lower-case hex of the exact length, and a short form that keeps them apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import DigestInvalid
from protocol.oci.digest import algorithm, digest, digest_of, hasher, packed, unpacked

ABC = {
    # FIPS 180-2, appendix B.1 and C.1; the blake3 of "abc" as its reference implementation has it.
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sha512": (
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    ),
    "blake3": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
}


@pytest.mark.parametrize("name", ABC)
def test_digest_of_abc(name: str) -> None:
    expected = f"{name}:{ABC[name]}"
    state = hasher(name)
    state.update(b"a")
    state.update(memoryview(b"bc"))
    assert digest_of(b"abc", name) == expected == f"{name}:{state.hexdigest()}"
    assert digest(expected) == expected
    assert algorithm(digest(expected)) == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing"),
        ("sha256:", "no hash"),
        (ABC["sha256"], "no algorithm"),
        ("sha256:../../x", "a path"),
        (f"sha256:{ABC['sha256'].upper()}", "upper case"),
        (f"SHA256:{ABC['sha256']}", "upper case"),
        (f"sha256:{ABC['sha256'][:-1]}", "short"),
        (f"sha256:{ABC['sha256']}\n", "a line end"),
        (f" sha256:{ABC['sha256']}", "a space"),
        ("sha256:" + "\0" * 64, "NUL"),
        ("sha256:" + "\uff11" * 64, "digits, but not ASCII"),
        (f"sha512:{ABC['sha256']}", "the length of another"),
        (f"md5:{'0' * 32}", "an algorithm that is broken"),
        ("sha256:baddigeststring", "from the conformance suite"),
    ],
)
def test_is_no_digest(text: str, why: str) -> None:
    with pytest.raises(DigestInvalid):
        digest(text)


@given(data=st.binary(), name=st.sampled_from(sorted(ABC)))
def test_the_short_form_is_the_digest(data: bytes, name: str) -> None:
    one = digest_of(data, name)
    assert unpacked(packed(one)) == one
    assert len(packed(one)) == (65 if name == "sha512" else 33)
    assert packed(one)[0] == {"sha256": 1, "sha512": 2, "blake3": 3}[name]  # On disk: never another.
