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
    if value == "memory://" or re.match(r"sqlite:///.|postgres(ql)?://.", value):
        return value
    raise ValueError("memory://, sqlite:///relative/path, sqlite:////absolute/path or postgresql://user@host/database")


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
    max_metadata_entries: int = Field(default=64, ge=0, le=10_000, description="Most metadata entries of a checkpoint.")
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
    max_key_bytes: int = Field(
        default=512,
        ge=1,
        le=2048,
        description="Longest name of a node, a channel or an extra entry, in bytes of UTF-8.",
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
        16 * MIB,
        at_least=KIB,
        at_most=2**40,
        description="Most bytes of saves in one transaction, unless one is larger.",
    )
    max_loads: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Most loads that may wait; further ones are UNAVAILABLE."
    )
    load_batch: int = Field(default=64, ge=1, le=100_000, description="Most loads that go to the database together.")


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
    pool_size: int = Field(
        default=8, ge=1, le=1000, description="Connections to Postgres for reading; one more writes."
    )
    reflection: bool = Field(default=True, description="Whether clients such as grpcurl may ask for the contract.")
    drain_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="How long calls that are running may take after SIGTERM or SIGINT, in seconds.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = Field(
        default="info", description="Least level that is logged."
    )
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] = Field(
        default="auto", description="How log lines look. auto: `console` on a terminal, else `json`."
    )
    limits: Limits = Field(default=Limits(), description=Limits.__doc__)
    queue: Queue = Field(default=Queue(), description=Queue.__doc__)
