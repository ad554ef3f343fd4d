"""Which images are signed when they are pushed, and by which profiles: the signing configuration of a registry.

Every rule that is for a repository counts, each with its own profile; a rule without filters is for every repository.

Source: Amazon ECR user guide, "Managed signing"; API reference, ``PutSigningConfiguration``.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from protocol.auth.names import Region
from protocol.errors import ValidationFailed
from protocol.oci.names import RepositoryName
from protocol.rules.scanning import fits


class SigningFilter(msgspec.Struct, frozen=True, rename="camel"):
    """The repositories whose names it fits."""

    filter: str
    filter_type: Literal["WILDCARD_MATCH"]


class SigningRule(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Sign what is pushed to these repositories with this profile."""

    signing_profile_arn: str
    repository_filters: tuple[SigningFilter, ...] | None = None


class SigningConfiguration(msgspec.Struct, frozen=True):
    """All rules. msgspec encodes it as ECR shows it."""

    rules: tuple[SigningRule, ...]


def signing_configuration(given: Mapping[str, Any], region: Region) -> SigningConfiguration:
    """Return the configuration that a call gives, whose shape was checked; or raise ``ValidationFailed``."""
    configuration = msgspec.convert(dict(given), SigningConfiguration)
    for rule in configuration.rules:
        found = rule.signing_profile_arn.split(":")[3]
        if found != region:
            raise ValidationFailed(f"The signing profile {rule.signing_profile_arn} is not in region {region}")
    return configuration


def profiles_for(configuration: SigningConfiguration, name: RepositoryName) -> tuple[str, ...]:
    """Return the ARNs of the profiles that sign images of the repository *name*, each once."""
    found = [rule.signing_profile_arn for rule in configuration.rules if _is_for(rule, name)]
    return tuple(dict.fromkeys(found))


def _is_for(rule: SigningRule, name: RepositoryName) -> bool:
    return rule.repository_filters is None or any(fits(one.filter, name) for one in rule.repository_filters)
