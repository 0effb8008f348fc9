"""The database, and whether it is well."""

from pydantic import Field

from lockstitch_server.config.fields import KIB, MIB, Bytes, Group, size


class Postgres(Group):
    """Connections to a Postgres database."""

    statement_cache: bool = Field(
        default=True,
        description="Whether connections keep prepared statements. Set it to false, or write `pgbouncer=true` into "
        "the URL, if a pooler in transaction mode is in between, such as PgBouncer. The server turns it "
        "off if a PgBouncer refuses settings of a connection, or a pooler loses statements.",
    )
    failover_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="How long calls wait for a database that has gone away, in seconds. After that they fail with "
        "UNAVAILABLE at once, until it is back. Set it to more than a failover takes.",
    )
    write_connections: int = Field(
        default=8,
        ge=1,
        le=256,
        description="How many transactions write a distributed database at once, each for sessions of one bucket. "
        "Other databases have one.",
    )


class Merge(Group):
    """Merging of full rows of logs into larger ones, beside saves."""

    interval_seconds: float = Field(
        default=0.1,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Pause between two steps that merge rows. It is longer while saves wait, up to 10 s. 0: this "
        "server merges no rows.",
    )
    row_bytes: Bytes = size(
        64 * KIB,
        at_least=32 * KIB,
        at_most=MIB,
        description="Maximum size of a merged row, uncompressed. Larger rows take less space and make loads of whole "
        "states faster. A load of an early step reads up to one row more than it needs.",
    )
    level: int = Field(
        default=9, ge=1, le=19, description="Compression level (zstd) of merged rows. A higher one takes longer."
    )


class Health(Group):
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
    free_bytes: Bytes = size(
        16 * MIB,
        at_least=0,
        at_most=2**50,
        description="SQLite: the server is not ready if the disk has less free space than this.",
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
