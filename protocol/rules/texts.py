"""Documents that come as text in a call of the API: read in full, or refused in the words that ECR has for it.

Scripts and Terraform look for those words; what is wrong, and where, stands behind them.
"""

from protocol.auth.policy import Kind, Policy, read_policy
from protocol.errors import ParameterInvalid, PolicyInvalid, RuleInvalid
from protocol.rules.lifecycle import LifecyclePolicy, lifecycle_policy


def invalid(where: str, why: str, detail: str = "") -> ParameterInvalid:
    """Return the refusal of the parameter *where*, with a *detail* behind what ECR says."""
    text = f"Invalid parameter at '{where}' failed to satisfy constraint: '{why}'"
    return ParameterInvalid(f"{text} ({detail})" if detail else text)


def repository_policy(text: str, where: str = "PolicyText") -> Policy:
    """Return the policy of a repository that *text* is, or raise ``ParameterInvalid``."""
    return _policy(text, Kind.REPOSITORY, where)


def registry_policy(text: str) -> Policy:
    """Return the policy of a registry that *text* is, or raise ``ParameterInvalid``."""
    return _policy(text, Kind.REGISTRY, "PolicyText")


def repository_lifecycle(text: str, where: str = "LifecyclePolicyText") -> LifecyclePolicy:
    """Return the lifecycle policy that *text* is, or raise ``ParameterInvalid``."""
    try:
        return lifecycle_policy(text.encode("utf-8", "surrogatepass"))
    except RuleInvalid as error:
        raise invalid(where, f"Lifecycle policy validation failure: {error}") from None


def _policy(text: str, kind: Kind, where: str) -> Policy:
    try:
        return read_policy(text.encode("utf-8", "surrogatepass"), kind)
    except PolicyInvalid as error:
        raise invalid(where, f"Invalid {kind.value} policy provided", str(error)) from None
