"""Tracing as it is configured: who begins traces, and who sends them away."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import SystemRandom

from node import __version__
from node.config.settings import TracingSettings
from node.peers.identity import Identity
from node.telemetry.exporting import Exporter
from node.telemetry.otlp import encode_spans
from node.telemetry.posting import header_lines, sender
from node.telemetry.tracing import Tracer, no_traces
from protocol.errors import NotReady


def tracing_of(settings: TracingSettings, identity: Identity) -> tuple[Tracer, Exporter | None]:
    """Return what begins traces and what exports them; nothing of the second where no collector is named.

    Raises:
        NotReady: the file of headers cannot be read, or is none.
    """
    if settings.endpoint is None:
        return no_traces(), None
    resource = {
        "service.name": settings.service_name,
        "service.version": __version__,
        "service.instance.id": str(identity.name),
        "entrepot.registry": str(identity.registry),
    }
    encode = partial(encode_spans, resource=resource, version=__version__)
    exporter = Exporter(sender(settings.endpoint, _headers(settings.headers_file), encode))
    return Tracer(settings.sample_ratio, exporter.take, SystemRandom()), exporter


def _headers(file: str | None) -> Mapping[str, str]:
    if file is None:
        return {}
    try:
        return header_lines(Path(file).read_text())
    except OSError as error:
        raise NotReady(f"{file}: {error.strerror}; tracing.headers_file has to be readable") from error
    except ValueError as error:
        raise NotReady(f"{file}: {error}; tracing.headers_file has one header a line") from error
