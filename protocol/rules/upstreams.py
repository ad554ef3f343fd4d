"""Upstream registries that a pull-through rule can name, by their URLs.

A registry of the federation is named as one of Amazon's, ``ACCOUNT.dkr.ecr.REGION.amazonaws.com``: account and region
are its name, wherever its nodes are.

Source: Amazon ECR API reference, ``CreatePullThroughCacheRule``; user guide, "Sync an upstream registry".
"""

import re
from typing import Literal, TypeAlias, get_args

import msgspec

from protocol.auth.arn import partition
from protocol.auth.names import Account, Region, RegistryName
from protocol.errors import UpstreamUnsupported, ValidationFailed

Kind: TypeAlias = Literal[
    "ecr",
    "ecr-public",
    "quay",
    "k8s",
    "docker-hub",
    "github-container-registry",
    "azure-container-registry",
    "gitlab-container-registry",
    "chainguard",
]

KINDS: tuple[Kind, ...] = get_args(Kind)
_HOSTS: dict[str, Kind] = {
    "public.ecr.aws": "ecr-public",
    "quay.io": "quay",
    "registry.k8s.io": "k8s",
    "registry-1.docker.io": "docker-hub",
    "ghcr.io": "github-container-registry",
    "registry.gitlab.com": "gitlab-container-registry",
    "cgr.dev": "chainguard",
}
_NEEDS_CREDENTIALS = frozenset(
    {
        "docker-hub",
        "github-container-registry",
        "azure-container-registry",
        "gitlab-container-registry",
        "chainguard",
    }
)
_AZURE = re.compile(r"[a-z0-9]{1,63}\.azurecr\.io", re.ASCII)
_ECR = re.compile(r"([0-9]{12})\.dkr\.ecr\.([0-9a-z-]{2,25})\.amazonaws\.com(?:\.cn)?", re.ASCII)


class Upstream(msgspec.Struct, frozen=True):
    """One upstream registry."""

    kind: Kind
    url: str
    registry: RegistryName | None = None  # Where it is one of the federation, or one of Amazon's.


def upstream_at(url: str, kind: Kind | None = None) -> Upstream:
    """Return the upstream at *url*, or raise ``UpstreamUnsupported``; with *kind* it has to be of that kind."""
    found = _HOSTS.get(url) or ("azure-container-registry" if _AZURE.fullmatch(url) else None)
    named = _ECR.fullmatch(url)
    if named is not None:
        upstream = Upstream("ecr", url, RegistryName(Account(named[1]), Region(named[2])))
    elif found is not None:
        upstream = Upstream(found, url)
    else:
        raise UpstreamUnsupported(
            f"The upstream registry '{url[:256]}' is not supported; use {', '.join(_HOSTS)}, "
            "NAME.azurecr.io or ACCOUNT.dkr.ecr.REGION.amazonaws.com"
        )
    if kind is not None and kind != upstream.kind:
        raise UpstreamUnsupported(f"The upstream registry '{url}' is {upstream.kind}, not {kind}")
    return upstream


def upstream_of(registry: RegistryName) -> Upstream:
    """Return a registry of the federation as an upstream."""
    end = "amazonaws.com.cn" if partition(registry.region) == "aws-cn" else "amazonaws.com"
    return Upstream("ecr", f"{registry.account}.dkr.ecr.{registry.region}.{end}", registry)


def check_access(upstream: Upstream, credential: str, role: str, own: RegistryName) -> None:
    """Raise ``ValidationFailed`` where *upstream* cannot be asked with what is given; empty texts are nothing."""
    if upstream.kind in _NEEDS_CREDENTIALS and not credential:
        raise ValidationFailed(f"credentialArn is required for the upstream registry {upstream.kind}")
    if upstream.registry is not None and upstream.registry.account != own.account and not role:
        raise ValidationFailed("customRoleArn is required for an upstream registry of another account")
    if upstream.registry == own:
        raise ValidationFailed("An upstream registry cannot be the registry itself")
    if credential and credential.split(":")[3:5] != [own.region, own.account]:
        raise ValidationFailed(
            f"The secret of credentialArn has to be in region {own.region} and account {own.account}"
        )
