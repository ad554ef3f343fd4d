"""References and pages: one meaning for each text, and links that lead back to us."""

import pytest

from protocol.errors import DigestInvalid, ParameterInvalid, TagInvalid
from protocol.oci.digest import digest_of
from protocol.oci.reference import MAX_PAGE, is_digest, next_link, page, percent_encoded, reference, single


@pytest.mark.parametrize(("text", "found"), [("1.27", False), ("_x", False), (digest_of(b""), True)])
def test_is_a_reference(text: str, found: bool) -> None:
    assert reference(text) == text
    assert is_digest(reference(text)) == found


@pytest.mark.parametrize("text", ["", "-x", ".x", "a/b", "a" * 129, "x\n", "\u0661"])
def test_is_no_tag(text: str) -> None:
    with pytest.raises(TagInvalid):
        reference(text)


@pytest.mark.parametrize("text", [":", "sha256:", "latest:x", "sha256:baddigeststring"])
def test_is_no_digest(text: str) -> None:
    with pytest.raises(DigestInvalid):
        reference(text)


@pytest.mark.parametrize(
    ("n", "limit"),
    [
        ([], MAX_PAGE),
        (["0"], 0),
        (["007"], 7),
        (["1000"], 1000),
        (["1001"], MAX_PAGE),
        ([str(2**63)], MAX_PAGE),
        (["1" + "0" * 400], MAX_PAGE),
    ],
)
def test_how_long_a_page_is(n: list[str], limit: int) -> None:
    assert page(n, []).limit == limit


@pytest.mark.parametrize("n", [[""], ["-1"], ["1_0"], ["\uff11\uff12"], ["1e9"], ["+5"], [" 5"], ["5", "5"]])
def test_is_no_length(n: list[str]) -> None:
    with pytest.raises(ParameterInvalid):
        page(n, [])


def test_where_a_page_begins() -> None:
    assert [page([], last).last for last in ([], [""], ["library/nginx"])] == ["", "", "library/nginx"]
    for last in (["a", "b"], ["x\n"], ["\u00e9"], ["a" * 257]):
        with pytest.raises(ParameterInvalid):
            page([], last)


def test_a_parameter_comes_once() -> None:
    assert (single("digest", []), single("digest", ["x"])) == (None, "x")
    with pytest.raises(ParameterInvalid, match="2 times"):
        single("digest", ["x", "x"])


def test_the_link_to_the_next_page() -> None:
    link = next_link("/v2/library/nginx/referrers/sha256:ab", [("artifactType", "a/b+c"), ("last", 'x>"')])
    assert link == '</v2/library/nginx/referrers/sha256%3Aab?artifactType=a%2Fb%2Bc&last=x%3E%22>; rel="next"'
    assert percent_encoded("a-._~\u00e9") == "a-._~%C3%A9"
