"""Whether the principals exist that a policy names: one who does not would get rights with his creation, unnoticed."""

from node.registry.registry import Registry
from protocol.auth.policy import Policy
from protocol.rules.texts import invalid


def require_principals(registry: Registry, policy: Policy, where: str = "PolicyText") -> None:
    """Raise ``ParameterInvalid`` about the parameter *where* if *policy* names a principal that does not exist.

    Those of other accounts are taken to: nobody here knows.
    """
    directory = registry.directory.get()
    for statement in policy.statements:
        for arn in sorted(statement.principals.arns if statement.principals else ()):
            if not directory.exists(arn):
                raise invalid(
                    where,
                    f"Invalid {policy.kind.value} policy provided",
                    f"{statement.place}.Principal: there is no {arn}",
                )
