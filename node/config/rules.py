"""What no single value can be wrong about: settings that need or exclude each other."""

from collections.abc import Iterator
from typing import TypeAlias

from node.config.addresses import host_port, is_loopback, is_wildcard
from node.config.settings import Config, ListenSettings

Fault: TypeAlias = tuple[str, str]
"""(dotted key, what is wrong and what would be right)."""


def faults(config: Config) -> Iterator[Fault]:
    """Yield what does not go together in *config*."""
    listen = config.listen
    yield from _addresses(listen)
    yield from _tls(listen)
    yield from _network(config)
    yield from _peer(listen)
    if config.public.host is not None and config.public.host in listen.public_hosts:
        yield (
            "public.host",
            f"{config.public.host} is one of listen.public_hosts: no private image could be reached there; it needs a "
            "name of its own",
        )
    if config.tracing.headers_file is not None and config.tracing.endpoint is None:
        yield "tracing.headers_file", "there is nobody to send headers to without tracing.endpoint"


def _addresses(listen: ListenSettings) -> Iterator[Fault]:
    bound = [one for one in (*listen.address, listen.peer) if one is not None and host_port(one)[1]]
    for one in sorted({one for one in bound if bound.count(one) > 1}):
        yield ("listen.peer" if one == listen.peer else "listen.address"), f"{one} is listened to twice"


def _tls(listen: ListenSettings) -> Iterator[Fault]:
    if listen.tls_certificate is not None and listen.tls_key is None:
        yield "listen.tls_key", "missing beside listen.tls_certificate (--tls-key)"
    if listen.tls_key is not None and listen.tls_certificate is None:
        yield "listen.tls_certificate", "missing beside listen.tls_key (--tls-cert)"


def requires_authentication(config: Config) -> bool:
    """Whether callers have to say who they are."""
    if config.auth.mode != "auto":
        return config.auth.mode == "required"
    return bool(_exposed(config.listen)) and not config.listen.allow_open_network


def _exposed(listen: ListenSettings) -> str:
    return ", ".join(one for one in listen.address if not is_loopback(one))


def _network(config: Config) -> Iterator[Fault]:
    listen, exposed = config.listen, _exposed(config.listen)
    if not exposed:
        return
    if not requires_authentication(config):
        if not listen.allow_open_network:
            yield (
                "auth.mode",
                f"{exposed} can be reached from other machines, and everyone there could push, pull and delete. Leave "
                "auth.mode as it is, so that callers have to log in; or, where that is meant, say --allow-open-network "
                "(listen.allow_open_network = true)",
            )
    elif listen.tls_certificate is None and not listen.allow_plain_network:
        yield (
            "listen.tls_certificate",
            f"missing: {exposed} can be reached from other machines, and passwords would go there as they are. Name a "
            "certificate (--tls-cert and --tls-key); or behind a proxy that ends TLS say --allow-plain-network; or let "
            "everyone in with --allow-open-network",
        )


def _peer(listen: ListenSettings) -> Iterator[Fault]:
    if listen.peer is not None and is_wildcard(listen.peer) and listen.advertise is None:
        yield (
            "listen.advertise",
            f"missing: other nodes cannot dial {listen.peer}; name the address that they can (--advertise HOST:PORT)",
        )
    if listen.advertise is not None:
        if listen.peer is None:
            yield "listen.advertise", "there is nothing to advertise without listen.peer (--peer-listen HOST:PORT)"
        if is_wildcard(listen.advertise) or not host_port(listen.advertise)[1]:
            yield "listen.advertise", f"nobody can dial {listen.advertise}; name one host and its port"
