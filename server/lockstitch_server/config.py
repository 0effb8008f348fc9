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
    """Limits of one request."""

    max_message_bytes: Bytes = _size(
        64 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Maximum size of a gRPC message, in both directions, and of the state that results from a delta.",
    )
    max_page_bytes: Bytes = _size(
        16 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="A page of a list ends when it has reached this size.",
    )
    max_page_size: int = Field(default=1000, ge=1, le=100_000, description="Maximum items in a page of a list.")
    default_page_size: int = Field(
        default=50, ge=1, le=100_000, description="Items in a page if the request does not say."
    )
    max_calls: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Maximum calls in flight in a worker, except health checks. Further calls are UNAVAILABLE.",
    )
    max_connection_calls: int = Field(
        default=4000,
        ge=1,
        le=10_000_000,
        description="Maximum calls in flight on one connection. Further calls wait in the client; a few may be "
        "UNAVAILABLE (REFUSED_STREAM), which clients retry.",
    )
    max_query_bytes: Bytes = _size(
        8 * MIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Maximum size of a request of a method that saves nothing.",
    )
    max_fields: int = Field(
        default=500_000,
        ge=1000,
        le=100_000_000,
        description="Maximum fields in a request above 256 KiB, including those of nested messages. A save of a "
        "SaveStream with more fails alone.",
    )
    max_metadata_entries: int = Field(
        default=64, ge=0, le=10_000, description="Maximum metadata entries of a checkpoint."
    )
    max_metadata_bytes: Bytes = _size(
        64 * KIB,
        at_least=KIB,
        at_most=LARGEST_MESSAGE,
        description="Maximum bytes of all metadata entries of a checkpoint, or of a filter.",
    )
    max_list_items: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Maximum items in a list of nodes, channels, versions or tags.",
    )
    max_writes: int = Field(default=10_000, ge=1, le=1_000_000, description="Maximum pending writes in a request.")
    max_sessions_per_stream: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Maximum sessions in one LoadLatestStream call."
    )
    max_parts: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Maximum extra entries and custom channels in a state, together.",
    )
    max_session_id_bytes: int = Field(
        default=255, ge=1, le=1024, description="Maximum length of a session id, in bytes of UTF-8."
    )
    max_checkpoint_id_bytes: int = Field(
        default=128,
        ge=20,
        le=512,
        description="Maximum length of a checkpoint id, in bytes of UTF-8. At least 20: ids made from steps have 20 "
        "digits.",
    )
    max_namespace_bytes: int = Field(
        default=512, ge=0, le=1024, description="Maximum length of a namespace, in bytes of UTF-8."
    )
    max_session_ids: int = Field(
        default=1000, ge=1, le=100_000, description="Maximum sessions that one request may delete or prune by name."
    )
    max_labels: int = Field(default=64, ge=0, le=10_000, description="Maximum labels of a session.")
    max_lease_seconds: int = Field(
        default=86_400, ge=1, le=31_536_000, description="Maximum duration of a lease without renewal, in seconds."
    )
    max_key_bytes: int = Field(
        default=512,
        ge=1,
        le=2048,
        description="Maximum length of the name of a node, a channel or an extra entry, in bytes of UTF-8.",
    )

    @property
    def query(self) -> tuple[int, str]:
        """Maximum bytes of a request of a method that saves nothing, and the name of the setting."""
        return min((self.max_message_bytes, "max_message_bytes"), (self.max_query_bytes, "max_query_bytes"))


class SessionSettings(_Group):
    """Defaults for whole sessions, if the request does not say."""

    lease_seconds: float = Field(
        default=30.0,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="Duration of a lease if the request does not say.",
    )
    tombstone_seconds: float = Field(
        default=3600.0,
        ge=0,
        le=31_622_400,
        allow_inf_nan=False,
        description="Time for which a deleted session cannot be created again.",
    )
    heartbeat_seconds: float = Field(
        default=10.0,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="Interval of heartbeats of an idle WatchSession.",
    )
    watch_seconds: float = Field(
        default=0.1,
        ge=0.01,
        le=60,
        allow_inf_nan=False,
        description="Interval between two queries for the events of all watched sessions.",
    )


class RetentionSettings(_Group):
    """Checkpoints to keep in sessions without a policy of their own. The latest of each namespace always stays."""

    keep_last: int = Field(
        default=0, ge=0, le=2**32 - 1, description="Keep the newest N checkpoints of each namespace. 0 keeps all."
    )
    max_age_seconds: float = Field(
        default=0.0,
        ge=0,
        le=3_162_240_000,
        allow_inf_nan=False,
        description="Delete checkpoints that were saved longer ago than this. 0 keeps all.",
    )
    sweep_seconds: float = Field(
        default=60.0,
        ge=0,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Pause between two sweeps. A sweep applies retention and deletes the rest of expired and deleted "
        "sessions. Of all servers on a database, one sweeps at a time. 0: this server never sweeps.",
    )
    sweep_sessions: int = Field(
        default=100, ge=1, le=100_000, description="Sessions that a sweep visits before it pauses."
    )
    sweep_pause_seconds: float = Field(
        default=0.05,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Pause after each transaction of a sweep. It is longer while saves wait, up to 10 s.",
    )


class Queue(_Group):
    """Limits of the queues to the database, and of their batches."""

    max_operations: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Maximum saves that wait for the database. Further saves are UNAVAILABLE.",
    )
    max_bytes: Bytes = _size(
        256 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of saves that wait for the database. Further saves are UNAVAILABLE.",
    )
    batch_operations: int = Field(default=256, ge=1, le=100_000, description="Maximum saves in one transaction.")
    batch_bytes: Bytes = _size(
        8 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of saves in one transaction, except for a single larger save.",
    )
    max_loads: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Maximum loads that wait for the database. Further loads are UNAVAILABLE.",
    )
    stream_operations: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Maximum saves in flight per SaveStream. The server stops reading until one completes.",
    )
    stream_bytes: Bytes = _size(
        16 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of saves in flight per SaveStream, except for a single larger save.",
    )
    max_answer_bytes: Bytes = _size(
        256 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of loaded responses that clients have not received yet. Further loads wait, then "
        "are UNAVAILABLE.",
    )
    connection_answer_bytes: Bytes = _size(
        64 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Maximum bytes of such responses on one connection, except for a single larger one.",
    )
    load_batch: int = Field(
        default=64, ge=1, le=100_000, description="Maximum loads that share one trip to the database."
    )


class Postgres(_Group):
    """Connections to a Postgres database."""

    statement_cache: bool = Field(
        default=True,
        description="Whether connections keep prepared statements. Set it to false, or write `pgbouncer=true` into "
        "the URL, if a pooler in transaction mode is in between, such as PgBouncer. The server turns it "
        "off if a PgBouncer refuses settings of a connection, or a pooler loses statements.",
    )


class Health(_Group):
    """Health probes of the database. Readiness follows them."""

    probe_seconds: float = Field(
        default=1.0, ge=0.05, le=3600, allow_inf_nan=False, description="Pause between two health probes."
    )
    timeout_seconds: float = Field(
        default=1.5,
        ge=0.05,
        le=60,
        allow_inf_nan=False,
        description="Time after which a health probe without a response has failed.",
    )
    write_seconds: float = Field(
        default=10.0,
        ge=0.05,
        le=3600,
        allow_inf_nan=False,
        description="Interval of health probes that write, in a transaction that is rolled back.",
    )
    free_bytes: Bytes = _size(
        16 * MIB,
        at_least=0,
        at_most=2**50,
        description="SQLite: with less free space on the disk than this, the server is not ready.",
    )
    failures: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Failed health probes in a row that make the server not ready. One success makes it ready.",
    )
    max_watches: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        description="Maximum Watch calls of health checks in total. They need no credentials. One connection may have"
        " 8.",
    )


class Tls(_Group):
    """Encryption. Files are read again when they change; existing connections continue."""

    certificate: str = Field(
        default="", description="PEM file: the server's certificate and the intermediate ones. Empty: no TLS."
    )
    private_key: str = Field(default="", description="PEM file: the private key of the certificate.")
    client_ca: str = Field(
        default="",
        description="PEM file: authorities of client certificates. If set, no client can connect without a "
        "certificate (mTLS).",
    )


class Auth(_Group):
    """Authentication of callers. Without `keys`, `certificates` and `jwt_issuer`, it is off."""

    keys: str = Field(default="", description="File of bearer keys, as `lockstitch keys` writes it.")
    certificates: str = Field(
        default="", description="TOML file that maps names in client certificates to principals. Needs `tls.client_ca`."
    )
    jwt_issuer: str = Field(default="", description="Issuer of JSON Web Tokens: the exact value of their claim `iss`.")
    jwt_audience: str = Field(
        default="", description="Audience of JSON Web Tokens: the required value of their claim `aud`."
    )
    jwt_keys: str = Field(default="", description="Public keys of the issuer (a JWKS): a file or an `https://` URL.")
    jwt_keys_seconds: float = Field(
        default=300.0,
        ge=10,
        le=86_400,
        allow_inf_nan=False,
        description="Interval at which keys at a URL are fetched again. An unknown key triggers a fetch at once.",
    )
    jwt_tenants_claim: str = Field(
        default="tenants", description="Claim with the tenants: a list, or a text separated by spaces."
    )
    jwt_rights_claim: str = Field(
        default="rights", description="Claim with the rights, in the same form; for example `scope`."
    )
    jwt_rights_prefix: str = Field(
        default="", description="Prefix of rights in that claim, such as `lockstitch:`. Entries without it are ignored."
    )


class Tenants(_Group):
    """Limits of one tenant in a worker. 0: only the limits of the server apply."""

    calls_per_second: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="Maximum calls, and saves on streams, that start per second. Further calls wait for "
        "`max_wait_seconds`, then are RATE_LIMITED. Saves on streams wait.",
    )
    burst_calls: int = Field(
        default=100, ge=1, le=1_000_000, description="Calls that may start at once after a time with fewer calls."
    )
    max_wait_seconds: float = Field(
        default=1.0, ge=0, le=60, allow_inf_nan=False, description="Maximum time that a call waits for its turn."
    )
    max_calls: int = Field(
        default=0, ge=0, le=1_000_000, description="Maximum calls in flight. Further calls are RATE_LIMITED."
    )
    max_waiting_saves: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Maximum saves that wait for the database. Further saves are RATE_LIMITED; streams are read later.",
    )
    max_waiting_bytes: Bytes = _size(
        0,
        at_least=0,
        at_most=2**40,
        description="Maximum bytes of saves that wait for the database, except for a single larger save. Further "
        "saves are RATE_LIMITED; streams are read later.",
    )


class Audit(_Group):
    """The audit log: who did what to which session."""

    file: str = Field(
        default="", description="File of the audit log, one line of JSON for each record. Empty: no audit log."
    )
    queue_records: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Maximum records in the queue to the file. Further records are dropped, recorded as lost, logged "
        "and counted; with `audit.required`, their calls are refused.",
    )
    required: bool = Field(
        default=False,
        description="Refuse a call (UNAVAILABLE) whose record cannot be kept, and respond only after the record is "
        "written to the file.",
    )


class Settings(_Group):
    """Configuration of a Lockstitch server."""

    listen: Listen = Field(
        default="127.0.0.1:50051",
        description="Address to serve: `host:port` or `unix:path`. Port 0 takes a free port.",
    )
    store: StoreUrl = Field(
        default="sqlite:///lockstitch.db",
        description="Database: `memory://` (lost at the end), `sqlite:///relative/path`, `sqlite:////absolute/path` "
        "or `postgresql://user:password@host/database`.",
        json_schema_extra={"secret": True},
        repr=False,
    )
    migrate: bool = Field(
        default=False,
        description="Create or upgrade the schema on Postgres at start. On SQLite and memory this always happens.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes that serve the address together. More than one need a store that they can share, so "
        "not `memory://`, and a port, so not `unix:path`.",
    )
    pool_size: int = Field(
        default=8, ge=1, le=1000, description="Connections of a worker to Postgres for reading. One more writes."
    )
    session_cache_bytes: Bytes = _size(
        4 * MIB,
        at_least=0,
        at_most=2**40,
        description="Memory of the session cache. It spares reads before the next save of a session.",
    )
    insecure: bool = Field(
        default=False,
        description="Whether other machines may reach a server without TLS or without authentication, for example "
        "because a mesh does both.",
    )
    reflection: bool = Field(
        default=True,
        description="Whether clients such as grpcurl may ask for the contract. Always off if callers must "
        "authenticate, because reflection needs no credentials.",
    )
    drain_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Time to continue serving after SIGTERM or SIGINT while health checks report NOT_SERVING, so that"
        " load balancers send calls elsewhere. Set it to more than their interval between checks.",
    )
    drain_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Maximum time for calls in flight after that, in seconds.",
    )
    max_connection_age_seconds: float = Field(
        default=0.0,
        ge=0,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Maximum age of a connection, plus or minus 10%, so that clients find new servers. 0: no limit.",
    )
    max_connection_age_grace_seconds: float = Field(
        default=30.0,
        ge=0.1,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Maximum time for calls in flight on a connection that has reached its age. SaveStream calls end "
        "in time; clients start new ones.",
    )
    keepalive_seconds: float = Field(
        default=60.0,
        ge=1,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Time without traffic after which the server pings a client, so that load balancers keep idle "
        "connections and the server detects dead clients.",
    )
    keepalive_timeout_seconds: float = Field(
        default=20.0,
        ge=1,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Time to wait for the response to a ping before the connection is closed.",
    )
    min_ping_seconds: float = Field(
        default=10.0,
        ge=0.1,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Minimum interval of clients' pings. The server closes connections with more frequent pings.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field(
        default="info", description="Lowest level that is logged. Libraries log at `info` or higher."
    )
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] = Field(
        default="auto", description="Format of log lines. auto: `console` on a terminal, otherwise `json`."
    )
    ui_listen: Annotated[str, AfterValidator(_metrics_listen)] = Field(
        default="",
        description="Address of the session explorer: `host:port`. Empty: off. On an address that other machines can "
        "reach, it needs TLS (`tls.certificate`) or `insecure`. Needs `lockstitch[ui]`.",
    )
    ui_allow_changes: bool = Field(
        default=False, description="Whether the session explorer may change sessions. Otherwise it is read-only."
    )
    metrics_listen: Annotated[str, AfterValidator(_metrics_listen)] = Field(
        default="",
        description="Address of the metrics for Prometheus: `host:port`, path `/metrics`. Empty: off.",
    )
    metrics_totals_seconds: float = Field(
        default=60.0,
        ge=0,
        le=MOST_SECONDS,
        allow_inf_nan=False,
        description="Interval at which all sessions and checkpoints are counted. 0: never.",
    )
    slow_call_seconds: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Calls that take this long or longer are logged as warnings. 0: none.",
    )
    session_id_logging: Literal["plain", "hash", "none"] = Field(
        default="plain",
        description="Form of session ids in traces and log lines of calls. hash: 16 digits of their SHA-256.",
    )
    trace_baggage: str = Field(
        default="",
        description="Names of baggage entries, separated by commas, that become attributes of a call's span.",
    )
    trace_url_template: Annotated[str, AfterValidator(_trace_url)] = Field(
        default="",
        description="URL of a trace, with `{trace_id}` in it, for `lockstitch show`.",
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
