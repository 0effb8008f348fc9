"""All settings of a server."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lockstitch_server.config.fields import (
    MIB,
    MOST_SECONDS,
    Bytes,
    Group,
    Listen,
    LogFormat,
    LogLevel,
    StoreUrl,
    check_http_listen,
    check_metrics_listen,
    check_trace_url,
    lower,
    size,
)
from lockstitch_server.config.http import Http
from lockstitch_server.config.limits import Limits, Queue, Tenants
from lockstitch_server.config.security import Audit, Auth, Tls
from lockstitch_server.config.sessions import RetentionSettings, SessionSettings
from lockstitch_server.config.store import Health, Merge, Postgres


class Settings(Group):
    """Configuration of a Lockstitch server."""

    listen: Listen = Field(
        default="127.0.0.1:50051",
        description="Address to serve: `host:port` or `unix:path`. Port 0 takes a free port.",
    )
    http_listen: Annotated[str, AfterValidator(check_http_listen)] = Field(
        default="",
        description="Address of the HTTP door (Connect, gRPC-Web, JSON, and gRPC): `host:port` or `unix:path`. Empty: "
        "off. Needs `lockstitch[http]`.",
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
        description="Processes that serve the address together. More than one needs a store that they can share, so "
        "not `memory://`, and a port, so not `unix:path`.",
    )
    pool_size: int = Field(
        default=8,
        ge=1,
        le=1000,
        description="Connections of a worker to Postgres for all calls but saves, which wait for a free one. One more "
        "saves.",
    )
    session_cache_bytes: Bytes = size(
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
    log_level: Annotated[LogLevel, BeforeValidator(lower)] = Field(
        default="info", description="Lowest level that is logged. Libraries log at `info` or higher."
    )
    log_format: Annotated[LogFormat, BeforeValidator(lower)] = Field(
        default="auto", description="Format of log lines. auto: `console` on a terminal, otherwise `json`."
    )
    ui_listen: Annotated[str, AfterValidator(check_metrics_listen)] = Field(
        default="",
        description="Address of the session explorer: `host:port`. Empty: off. On an address that other machines can "
        "reach, it needs TLS (`tls.certificate`) or `insecure`. Needs `lockstitch[ui]`.",
    )
    ui_allow_changes: bool = Field(
        default=False, description="Whether the session explorer may change sessions. Otherwise it is read-only."
    )
    ui_host_names: str = Field(
        default="",
        description="Names that browsers use for the session explorer, for example behind a proxy, separated by "
        "commas. IP addresses, `localhost` and the machine's own name need none, nor do names over TLS.",
    )
    metrics_listen: Annotated[str, AfterValidator(check_metrics_listen)] = Field(
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
    trace_url_template: Annotated[str, AfterValidator(check_trace_url)] = Field(
        default="",
        description="URL of a trace, with `{trace_id}` in it, for `lockstitch show`.",
    )
    tls: Tls = Field(default=Tls(), description=Tls.__doc__)
    auth: Auth = Field(default=Auth(), description=Auth.__doc__)
    tenants: Tenants = Field(default=Tenants(), description=Tenants.__doc__)
    audit: Audit = Field(default=Audit(), description=Audit.__doc__)
    http: Http = Field(default=Http(), description=Http.__doc__)
    limits: Limits = Field(default=Limits(), description=Limits.__doc__)
    queue: Queue = Field(default=Queue(), description=Queue.__doc__)
    postgres: Postgres = Field(default=Postgres(), description=Postgres.__doc__)
    merge: Merge = Field(default=Merge(), description=Merge.__doc__)
    health: Health = Field(default=Health(), description=Health.__doc__)
    sessions: SessionSettings = Field(default=SessionSettings(), description=SessionSettings.__doc__)
    retention: RetentionSettings = Field(default=RetentionSettings(), description=RetentionSettings.__doc__)

    @property
    def baggage_keys(self) -> tuple[str, ...]:
        """The names in `trace_baggage`."""
        return _names(self.trace_baggage)

    @property
    def ui_names(self) -> tuple[str, ...]:
        """The names in `ui_host_names`."""
        return _names(self.ui_host_names)

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """The origins in `http.cors_origins`."""
        return _names(self.http.cors_origins)


def _names(value: str) -> tuple[str, ...]:
    """The names in a list with commas."""
    return tuple(filter(None, (name.strip() for name in value.split(","))))
