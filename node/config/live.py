"""Which settings take effect while a node runs, and what a new configuration changes.

A setting is in the list when something puts it in force; ``node.daemon.reload`` is where that happens. Every other one
needs a restart, and a reload says so rather than to pass over it.
"""

from typing import Any

import msgspec

from node.config.settings import AuditSettings, Config, LimitSettings, QuotaSettings, ScrubSettings

LIVE = frozenset(
    (
        "listen.tls_certificate",  # Another file, and what is in it; not whether TLS is spoken at all.
        "listen.tls_key",
        "registry.create_on_push",
        "registry.missing_content",
        "registry.manifest_limit",
        "registry.read_only",
        "encryption.default",
        "auth.token_lifetime",
        "auth.refresh_lifetime",
        "auth.authorization_lifetime",
        *(f"quotas.{name}" for name in QuotaSettings.__struct_fields__),
        "public.alias",  # Not the host, of which the guard against foreign hosts is told at the start.
        *(f"limits.{name}" for name in LimitSettings.__struct_fields__),
        *(f"audit.{name}" for name in AuditSettings.__struct_fields__),
        *(f"scrub.{name}" for name in ScrubSettings.__struct_fields__),
        "log.level",
        "log.format",
        "log.access",
    )
)
"""Dotted keys."""


class Changes(msgspec.Struct, frozen=True):
    """What a configuration would change of another one; dotted keys, in their order."""

    live: tuple[str, ...]
    restart: tuple[str, ...]


def changes(old: Config, new: Config) -> Changes:
    """Return what differs between *old*, which is in force, and *new*."""
    before, after = _flat(old), _flat(new)
    changed = [key for key in after if before[key] != after[key]]
    live = [key for key in changed if key in LIVE and not _turns_tls(old, new, key)]
    return Changes(tuple(live), tuple(key for key in changed if key not in live))


def in_force(old: Config, new: Config) -> Config:
    """Return *old* with what takes effect of *new* while a node runs."""
    live = changes(old, new).live
    sections: dict[str, Any] = {}
    for field in msgspec.structs.fields(Config):
        section, changed = getattr(old, field.name), getattr(new, field.name)
        taken = {name: getattr(changed, name) for name in section.__struct_fields__ if f"{field.name}.{name}" in live}
        sections[field.name] = msgspec.structs.replace(section, **taken)
    return Config(**sections)


def _turns_tls(old: Config, new: Config, key: str) -> bool:
    """Whether *key* is about TLS that would begin or end: connections that are open cannot change what they speak."""
    is_about_tls = key in {"listen.tls_certificate", "listen.tls_key"}
    return is_about_tls and (old.listen.tls_certificate is None) != (new.listen.tls_certificate is None)


def _flat(config: Config) -> dict[str, object]:
    sections = [(field.name, getattr(config, field.name)) for field in msgspec.structs.fields(Config)]
    return {f"{name}.{key}": getattr(one, key) for name, one in sections for key in one.__struct_fields__}
