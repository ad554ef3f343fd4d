"""Names of repositories as ARNs.

Source: Service authorization reference, "Resource types defined by Amazon Elastic Container Registry" and "... Public".
"""

import re

from blake3 import blake3

from protocol.auth.names import RegistryName
from protocol.auth.public import SERVICE as PUBLIC_SERVICE
from protocol.auth.public import public_arn, public_name
from protocol.errors import ParameterInvalid

_KEY_CONTEXT = "entrepot 2026 default key of a registry v1"
_PARTITIONS = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
)
_ARN = re.compile(
    r"arn:[a-z-]{1,32}:(ecr(?:-public)?):([0-9a-z-]{0,25}):([0-9]{12}):repository/([!-~]{1,256})", re.ASCII
)


def partition(region: str) -> str:
    """Return the partition that *region* lies in; ``aws`` for one that Amazon does not have."""
    return next((name for start, name in _PARTITIONS if region.startswith(start)), "aws")


def repository_arn(registry: RegistryName, name: str) -> str:
    """Return the ARN of the repository *name*, a public one's in its own service."""
    shown = public_name(name)
    if shown is not None:
        return public_arn(registry.account, shown)
    return f"arn:{partition(registry.region)}:ecr:{registry.region}:{registry.account}:repository/{name}"


def default_key_arn(registry: RegistryName) -> str:
    """Return the ARN of the key under which repositories with KMS encryption are kept that name none."""
    drawn = blake3(f"{registry}".encode(), derive_key_context=_KEY_CONTEXT).hexdigest(16)
    key = f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-8{drawn[17:20]}-{drawn[20:]}"
    return f"arn:{partition(registry.region)}:kms:{registry.region}:{registry.account}:key/{key}"


def repository_of_arn(arn: str, registry: RegistryName, service: str = "ecr") -> str | None:
    """Return what *service* calls the repository of *registry* that *arn* names; ``None``: it is of another one.

    Raises:
        ParameterInvalid: it is not the ARN of a repository of this service.
    """
    found = _ARN.fullmatch(arn)
    if found is None or found[1] != service:
        raise ParameterInvalid("Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")
    name = found[4]
    own = public_arn(registry.account, name) if service == PUBLIC_SERVICE else repository_arn(registry, name)
    return name if arn == own else None
