"""What an operator can set, as data: names, meanings, defaults and bounds.

Nothing is read here. `cli.settings` gathers the values from flags, the environment and a file.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, TypeAdapter

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]

KIB = 1024
MIB = 1024 * KIB
# gRPC counts a message's bytes in a signed 32-bit integer.
LARGEST_MESSAGE = 2**31 - 1
# In milliseconds, so does it with time.
MOST_SECONDS = 1_000_000

_SIZE = TypeAdapter(ByteSize)
_SIZE_TEXT = r"^\s*\d+(\.\d+)?\s*([KMG]i?)?B?\s*$"


def _bytes(value: object) -> object:
    """Sizes may be written as text: 64MiB, 1.5 GiB, 4096."""
    if isinstance(value, str) and re.match(_SIZE_TEXT, value, re.IGNORECASE):
        return int(_SIZE.validate_python(value))
    return value


def _listen(value: str) -> str:
    if value.startswith("unix:") and value != "unix:":
        return value
    host, _, port = value.rpartition(":")
    if host and port.isdecimal() and int(port) <= 65535:
        return value
    raise ValueError("host:port, such as 127.0.0.1:50051 or [::]:50051, or unix:path")


def _store(value: str) -> str:
    if value == "memory://" or re.match(r"sqlite:///.|postgres(ql)?(\+\w+)?://.", value):
        return value
    raise ValueError("memory://, sqlite:///relative/path, sqlite:////absolute/path or postgresql://user@host/database")


def _metrics_listen(value: str) -> str:
    if not value or not value.startswith("unix:"):
        return value and _listen(value)
    raise ValueError("host:port, such as 127.0.0.1:9464, or nothing")


def _trace_url(value: str) -> str:
    if not value or (value.count("{trace_id}") == 1 and re.match(r"https?://.", value)):
        return value
    raise ValueError("a URL with {trace_id} in it, such as https://jaeger.example/trace/{trace_id}")


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _size(default: int, *, at_least: int, at_most: int, description: str) -> Any:
    spelling: dict[str, Any] = {"type": ["integer", "string"], "pattern": _SIZE_TEXT}
    return Field(default, ge=at_least, le=at_most, description=description, json_schema_extra=spelling)


Bytes = Annotated[int, BeforeValidator(_bytes)]
Listen = Annotated[str, AfterValidator(_listen)]
StoreUrl = Annotated[str, AfterValidator(_store)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Group):
    """How much one request may hold or ask for."""

    max_message_bytes: Bytes = _size(
        64 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Largest gRPC message, both ways, and the largest state that a delta may grow to.",
    )
    max_page_bytes: Bytes = _size(
        16 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="A page of a list ends when it has reached this size.",
    )
    max_page_size: int = Field(default=1000, ge=1, le=100_000, description="Most items in a page of a list.")
    default_page_size: int = Field(
        default=50, ge=1, le=100_000, description="Items in a page where a request does not say how many."
    )
    max_calls: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Most calls that a worker answers at once, health checks aside; further ones are UNAVAILABLE.",
    )
    max_connection_calls: int = Field(
        default=4000,
        ge=1,
        le=10_000_000,
        description="Most calls of one connection at once. Further ones wait in the client; a few may be UNAVAILABLE "
        "(REFUSED_STREAM), which clients repeat.",
    )
    max_query_bytes: Bytes = _size(
        8 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Largest request of all methods but those that save.",
    )
    max_fields: int = Field(
        default=500_000,
        ge=1000,
        le=100_000_000,
        description="Most fields of a request above 256 KiB, those of messages within it included. "
        "A save of a SaveStream with more fails alone.",
    )
    max_metadata_entries: int = Field(default=64, ge=0, le=10_000, description="Most metadata entries of a checkpoint.")
    max_metadata_bytes: Bytes = _size(
        64 * KIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Most bytes of a checkpoint's metadata entries, or of those of a filter, together.",
    )
    max_list_items: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Most items in a list of nodes, channels, versions or tags.",
    )
    max_writes: int = Field(default=10_000, ge=1, le=1_000_000, description="Most pending writes in a request.")
    max_sessions_per_stream: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Most sessions that one LoadLatestStream call may ask for."
    )
    max_parts: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Most extra entries and custom channels in a state, together."
    )
    max_session_id_bytes: int = Field(default=255, ge=1, le=1024, description="Longest session id, in bytes of UTF-8.")
    max_checkpoint_id_bytes: int = Field(
        default=128,
        ge=20,
        le=512,
        description="Longest checkpoint id, in bytes of UTF-8. Not below 20, which the ids made from steps have.",
    )
    max_namespace_bytes: int = Field(default=512, ge=0, le=1024, description="Longest namespace, in bytes of UTF-8.")
    max_session_ids: int = Field(
        default=1000, ge=1, le=100_000, description="Most sessions that one request may delete or prune by name."
    )
    max_labels: int = Field(default=64, ge=0, le=10_000, description="Most labels of a session.")
    max_lease_seconds: int = Field(
        default=86_400, ge=1, le=31_536_000, description="How long a lease may last without being renewed, in seconds."
    )
    max_key_bytes: int = Field(
        default=512,
        ge=1,
        le=2048,
        description="Longest name of a node, a channel or an extra entry, in bytes of UTF-8.",
    )

    @property
    def query(self) -> tuple[int, str]:
        """Bytes that a request of a method that saves nothing may have, and the setting that says so."""
        return min((self.max_message_bytes, "max_message_bytes"), (self.max_query_bytes, "max_query_bytes"))


class SessionSettings(_Group):
    """Sessions as a whole, where a request does not say it itself."""

    lease_seconds: float = Field(
        default=30.0, ge=1, le=86_400, allow_inf_nan=False, description="How long a lease lasts unless renewed."
    )
    tombstone_seconds: float = Field(
        default=3600.0,
        ge=0,
        le=31_622_400,
        allow_inf_nan=False,
        description="How long a session that was deleted cannot be begun anew.",
    )
    heartbeat_seconds: float = Field(
        default=10.0,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="How often an idle WatchSession shows it is alive.",
    )
    watch_seconds: float = Field(
        default=0.1,
        ge=0.01,
        le=60,
        allow_inf_nan=False,
        description="How often the sessions that are watched are looked at, all of them in one query.",
    )


class RetentionSettings(_Group):
    """Which checkpoints stay in sessions that have no policy of their own. The latest of a namespace always does."""

    keep_last: int = Field(
        default=0, ge=0, le=2**32 - 1, description="The greatest so many ids of every namespace stay. 0: all."
    )
    max_age_seconds: float = Field(
        default=0.0,
        ge=0,
        le=3_162_240_000,
        allow_inf_nan=False,
        description="What was saved longer ago than this goes. 0: nothing does.",
    )
    sweep_seconds: float = Field(
        default=60.0,
        ge=0,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Pause between two sweeps, which delete what need not stay, and what is left of sessions that have "
        "expired or were deleted. One server at a time sweeps. 0: this one never does.",
    )
    sweep_sessions: int = Field(
        default=100, ge=1, le=100_000, description="Sessions that a sweep looks at in one go, before it pauses."
    )
    sweep_pause_seconds: float = Field(
        default=0.05,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Pause after each of a sweep's transactions. While saves wait, it is longer, up to 10 s.",
    )


class Queue(_Group):
    """How much may wait for the database, and how much goes there at once."""

    max_operations: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Most saves that may wait; further ones are UNAVAILABLE."
    )
    max_bytes: Bytes = _size(
        256 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Most bytes of saves that may wait; further ones are UNAVAILABLE.",
    )
    batch_operations: int = Field(default=256, ge=1, le=100_000, description="Most saves in one transaction.")
    batch_bytes: Bytes = _size(
        8 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Most bytes of saves in one transaction, unless one is larger.",
    )
    max_loads: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Most loads that may wait; further ones are UNAVAILABLE."
    )
    stream_operations: int = Field(
        default=256, ge=1, le=100_000, description="Most saves of one SaveStream call that wait; it is read on after."
    )
    stream_bytes: Bytes = _size(
        16 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Most bytes of saves of one SaveStream call that wait, unless one is larger.",
    )
    max_answer_bytes: Bytes = _size(
        256 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Most bytes of loaded answers that clients have not taken yet; further loads wait, then are "
        "UNAVAILABLE.",
    )
    connection_answer_bytes: Bytes = _size(
        64 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Most bytes of such answers of one connection, unless one is larger.",
    )
    load_batch: int = Field(default=64, ge=1, le=100_000, description="Most loads that go to the database together.")


class Postgres(_Group):
    """Connections to a Postgres database."""

    statement_cache: bool = Field(
        default=True,
        description="Whether connections keep prepared statements. Behind a pooler in transaction mode, such as "
        "PgBouncer, they cannot: set it to false, or write `pgbouncer=true` into the URL. It turns itself off where a "
        "PgBouncer refuses settings of a connection, or a pooler loses statements.",
    )


class Health(_Group):
    """How the server finds out whether its database is well, which its readiness follows."""

    probe_seconds: float = Field(
        default=1.0, ge=0.05, le=3600, allow_inf_nan=False, description="Pause between two looks at the database."
    )
    timeout_seconds: float = Field(
        default=1.5, ge=0.05, le=60, allow_inf_nan=False, description="How long the database may take to answer a look."
    )
    write_seconds: float = Field(
        default=10.0,
        ge=0.05,
        le=3600,
        allow_inf_nan=False,
        description="How often a look tries to write, in a transaction that is rolled back.",
    )
    free_bytes: Bytes = _size(
        16 * MIB,
        at_least=0,
        at_most=2**50,
        description="SQLite: with less room than this on the disk, the server is not ready.",
    )
    failures: int = Field(
        default=2,
        ge=1,
        le=100,
        description="So many failed looks in a row make the server not ready; one good one, ready.",
    )
    max_watches: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        description="Most Watch calls of health checks at once. Anybody may make them, up to 8 on one connection.",
    )


class Tls(_Group):
    """Encryption. Files are read again when they change; connections that are there go on."""

    certificate: str = Field(
        default="", description="PEM file: the server's certificate and those between it and its root. Empty: no TLS."
    )
    private_key: str = Field(default="", description="PEM file: the certificate's private key.")
    client_ca: str = Field(
        default="",
        description="PEM file: roots of clients' certificates. With it, no client can connect without one (mTLS).",
    )


class Auth(_Group):
    """How callers are known. With none of `keys`, `certificates` and `jwt_issuer`, nobody is asked who he is."""

    keys: str = Field(default="", description="File of bearer keys, as `lockstitch keys` writes it.")
    certificates: str = Field(
        default="", description="TOML file: who is behind which name in a client's certificate. Wants `tls.client_ca`."
    )
    jwt_issuer: str = Field(default="", description="Who issues JSON Web Tokens: their claim `iss`, exactly.")
    jwt_audience: str = Field(default="", description="What they must be meant for: their claim `aud`.")
    jwt_keys: str = Field(
        default="", description="Where the issuer's public keys (a JWKS) are: a file or an `https://` URL."
    )
    jwt_keys_seconds: float = Field(
        default=300.0,
        ge=10,
        le=86_400,
        allow_inf_nan=False,
        description="After how long keys at a URL are fetched again. Keys that are not known are looked for at once.",
    )
    jwt_tenants_claim: str = Field(
        default="tenants", description="The claim that names tenants: a list, or a text with spaces between them."
    )
    jwt_rights_claim: str = Field(default="rights", description="The claim that names rights, alike; such as `scope`.")
    jwt_rights_prefix: str = Field(
        default="", description="What stands before a right there, such as `lockstitch:`. Others are passed over."
    )


class Tenants(_Group):
    """How much one tenant may take of a worker. What is 0 has no limit but the server's own."""

    calls_per_second: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="Calls, and saves on streams, that begin in a second. More than that wait, those on streams until "
        "it is their turn, others for `max_wait_seconds` at most; the rest is RATE_LIMITED.",
    )
    burst_calls: int = Field(
        default=100, ge=1, le=1_000_000, description="Calls that may begin at once after a time with fewer."
    )
    max_wait_seconds: float = Field(
        default=1.0, ge=0, le=60, allow_inf_nan=False, description="How long a call may wait for its turn."
    )
    max_calls: int = Field(
        default=0, ge=0, le=1_000_000, description="Calls under way at once; further ones are RATE_LIMITED."
    )
    max_waiting_saves: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Saves that may wait for the database; further ones are RATE_LIMITED, and streams read on later.",
    )
    max_waiting_bytes: Bytes = _size(
        0,
        at_least=0,
        at_most=2**40,
        description="Bytes of saves that may wait for the database, unless one is larger; alike.",
    )


class Audit(_Group):
    """A record of who did what to which session."""

    file: str = Field(default="", description="Where it is written, as lines of JSON. Empty: it is not kept.")
    queue_records: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Maximum records in the queue to the file. Further ones are dropped, which is recorded, logged and "
        "counted, or their calls are refused (`audit.required`).",
    )
    required: bool = Field(
        default=False,
        description="Refuse a call (UNAVAILABLE) whose record cannot be kept, and answer a call only after its record "
        "is written to the file.",
    )


class Settings(_Group):
    """Configuration of a Lockstitch server."""

    listen: Listen = Field(
        default="127.0.0.1:50051",
        description="Where to serve: `host:port` or `unix:path`. Port 0 takes any that is free.",
    )
    store: StoreUrl = Field(
        default="sqlite:///lockstitch.db",
        description="Where checkpoints are kept: `memory://` (lost at the end), `sqlite:///relative/path`, "
        "`sqlite:////absolute/path` or `postgresql://user:password@host/database`.",
        json_schema_extra={"secret": True},
        repr=False,
    )
    migrate: bool = Field(
        default=False,
        description="Create or upgrade a Postgres schema when serving begins. SQLite and memory always are.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes that serve the address together. More than one share a store, so not `memory://`, and "
        "a port, so no `unix:path`.",
    )
    pool_size: int = Field(
        default=8, ge=1, le=1000, description="Connections of a worker to Postgres for reading; one more writes."
    )
    session_cache_bytes: Bytes = _size(
        4 * MIB,
        at_least=0,
        at_most=2**40,
        description="Memory for what the next save of a session needs to know, so that it need not be read again.",
    )
    insecure: bool = Field(
        default=False,
        description="Whether other machines may reach a server that has no TLS, or asks nobody who he is, as where a "
        "mesh sees to both.",
    )
    reflection: bool = Field(
        default=True,
        description="Whether clients such as grpcurl may ask for the contract. Never where callers must be known: "
        "they could ask without being so.",
    )
    drain_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="How long to go on serving after SIGTERM or SIGINT while health checks say NOT_SERVING, so that "
        "load balancers send calls elsewhere first: longer than their interval between checks.",
    )
    drain_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="How long calls that are running may take after that, in seconds.",
    )
    max_connection_age_seconds: float = Field(
        default=0.0,
        ge=0,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="How long a client may keep a connection, give or take 10%, so that connections spread over "
        "servers that come later. 0: as long as it likes.",
    )
    max_connection_age_grace_seconds: float = Field(
        default=30.0,
        ge=0.1,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="How long calls may go on after that on the old connection. SaveStream calls then end by "
        "themselves in time, and are to be begun anew.",
    )
    keepalive_seconds: float = Field(
        default=60.0,
        ge=1,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="After how long without a sign of life a client is pinged, so that load balancers keep idle "
        "connections and vanished clients are noticed.",
    )
    keepalive_timeout_seconds: float = Field(
        default=20.0,
        ge=1,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="How long it may take to answer that; then the connection is closed.",
    )
    min_ping_seconds: float = Field(
        default=10.0,
        ge=0.1,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="How often clients may ping; the connections of those that do so more often are closed.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field(
        default="info", description="Least level that is logged. Libraries log at `info` at least."
    )
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] = Field(
        default="auto", description="How log lines look. auto: `console` on a terminal, else `json`."
    )
    ui_listen: Annotated[str, AfterValidator(_metrics_listen)] = Field(
        default="",
        description="Where browsers reach the session explorer: `host:port`. Empty: nowhere. Other machines need TLS "
        "(`tls.certificate`), or `insecure`. Needs `lockstitch[ui]`.",
    )
    ui_allow_changes: bool = Field(
        default=False, description="Whether the session explorer may change sessions. Without it, it is read-only."
    )
    metrics_listen: Annotated[str, AfterValidator(_metrics_listen)] = Field(
        default="",
        description="Where Prometheus finds the metrics: `host:port`, path `/metrics`. Empty: nowhere.",
    )
    metrics_totals_seconds: float = Field(
        default=60.0,
        ge=0,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="How often sessions and checkpoints are counted, which goes over all sessions. 0: never.",
    )
    slow_call_seconds: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Calls that take so long are logged as warnings. 0: none.",
    )
    session_id_logging: Literal["plain", "hash", "none"] = Field(
        default="plain",
        description="How session ids stand in traces and log lines of calls. hash: 16 digits of their SHA-256.",
    )
    trace_baggage: str = Field(
        default="",
        description="Names, separated by commas, of baggage entries that become attributes of a call's span.",
    )
    trace_url_template: Annotated[str, AfterValidator(_trace_url)] = Field(
        default="",
        description="Where a trace can be looked at: a URL with `{trace_id}` in it, for `lockstitch show`.",
    )
    tls: Tls = Field(default=Tls(), description=Tls.__doc__)
    auth: Auth = Field(default=Auth(), description=Auth.__doc__)
    tenants: Tenants = Field(default=Tenants(), description=Tenants.__doc__)
    audit: Audit = Field(default=Audit(), description=Audit.__doc__)
    limits: Limits = Field(default=Limits(), description=Limits.__doc__)
    queue: Queue = Field(default=Queue(), description=Queue.__doc__)
    postgres: Postgres = Field(default=Postgres(), description=Postgres.__doc__)
    health: Health = Field(default=Health(), description=Health.__doc__)
    sessions: SessionSettings = Field(default=SessionSettings(), description=SessionSettings.__doc__)
    retention: RetentionSettings = Field(default=RetentionSettings(), description=RetentionSettings.__doc__)

    @property
    def baggage_keys(self) -> tuple[str, ...]:
        """The names in `trace_baggage`."""
        return tuple(filter(None, (name.strip() for name in self.trace_baggage.split(","))))
