"""What a configuration changes of the parts of a node: at its start, and at each reload."""

from collections.abc import Sequence

from node.config.settings import Config
from node.daemon.doors import Door, limits_of
from node.registry.registry import Lifetimes, Quotas, Registry, Settings
from node.telemetry.access import AccessLog, json_line, text_line
from node.telemetry.lines import Lines
from node.telemetry.log import Style, configure_log, style_for
from protocol.auth.public import PublicPlace


def put_log(lines: Lines, config: Config) -> None:
    """Log from now on as *config* says."""
    configure_log(lines, level=config.log.level, style=_style(config))


def put_access(access: AccessLog, config: Config) -> None:
    """Tell of requests or not, and in which form."""
    access.is_on = config.log.access
    access.line = json_line if _style(config) == "json" else text_line


def put_rules(registry: Registry, config: Config) -> None:
    """Hold what comes to the rules of *config*; what is under way has asked already."""
    rules = config.registry
    registry.store.sink.buffers.room = config.limits.upload_memory
    quotas = Quotas(**{name: getattr(config.quotas, name) for name in Quotas.__struct_fields__})
    if quotas != registry.settings.quotas:
        registry.room.clear()
    public = PublicPlace(config.public.alias or "", config.public.host or "")
    auth = config.auth
    lifetimes = Lifetimes(auth.token_lifetime, auth.refresh_lifetime, auth.authorization_lifetime)
    registry.settings = Settings(
        rules.create_on_push,
        rules.missing_content,
        rules.manifest_limit,
        quotas,
        public,
        encrypt_by_default=config.encryption.default == "aes256",
        lifetimes=lifetimes,
    )
    if rules.read_only:
        registry.gate.close("configuration", "the configuration says so")
    else:
        registry.gate.open("configuration")


def put_limits(doors: Sequence[Door], config: Config) -> None:
    """Hold new connections to the limits of *config*. What peers may do is not configured."""
    limits = limits_of(config.limits)
    for door in doors:
        if door.name in {"oci", "admin"}:
            door.limits = limits
        if door.name == "oci":
            door.grace = config.limits.grace


def _style(config: Config) -> Style:
    return style_for(2) if config.log.format == "auto" else config.log.format
