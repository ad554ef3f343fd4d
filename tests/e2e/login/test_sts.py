"""Sessions: whose they are, who may have one, how far they reach and when they are over. Seen with boto3."""

import time
from contextlib import closing
from typing import Any

import pytest

from tests.e2e.ecr.calls import ACCOUNT, REGION, refused
from tests.e2e.login.conftest import LOG_IN, Node
from tests.e2e.login.principals import Key, allow, policy

ROLE = f"arn:aws:iam::{ACCOUNT}:role"


def test_everyone_is_told_who_he_is(either: Node) -> None:
    found = either.client("sts", either.bob).get_caller_identity()
    assert (found["Account"], found["Arn"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/bob")
    assert found["UserId"].startswith("AIDA")
    assert found["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_signed_url_tells_it_too(node: Node, method: str) -> None:
    sts = node.client("sts", node.bob)
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod=method)
    with closing(node.server.connect()) as connection:
        connection.request(method, url.removeprefix(node.server.url))
        assert f"<Account>{ACCOUNT}</Account>" in connection.getresponse().read().decode()


def session(answer: dict[str, Any]) -> tuple[Key, str]:
    credentials = answer["Credentials"]
    return Key(credentials["AccessKeyId"], credentials["SecretAccessKey"]), credentials["SessionToken"]


def test_a_role_is_assumed_by_whom_it_trusts_and_gives_its_own_rights_alone(node: Node) -> None:
    sts = node.client("sts", node.bob)
    answer = sts.assume_role(RoleArn=f"{ROLE}/builder", RoleSessionName="run-1", DurationSeconds=900)
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/builder/run-1"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    assert answer["Credentials"]["AccessKeyId"].startswith("ASIA")
    assert 850 < answer["Credentials"]["Expiration"].timestamp() - time.time() <= 900
    key, token = session(answer)
    found = node.client("sts", key, token).get_caller_identity()
    assert (found["Arn"], found["UserId"]) == (arn, answer["AssumedRoleUser"]["AssumedRoleId"])
    ecr = node.client("ecr", key, token)
    ecr.create_repository(repositoryName="team/assumed")
    assert refused(ecr.create_repository, repositoryName="other/assumed")["Code"] == "AccessDeniedException"
    assert arn in refused(ecr.create_repository, repositoryName="other/assumed")["Message"]


@pytest.mark.parametrize("name", ["nobody", "workflow"])
def test_a_role_that_does_not_trust_and_one_that_is_not_there_are_the_same(node: Node, name: str) -> None:
    sts = node.client("sts", node.bob)
    told = refused(sts.assume_role, RoleArn=f"{ROLE}/{name}", RoleSessionName="run-1")
    assert told["Code"] == "AccessDenied"
    assert told["Message"] == (
        f"User: arn:aws:iam::{ACCOUNT}:user/bob is not authorized to perform: sts:AssumeRole on resource: {ROLE}/{name}"
    )


def test_who_has_no_right_of_his_own_is_not_helped_by_his_account_being_trusted(node: Node) -> None:
    sts = node.client("sts", node.eve)
    assert refused(sts.assume_role, RoleArn=f"{ROLE}/builder", RoleSessionName="x1")["Code"] == "AccessDenied"


def test_the_policy_of_a_session_narrows_it(node: Node) -> None:
    sts = node.client("sts", node.bob)
    narrow = policy(allow(LOG_IN))
    key, token = session(sts.assume_role(RoleArn=f"{ROLE}/builder", RoleSessionName="run-2", Policy=narrow))
    ecr = node.client("ecr", key, token)
    ecr.get_authorization_token()
    told = refused(ecr.create_repository, repositoryName="team/narrow")
    assert told["Code"] == "AccessDeniedException"
    assert "no session policy allows" in told["Message"]


WRONG = [
    ({"Policy": "{"}, "MalformedPolicyDocument"),
    (
        {"Policy": policy({"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"})},
        "MalformedPolicyDocument",
    ),
    ({"DurationSeconds": 3601}, "ValidationError"),
    ({"RoleSessionName": "a/b"}, "ValidationError"),
    ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}]}, "ValidationError"),
]


@pytest.mark.parametrize(("given", "code"), WRONG)
def test_what_a_session_cannot_be_is_refused(node: Node, given: dict[str, Any], code: str) -> None:
    sts = node.client("sts", node.bob)
    wanted = {"RoleArn": f"{ROLE}/builder", "RoleSessionName": "run-3"} | given
    assert refused(sts.assume_role, **wanted)["Code"] == code


def test_a_user_has_a_session_of_its_own(node: Node) -> None:
    key, token = session(node.client("sts", node.bob).get_session_token(DurationSeconds=900))
    sts = node.client("sts", key, token)
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/bob"


def test_nothing_of_a_session_works_with_another_one(node: Node) -> None:
    sts = node.client("sts", node.bob)
    first, token = session(sts.get_session_token())
    second, other = session(sts.get_session_token())
    attempts = [
        (first, other, "InvalidClientTokenId"),
        (first, token[:-4] + "AAAA", "InvalidClientTokenId"),
        (first, None, "InvalidClientTokenId"),
        (Key(first.id, second.secret), token, "SignatureDoesNotMatch"),
        (Key("ASIA" + "A" * 16, first.secret), token, "InvalidClientTokenId"),
        (Key(node.bob.id, node.bob.secret), token, "InvalidClientTokenId"),
    ]
    for key, shown, code in attempts:
        told = refused(node.client("sts", key, shown).get_caller_identity)
        assert told["Code"] == code, (key.id, told)


UNKNOWN = Key("AKIAAAAAAAAAAAAAAAAA", "s" * 40)


def test_whoever_is_not_known_is_told_so_in_the_words_of_each_protocol(node: Node) -> None:
    assert refused(node.client("sts", UNKNOWN).get_caller_identity)["Code"] == "InvalidClientTokenId"
    assert refused(node.client("ecr", UNKNOWN).describe_repositories)["Code"] == "UnrecognizedClientException"
    wrong = Key(node.bob.id, "s" * 40)
    assert refused(node.client("sts", wrong).get_caller_identity)["Code"] == "SignatureDoesNotMatch"
    assert refused(node.client("ecr", wrong).describe_repositories)["Code"] == "InvalidSignatureException"
    assert refused(node.client("sts", None).get_caller_identity)["Code"] == "MissingAuthenticationToken"
    told = refused(node.client("ecr", None).describe_repositories)
    assert told["Code"] == "MissingAuthenticationTokenException"
    elsewhere = node.client("ecr", node.bob, region="us-east-1")
    assert refused(elsewhere.describe_repositories)["Code"] == "InvalidSignatureException"


def test_an_operation_that_there_is_not_is_refused(node: Node) -> None:
    told = refused(node.client("sts", node.bob).get_access_key_info, AccessKeyId="A" * 16)
    assert told["Code"] == "InvalidAction"


def test_a_workload_assumes_a_role_by_the_token_of_its_issuer(node: Node) -> None:
    now = int(time.time())
    claims = {"iss": node.provider.url, "aud": "entrepot", "sub": "repo:acme/app", "iat": now, "exp": now + 300}
    token = node.provider.keys.token(claims)
    sts = node.client("sts", None)
    wanted = {"RoleArn": f"{ROLE}/workflow", "RoleSessionName": "github", "WebIdentityToken": token}
    answer = sts.assume_role_with_web_identity(**wanted)
    assert answer["SubjectFromWebIdentityToken"] == "repo:acme/app"
    assert answer["Provider"] == node.provider.url
    key, session_token = session(answer)
    ecr = node.client("ecr", key, session_token)
    ecr.create_repository(repositoryName="team/by-workflow")
    other = node.provider.keys.token(claims | {"sub": "repo:evil/app"})
    told = refused(sts.assume_role_with_web_identity, **wanted | {"WebIdentityToken": other})
    assert (told["Code"], told["Message"]) == (
        "AccessDenied",
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
    )
    told = refused(sts.assume_role_with_web_identity, **wanted | {"RoleArn": f"{ROLE}/builder"})
    assert told["Code"] == "AccessDenied"
    late = node.provider.keys.token(claims | {"exp": now - 100})
    told = refused(sts.assume_role_with_web_identity, **wanted | {"WebIdentityToken": late})
    assert told["Code"] == "ExpiredTokenException"
    assert REGION not in told["Message"]
