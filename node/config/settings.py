"""Every setting: its key, type, default and meaning. ``entrepot config schema`` and ``show`` print what stands here."""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from node.config.addresses import Address

Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
File: TypeAlias = Annotated[str, Meta(min_length=1)]
Quota: TypeAlias = Annotated[int, Meta(ge=1, le=10_000_000)]
Rate: TypeAlias = Annotated[float, Meta(ge=1, le=1_000_000)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86_400)]


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[node]``."""

    data: Annotated[str, Meta(min_length=1, description="Directory that holds everything the node keeps.")] = (
        "./entrepot-data"
    )


class ListenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[listen]``."""

    address: Annotated[
        tuple[Address, ...],
        Meta(min_length=1, max_length=16, description="Where clients connect: HOST:PORT, port 0 for any free one."),
    ] = (Address("127.0.0.1:5000"),)
    peer: Annotated[Address | None, Meta(description="Where other nodes connect: HOST:PORT, always with TLS.")] = None
    advertise: Annotated[
        Address | None,
        Meta(description="What other nodes dial instead of listen.peer; needed where that is a wildcard."),
    ] = None
    public_hosts: Annotated[
        tuple[str, ...],
        Meta(
            max_length=64, description="Names by which clients know this node, beside its addresses: HOST or HOST:PORT."
        ),
    ] = ()
    tls_certificate: Annotated[File | None, Meta(description="PEM file: certificate chain, the node's own first.")] = (
        None
    )
    tls_key: Annotated[File | None, Meta(description="PEM file: private key of tls_certificate.")] = None
    allow_open_network: Annotated[
        bool, Meta(description="Let everyone who reaches an address off loopback push, pull and delete.")
    ] = False
    allow_plain_network: Annotated[
        bool, Meta(description="Take credentials without TLS off loopback, as behind a proxy that ends TLS.")
    ] = False


class AuthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[auth]``."""

    mode: Annotated[
        Literal["auto", "open", "required"],
        Meta(
            description="Whether callers have to say who they are: open takes everyone for root; auto is open on "
            "loopback addresses alone, or with listen.allow_open_network."
        ),
    ] = "auto"
    token_lifetime: Annotated[
        int, Meta(ge=60, le=3600, description="Seconds that a bearer token of /token is good.")
    ] = 900
    refresh_lifetime: Annotated[
        int, Meta(ge=3600, le=31_536_000, description="Seconds that a refresh token of /token is good.")
    ] = 2_592_000
    authorization_lifetime: Annotated[
        int, Meta(ge=900, le=43_200, description="Seconds that a password of GetAuthorizationToken is good.")
    ] = 43_200


class RegistrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[registry]``."""

    create_on_push: Annotated[
        Literal["any", "templates", "never"],
        Meta(description="Which pushes create a repository: any; those that a template matches, as at ECR; none."),
    ] = "any"
    missing_content: Annotated[
        Literal["refuse", "sparse-index", "allow"],
        Meta(description="A manifest that names what is not here: refuse it; take an index all the same; take any."),
    ] = "refuse"
    manifest_limit: Annotated[
        int, Meta(ge=65_536, le=64 * 2**20, description="Bytes of the largest manifest that is taken.")
    ] = 4 * 2**20
    read_only: Annotated[
        bool, Meta(description="Refuse every change of content; pulls go on. `entrepot read-only` does it at run time.")
    ] = False


class QuotaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[quotas]``: how many there may be, as at ECR; an operator may allow more."""

    repositories: Annotated[Quota, Meta(description="Repositories of the registry.")] = 100_000
    images: Annotated[Quota, Meta(description="Images of one repository, indexes and their parts alike.")] = 100_000
    tags_per_image: Annotated[Quota, Meta(description="Tags that point at one image.")] = 1_000
    tags_per_resource: Annotated[int, Meta(ge=1, le=1_000, description="Resource tags of one repository.")] = 50
    creation_templates: Annotated[
        int, Meta(ge=1, le=10_000, description="Repository creation templates; each new repository looks at all.")
    ] = 500
    pull_through_rules: Annotated[
        int, Meta(ge=1, le=1_000, description="Pull-through rules; each pull of what is not here looks at all.")
    ] = 50
    pull_time_exclusions: Annotated[
        int, Meta(ge=1, le=100_000, description="Principals whose pulls do not count as the last one.")
    ] = 100


class PublicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[public]``: where clients find public repositories."""

    alias: Annotated[
        str | None,
        Meta(description="What names of public images begin with, behind the host; the account's number always works."),
    ] = None
    host: Annotated[
        str | None,
        Meta(description="HOST or HOST:PORT that has public images alone, as ALIAS/NAME; else HOST/public/ALIAS/NAME."),
    ] = None


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[limits]``: all of ``node.http.limits``, by name and with their reasons there, and three more."""

    connections: Annotated[Count, Meta(description="Open connections in all.")] = 4096
    connections_each: Annotated[Count, Meta(description="Open connections of one client address.")] = 1024
    strangers: Annotated[Count, Meta(description="Those without a request at work whose client is not known.")] = 2048
    strangers_each: Annotated[Count, Meta(description="The same of one client address.")] = 1008
    streams: Annotated[int, Meta(ge=1, le=1000, description="HTTP/2 requests at once on one connection.")] = 100
    streams_unknown: Annotated[
        int, Meta(ge=1, le=1000, description="The same until one was answered well; more of them wait.")
    ] = 16
    streams_all: Annotated[
        Count,
        Meta(description="HTTP/2 requests at work in all, beyond which limits.streams_unknown holds for everyone."),
    ] = 2048
    handshake: Annotated[Seconds, Meta(description="Seconds for a TLS handshake.")] = 10.0
    receiving_head: Annotated[Seconds, Meta(description="Seconds for a request's head, from its first byte.")] = 10.0
    idle: Annotated[Seconds, Meta(description="Seconds that a connection is kept for its next request.")] = 75.0
    idle_pressed: Annotated[
        Seconds, Meta(description="Instead of limits.idle while three quarters of the connections are taken.")
    ] = 10.0
    patience: Annotated[Seconds, Meta(description="Seconds for a body to move limits.progress bytes.")] = 30.0
    progress: Annotated[int, Meta(ge=1, le=2**30, description="Bytes that a body has to move in that time.")] = (
        30 * 1024
    )
    linger: Annotated[Seconds, Meta(description="Seconds for a client to read why its connection ends.")] = 1.0
    flush: Annotated[Seconds, Meta(description="Seconds for a closed connection to empty its send queue.")] = 30.0
    head: Annotated[int, Meta(ge=4096, le=2**20, description="Bytes of a request's head.")] = 16 * 1024
    fields: Annotated[int, Meta(ge=20, le=1000, description="Header fields of a request.")] = 100
    target: Annotated[int, Meta(ge=1024, le=65_536, description="Bytes of a request's target.")] = 8 * 1024
    parameters: Annotated[int, Meta(ge=16, le=1000, description="Parameters of a query.")] = 64
    heads: Annotated[int, Meta(ge=2**20, le=2**34, description="Bytes of decoded heads of all requests at work.")] = (
        64 * 2**20
    )
    chunk_line: Annotated[int, Meta(ge=64, le=65_536, description="Bytes of a line between chunks.")] = 256
    small_chunks: Annotated[Count, Meta(description="Chunks of less than 1 KiB in a body of larger ones.")] = 2048
    trailers: Annotated[int, Meta(ge=0, le=1000, description="Trailer lines behind a body in chunks.")] = 16
    drain: Annotated[
        int, Meta(ge=0, le=2**30, description="Bytes of an unread body that are read to keep its connection.")
    ] = 64 * 1024
    stream_window: Annotated[
        int, Meta(ge=65_535, le=2**30, description="Bytes of one HTTP/2 body that may be on their way.")
    ] = 2**20
    connection_window: Annotated[
        int, Meta(ge=65_535, le=2**30, description="The same of all bodies of one connection.")
    ] = 4 * 2**20
    header_block: Annotated[int, Meta(ge=16_384, le=2**20, description="Bytes of an HTTP/2 header block.")] = 32 * 1024
    continuations: Annotated[int, Meta(ge=0, le=64, description="CONTINUATION frames of a header block.")] = 4
    header_memory: Annotated[
        int, Meta(ge=65_536, le=2**30, description="Bytes of decoded heads of one HTTP/2 connection.")
    ] = 256 * 1024
    resets: Annotated[Rate, Meta(description="HTTP/2 streams that may be reset before their end.")] = 100.0
    resets_per_second: Annotated[Rate, Meta(description="How fast that allowance comes back.")] = 10.0
    idle_frames: Annotated[Rate, Meta(description="HTTP/2 frames without a request or bytes of a body.")] = 200.0
    idle_frames_per_second: Annotated[Rate, Meta(description="How fast that allowance comes back.")] = 20.0
    work: Annotated[
        float,
        Meta(gt=0, le=1, description="Seconds of processor time in a second that HTTP/2 frames for nothing may take."),
    ] = 0.05
    upload_memory: Annotated[
        int, Meta(ge=8 * 2**20, le=2**40, description="Bytes of the chunks that uploads are filling, in all.")
    ] = 128 * 2**20
    upload_expiry_hours: Annotated[
        int, Meta(ge=1, le=8760, description="Hours after its last byte that an unfinished upload is dropped.")
    ] = 72
    grace: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds that open requests have left when the node stops.")
    ] = 20.0
    drain_delay: Annotated[
        float,
        Meta(ge=0, le=3600, description="Seconds in which /readyz says 503 before a node that stops takes no more."),
    ] = 0.0


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[log]``."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged.")] = (
        "info"
    )
    format: Annotated[
        Literal["auto", "json", "text"], Meta(description="One JSON object or text a line; auto: text on a terminal.")
    ] = "auto"
    access: Annotated[bool, Meta(description="Log each request.")] = True


class TracingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[tracing]``."""

    endpoint: Annotated[
        str | None,
        Meta(description="URL of an OpenTelemetry collector that takes OTLP over HTTP; without it nothing is traced."),
    ] = None
    sample_ratio: Annotated[
        float, Meta(ge=0, le=1, description="Part of the traces that is kept, of those that begin at this node.")
    ] = 1.0
    headers_file: Annotated[
        File | None, Meta(description="File with headers for the collector, one Name: value a line; secrets go here.")
    ] = None
    service_name: Annotated[
        str, Meta(min_length=1, max_length=128, description="What traces call this node's service.")
    ] = "entrepot"


class ScrubSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[scrub]``."""

    enabled: Annotated[
        bool, Meta(description="Read and compare all that is stored from time to time; else only when asked to.")
    ] = True
    interval_days: Annotated[
        int, Meta(ge=1, le=3650, description="Days between the beginnings of two passes, a sixth more or less.")
    ] = 30
    rate: Annotated[
        int,
        Meta(ge=65_536, le=2**34, description="Bytes a second that a pass reads at most; slower beside other work."),
    ] = 16 * 2**20


class AuditSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[audit]``: how long it is kept."""

    days: Annotated[int, Meta(ge=1, le=36_500, description="Days after which entries are removed.")] = 400
    bytes: Annotated[
        int, Meta(ge=2**20, le=2**44, description="Bytes of the file that entries may take; the oldest go beyond.")
    ] = 4 * 2**30


class EncryptionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[encryption]``: what becomes of repositories that nobody asked to be encrypted."""

    default: Annotated[
        Literal["off", "aes256"],
        Meta(description="off: they lie as they are; aes256: new ones are sealed, and those before stay."),
    ] = "off"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a node. Values made by ``load`` are checked; defaults are right as they stand."""

    node: NodeSettings = NodeSettings()
    listen: ListenSettings = ListenSettings()
    auth: AuthSettings = AuthSettings()
    registry: RegistrySettings = RegistrySettings()
    quotas: QuotaSettings = QuotaSettings()
    public: PublicSettings = PublicSettings()
    limits: LimitSettings = LimitSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    log: LogSettings = LogSettings()
    scrub: ScrubSettings = ScrubSettings()
    audit: AuditSettings = AuditSettings()
    tracing: TracingSettings = TracingSettings()
