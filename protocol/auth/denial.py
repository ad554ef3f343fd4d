"""What who is refused is told, in the words of ECR: tools match on the start of it, people read its end.

Source: IAM user guide, "Troubleshoot access denied error messages"; reports of the live service.
"""

from protocol.auth.decision import Asked, Decision, Why
from protocol.auth.policy import Kind

_BASED = {
    Kind.IDENTITY: "an identity-based policy",
    Kind.SESSION: "a session policy",
    Kind.REPOSITORY: "a resource-based policy",
    Kind.REGISTRY: "a resource-based policy",
}


def denial(asked: Asked, decision: Decision) -> str:
    """Return why *asked* is refused."""
    who = "anonymous" if asked.principal == "*" else asked.principal
    return (
        f"User: {who} is not authorized to perform: {asked.action} on resource: {asked.resource} "
        f"{_because(asked.action, decision)}"
    )


def _because(action: str, decision: Decision) -> str:
    match decision.why:
        case Why.EXPLICIT_DENY:
            return f"with an explicit deny in {_BASED.get(decision.kind or Kind.IDENTITY, 'a policy')}"
        case Why.NO_SESSION_ALLOW:
            return f"because no session policy allows the {action} action"
        case Why.NO_RESOURCE_ALLOW:
            return f"because no resource-based policy allows the {action} action"
        case Why.NO_SCOPE_ALLOW:
            return f"because the scope of its token does not allow the {action} action"
        case Why.UNREADABLE:
            return "because a policy that concerns it cannot be read"
        case _:
            return f"because no identity-based policy allows the {action} action"
