"""Who may assume a role by an identity token: what its trust policy says of issuers and of what they claim.

    "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"},
    "Condition": {"StringLike": {"token.actions.githubusercontent.com:sub": "repo:acme/app:*"}}

An issuer such as GitHub knows everyone. So a statement lets in only by the issuer's name, never by ``*``, and only if
it compares something that the token claims beside its audience: one that forgot to would give the role to whoever can
run a workflow.

Source: IAM user guide, "Create a role for OpenID Connect federation"; reliability.md S19.
"""

import msgspec

from protocol.auth.conditions import OPERATORS, Keys
from protocol.auth.decision import Asked, Decision, Named, decide_assumption
from protocol.auth.idtoken import Identity
from protocol.auth.policy import Policy, Statement
from protocol.auth.principals import Arn

WEB_IDENTITY = "sts:AssumeRoleWithWebIdentity"


def issuer_name(issuer: str) -> str:
    """Return what ARNs and condition keys call the issuer at a URL: the URL without its scheme."""
    return issuer.partition("://")[2]


def issuer_arn(account: str, issuer: str) -> Arn:
    """Return the ARN of the issuer at a URL."""
    return Arn(f"arn:aws:iam::{account}:oidc-provider/{issuer_name(issuer)}")


def claim_keys(identity: Identity) -> Keys:
    """Return what an identity token claims, as condition keys in lower case."""
    name = issuer_name(identity.issuer).lower()
    return {f"{name}:{claim.lower()}": values for claim, values in identity.claims.items()}


def decide_web_identity(account: str, role: str, trust: Named, identity: Identity, keys: Keys) -> Decision:
    """Return whether who an identity token is about may assume a role.

    Args:
        account: of the role.
        role: its ARN.
        trust: its trust policy.
        identity: what the verified token says.
        keys: what else is known of the request.
    """
    arn, name = issuer_arn(account, identity.issuer), issuer_name(identity.issuer).lower()
    asked = Asked(arn, "", WEB_IDENTITY, role, account, {**keys, **claim_keys(identity)})
    if trust.policy is not None:
        counting = tuple(one for one in trust.policy.statements if not one.allows or _is_bound(one, arn, name))
        trust = msgspec.structs.replace(trust, policy=Policy(trust.policy.kind, counting))
    return decide_assumption(asked, trust, ())


def _is_bound(statement: Statement, arn: str, name: str) -> bool:
    """Whether a statement names the issuer and compares something that it claims, other than the audience."""
    if statement.principals is None or statement.not_principals or arn not in statement.principals.federated:
        return False
    return any(
        test.key.startswith(f"{name}:")
        and test.key not in {f"{name}:aud", f"{name}:iss"}
        and test.operator in OPERATORS
        and not (OPERATORS[test.operator][1] or test.if_exists or test.each == "forallvalues")
        and all(text.text.strip("*?") for text in test.values)
        for test in statement.tests
    )
