"""Which repositories are scanned, and when: the scanning configuration of a registry.

A filter without a star is for every name that contains it; one with stars has to match the whole name. BASIC knows
SCAN_ON_PUSH alone; under ENHANCED a repository may be scanned all the time, and that rule goes before the other. What
no rule matches is scanned when somebody asks.

Source: Amazon ECR user guide, "Scan images for software vulnerabilities", "Filters to choose which repositories are
scanned"; API reference, ``PutRegistryScanningConfiguration``.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from protocol.auth.patterns import matches, pattern
from protocol.errors import ValidationFailed
from protocol.oci.names import RepositoryName

Frequency: TypeAlias = Literal["SCAN_ON_PUSH", "CONTINUOUS_SCAN", "MANUAL"]
ScanType: TypeAlias = Literal["BASIC", "ENHANCED"]

_ALLOWED: Mapping[ScanType, tuple[Frequency, ...]] = {
    "BASIC": ("SCAN_ON_PUSH",),
    "ENHANCED": ("CONTINUOUS_SCAN", "SCAN_ON_PUSH"),  # The one that goes before the other first.
}


class ScanFilter(msgspec.Struct, frozen=True, rename="camel"):
    """The repositories whose names it fits."""

    filter: str
    filter_type: Literal["WILDCARD"]


class ScanRule(msgspec.Struct, frozen=True, rename="camel"):
    """How often the repositories are scanned that one of the filters fits."""

    scan_frequency: Frequency
    repository_filters: tuple[ScanFilter, ...]


class ScanningConfiguration(msgspec.Struct, frozen=True, rename="camel"):
    """What a registry scans. msgspec encodes it as ECR shows it."""

    scan_type: ScanType = "BASIC"
    rules: tuple[ScanRule, ...] = ()


class RepositoryScanning(msgspec.Struct, frozen=True):
    """What that comes to for one repository."""

    frequency: Frequency
    scan_on_push: bool
    filters: tuple[ScanFilter, ...] = ()  # Those that fit it.


def scanning_configuration(given: Mapping[str, Any]) -> ScanningConfiguration:
    """Return the configuration that a call gives, whose shape was checked; or raise ``ValidationFailed``."""
    configuration = msgspec.convert(dict(given), ScanningConfiguration)
    allowed = _ALLOWED[configuration.scan_type]
    for rule in configuration.rules:
        if rule.scan_frequency not in allowed:
            raise ValidationFailed(
                f"scanFrequency {rule.scan_frequency} is not for scanType {configuration.scan_type}, which has "
                f"{' and '.join(allowed)}"
            )
    if len({rule.scan_frequency for rule in configuration.rules}) != len(configuration.rules):
        raise ValidationFailed("Each rule has a scanFrequency of its own: put the filters into one rule")
    return configuration


def scanning_of(
    configuration: ScanningConfiguration, name: RepositoryName, *, scan_on_push: bool
) -> RepositoryScanning:
    """Return how the repository *name* is scanned.

    Args:
        configuration: of the registry.
        name: of the repository.
        scan_on_push: the repository's own setting of old, which counts under BASIC where no rule fits.
    """
    for frequency in _ALLOWED[configuration.scan_type]:
        for rule in configuration.rules:
            fitting = tuple(one for one in rule.repository_filters if fits(one.filter, name))
            if rule.scan_frequency == frequency and fitting:
                return RepositoryScanning(frequency, True, fitting)
    if scan_on_push and configuration.scan_type == "BASIC":
        return RepositoryScanning("SCAN_ON_PUSH", True)
    return RepositoryScanning("MANUAL", False)


def fits(wanted: str, name: RepositoryName) -> bool:
    """Whether a filter is for the repository *name*."""
    return matches(pattern(wanted), name) if "*" in wanted else wanted in name
