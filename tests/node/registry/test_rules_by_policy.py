"""Rules by policy: who may write which, where the policies are real ones."""

import json

import pytest

from node.registry.accountsettings import get_account_setting, put_account_setting
from node.registry.authority import Authority
from node.registry.identity.granting import put_inline_policy
from node.registry.identity.principals import create_principal
from node.registry.registry import Registry, Settings
from node.registry.resourcepolicies import set_repository_policy
from node.registry.settings import create_repository
from node.registry.templates import TemplateChange, create_template
from node.registry.uploads import begin_upload
from protocol.auth.caller import Caller, root_of
from protocol.errors import Denied, NameUnknown, ParameterInvalid, ValidationFailed
from protocol.oci.names import RepositoryName
from tests.node.registry.test_resourcepolicies import LIFECYCLE, POLICY
from tests.node.registry.world import ACCOUNT, APP

OPERATOR = Caller(root_of(ACCOUNT), ACCOUNT)
ARNS = f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/templates"


@pytest.fixture
def ruled(registry: Registry) -> Registry:
    """A registry whose policies are those that are stored in it."""
    registry.policies = Authority(registry)
    return registry


async def bob(registry: Registry, *statements: tuple[str, str], condition: object = None) -> Caller:
    """A user who may do each action on each resource."""
    made = await create_principal(registry, OPERATOR, "user", "bob")
    document = [
        {"Effect": "Allow", "Action": action, "Resource": resource, **({"Condition": condition} if condition else {})}
        for action, resource in statements
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": document})
    await put_inline_policy(registry, OPERATOR, "user", "bob", "own", text)
    return Caller(made.arn, ACCOUNT, "192.0.2.1", user_id=made.id, user_name="bob")


async def test_a_right_may_be_for_one_setting_of_the_account(ruled: Registry) -> None:
    condition = {"StringEquals": {"ecr:AccountSetting": "BLOB_MOUNTING"}}
    caller = await bob(ruled, ("ecr:PutAccountSetting", "*"), ("ecr:GetAccountSetting", "*"), condition=condition)
    await put_account_setting(ruled, caller, "BLOB_MOUNTING", "DISABLED")
    assert get_account_setting(ruled, caller, "BLOB_MOUNTING") == "DISABLED"
    with pytest.raises(Denied, match="is not authorized to perform: ecr:PutAccountSetting"):
        await put_account_setting(ruled, caller, "REGISTRY_POLICY_SCOPE", "V2")
    with pytest.raises(Denied):  # Before it is said that there is none.
        get_account_setting(ruled, caller, "NOPE")
    with pytest.raises(ValidationFailed):
        get_account_setting(ruled, OPERATOR, "NOPE")


async def test_a_template_reaches_as_far_as_the_rights_of_its_writer(ruled: Registry) -> None:
    template = "ecr:CreateRepositoryCreationTemplate"
    caller = await bob(
        ruled, (template, "*"), ("ecr:CreateRepository", f"{ARNS}/team/*"), ("ecr:PutLifecyclePolicy", f"{ARNS}/team/*")
    )
    change = TemplateChange(("CREATE_ON_PUSH",), settings={"lifecycle-policy": LIFECYCLE})
    await create_template(ruled, caller, "team", change)
    await create_template(ruled, caller, "team/below", change)
    for prefix in ("te", "other", "ROOT"):
        with pytest.raises(Denied, match="ecr:CreateRepository"):
            await create_template(ruled, caller, prefix, change)
    with pytest.raises(Denied, match="ecr:SetRepositoryPolicy"):
        await create_template(ruled, caller, "team/app", TemplateChange(("REPLICATION",), settings={"policy": POLICY}))
    with pytest.raises(Denied, match="iam:PassRole"):
        await create_template(ruled, caller, "team/app", TemplateChange(("REPLICATION",), role=ROLE))


async def test_who_may_push_and_not_create_creates_nothing_by_a_template(ruled: Registry) -> None:
    ruled.settings = Settings(create_on_push="templates")
    await create_template(ruled, OPERATOR, "ROOT", TemplateChange(("CREATE_ON_PUSH",)))
    push, create = "ecr:InitiateLayerUpload", "ecr:CreateRepository"
    caller = await bob(ruled, (push, "*"), (create, f"{ARNS}/team/*"))
    with pytest.raises(Denied, match="ecr:CreateRepository"):
        await begin_upload(ruled, caller, RepositoryName("other/app"), "sha256")
    await begin_upload(ruled, caller, APP, "sha256")


async def test_without_a_template_who_may_push_is_told_that_there_is_no_repository(ruled: Registry) -> None:
    ruled.settings = Settings(create_on_push="templates")
    caller = await bob(ruled, ("ecr:*", "*"))
    with pytest.raises(NameUnknown):
        await begin_upload(ruled, caller, APP, "sha256")


async def test_the_operator_of_the_machine_cannot_be_locked_out_and_root_afar_can(ruled: Registry) -> None:
    await create_repository(ruled, OPERATOR, APP, {})
    lockout = '{"Statement":[{"Effect":"Deny","Principal":"*","Action":"ecr:*"}]}'
    with pytest.raises(ParameterInvalid, match="keep you"):
        await set_repository_policy(ruled, Caller(root_of(ACCOUNT), ACCOUNT, "192.0.2.1"), APP, lockout, force=False)
    await set_repository_policy(ruled, OPERATOR, APP, lockout, force=False)
    await set_repository_policy(ruled, OPERATOR, APP, POLICY, force=False)  # And back.
