"""What policies may ask of a request: its condition keys, in lower case, as ``conditions`` wants them.

A key that means nothing for a request is absent: conditions with ``IfExists`` and ``Null`` are about that. What only
the use case knows (``aws:RequestTag/k``, ``ecr:AccountSetting``) comes on top of these.

Source: IAM user guide, "AWS global condition context keys"; Service authorization reference, "Condition keys for Amazon
Elastic Container Registry".
"""

from collections.abc import Mapping

from protocol.auth.caller import Caller
from protocol.auth.names import RegistryName
from protocol.moment import rfc3339

TIMES = frozenset({"aws:currenttime", "aws:epochtime"})
"""Keys whose values change by themselves."""


def request_keys(caller: Caller, registry: RegistryName, now: float) -> dict[str, tuple[str, ...]]:
    """Return the keys that say who asks, from where, how and when; *now* is in seconds since 1970, UTC."""
    keys: dict[str, tuple[str, ...]] = {
        "aws:principaltype": (_kind(caller),),
        "aws:securetransport": ("true" if caller.is_secure else "false",),
        "aws:currenttime": (rfc3339(int(now * 1000), with_ms=False),),
        "aws:epochtime": (str(int(now)),),
        "aws:requestedregion": (registry.region,),
        "aws:resourceaccount": (registry.account,),
        "aws:userid": (_user_id(caller),),
    }
    if caller.address:
        keys["aws:sourceip"] = (caller.address,)
    if caller.account:
        keys["aws:principalarn"] = (principal_of(caller.arn),)
        keys["aws:principalaccount"] = (caller.account,)
    if caller.account not in {"", registry.account}:
        keys["aws:sourceaccount"] = (caller.account,)
    if caller.user_name and ":user/" in caller.arn:
        keys["aws:username"] = (caller.user_name,)
    keys |= {f"aws:principaltag/{key.lower()}": (value,) for key, value in caller.tags}
    return keys


def resource_keys(tags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the keys that say which tags the resource has; ECR's own names for them and the global ones."""
    return {
        f"{service}:resourcetag/{key.lower()}": (value,)
        for key, value in tags.items()
        for service in ("aws", "ecr", "ecr-public")
    }


def principal_of(arn: str) -> str:
    """Return the ARN of the principal behind *arn*: the role of a session, else itself."""
    start, is_session, rest = arn.partition(":assumed-role/")
    if not is_session:
        return arn
    return f"{start.replace(':sts:', ':iam:', 1)}:role/{rest.rpartition('/')[0]}"


def _kind(caller: Caller) -> str:
    if not caller.account:
        return "Anonymous"
    if caller.arn.endswith(":root"):
        return "Account"
    return "AssumedRole" if ":assumed-role/" in caller.arn else "User"


def _user_id(caller: Caller) -> str:
    return caller.user_id or caller.account or "anonymous"
