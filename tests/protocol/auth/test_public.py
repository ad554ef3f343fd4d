"""Public repositories have one name inside, whatever clients call them, and none of a private one is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.arn import repository_arn
from protocol.auth.names import RegistryName, account, region
from protocol.auth.public import (
    PublicPlace,
    action_on,
    inside,
    inside_path,
    is_open,
    public_name,
    public_repository,
    public_uri,
    spelled,
)
from protocol.errors import NameInvalid

ACCOUNT = "123456789012"
REGISTRY = RegistryName(account(ACCOUNT), region("eu-central-1"))
INSIDE = f"public/{ACCOUNT}/team/app"
PLAIN = PublicPlace()
PLACE = PublicPlace("acme", "gallery.example")
PORT = PublicPlace("", "gallery.example:8443")

HOSTS = st.sampled_from(("gallery.example", "GALLERY.example:443", "gallery.example:8443", "10.0.0.1:5000", "[::1]:80"))
PLACES = st.sampled_from((PLAIN, PLACE, PORT, PublicPlace("acme"), PublicPlace("acme", "[::1]")))
NAMES = st.from_regex(r"[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8})?(?:/[a-z0-9]{1,8}){0,3}", fullmatch=True)


@pytest.mark.parametrize(
    ("place", "host", "name", "expected"),
    [
        (PLAIN, "r:5000", f"public/{ACCOUNT}/team/app", INSIDE),
        (PLAIN, "r:5000", "team/app", "team/app"),
        (PLAIN, "r:5000", "public/acme/team/app", "public/acme/team/app"),  # Nobody's alias: no such repository.
        (PLACE, "r:5000", "public/acme/team/app", INSIDE),
        (PLACE, "r:5000", "acme/team/app", "acme/team/app"),  # Private, at the private host.
        (PLACE, "gallery.example", "acme/team/app", INSIDE),
        (PLACE, "Gallery.Example:443", "acme/team/app", INSIDE),
        (PLACE, "gallery.example", f"{ACCOUNT}/team/app", INSIDE),
        (PLACE, "gallery.example", f"public/{ACCOUNT}/team/app", INSIDE),  # As answers lead on.
        (PLACE, "gallery.example", "other/team/app", "public/other/team/app"),
        (PLACE, "gallery.example", "team", "public/team"),
        (PLACE, "gallery.example.evil", "acme/team/app", "acme/team/app"),
        (PORT, "gallery.example", f"{ACCOUNT}/team/app", f"{ACCOUNT}/team/app"),
        (PORT, "gallery.example:8443", f"{ACCOUNT}/team/app", INSIDE),
        (PublicPlace("acme", "[::1]"), "[::1]:5000", "acme/x", f"public/{ACCOUNT}/x"),
        (PublicPlace("acme", "[::1]"), "[::1]", "acme/x", f"public/{ACCOUNT}/x"),
    ],
)
def test_what_a_client_says_is_one_name_inside(place: PublicPlace, host: str, name: str, expected: str) -> None:
    assert inside(place, ACCOUNT, host, name) == expected
    assert inside_path(place, ACCOUNT, host, f"/v2/{name}/manifests/1") == f"/v2/{expected}/manifests/1"


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/", "/v2/_catalog", "/healthz", "/token", "/v3/acme/x/tags/list"])
def test_what_names_no_repository_is_left_alone(path: str) -> None:
    assert inside_path(PLACE, ACCOUNT, "gallery.example", path) == path


@given(PLACES, HOSTS, NAMES)
def test_what_a_client_is_told_leads_back_and_once_inside_a_name_stays(
    place: PublicPlace, host: str, name: str
) -> None:
    stored = public_repository(ACCOUNT, name)
    assert public_name(stored) == name
    assert inside(place, ACCOUNT, host, stored) == stored
    assert inside(place, ACCOUNT, host, spelled(place, ACCOUNT, host, stored)) == stored
    assert spelled(place, ACCOUNT, host, name) == name


@pytest.mark.parametrize(
    "name",
    [
        "public",
        "public/app",
        "publicity/123456789012/app",
        "public/12345678901/app",
        "public/1234567890123/app",
        "public/12345678901a/app",
        "public/123456789012",
        "app/public/123456789012/app",
        "public/\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff10\uff11\uff12/app",
    ],
)
def test_a_private_name_is_none_of_a_public_repository(name: str) -> None:
    assert public_name(name) is None
    assert not is_open("ecr:BatchGetImage", name)
    assert action_on("ecr:BatchGetImage", name) == "ecr:BatchGetImage"


def test_the_name_decides_the_service_of_an_action_and_an_arn() -> None:
    assert action_on("ecr:PutImage", INSIDE) == "ecr-public:PutImage"
    assert action_on("ecr:PutImage", "team/app") == "ecr:PutImage"
    assert action_on("ecr:DescribeRegistry", None) == "ecr:DescribeRegistry"
    assert action_on("ecr-public:DescribeImageTags", INSIDE) == "ecr-public:DescribeImageTags"
    assert action_on("iam:PassRole", INSIDE) == "iam:PassRole"
    assert repository_arn(REGISTRY, INSIDE) == f"arn:aws:ecr-public::{ACCOUNT}:repository/team/app"
    assert repository_arn(REGISTRY, "team/app") == f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/team/app"


def test_pulls_alone_are_everyones() -> None:
    assert all(is_open(f"ecr:{one}", INSIDE) for one in ("BatchGetImage", "GetDownloadUrlForLayer", "ListImages"))
    for action in ("ecr:PutImage", "ecr:BatchDeleteImage", "ecr:InitiateLayerUpload", "ecr:DescribeImages"):
        assert not is_open(action, INSIDE)
    assert not is_open("ecr:BatchGetImage", None)


def test_images_are_named_by_the_public_host_where_there_is_one() -> None:
    assert public_uri(PLAIN, ACCOUNT, "r:5000") == f"r:5000/public/{ACCOUNT}"
    assert public_uri(PLACE, ACCOUNT, "r:5000") == "gallery.example/acme"
    assert public_uri(PublicPlace("acme"), ACCOUNT, "r:5000") == "r:5000/public/acme"


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(NameInvalid):
        public_repository(ACCOUNT, "Team/App")
