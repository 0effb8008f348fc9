"""Types of settings, and how their values may be written."""

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


def check_metrics_listen(value: str) -> str:
    """An address to listen at that is no Unix socket, or nothing."""
    if not value or not value.startswith("unix:"):
        return value and _listen(value)
    raise ValueError("host:port, such as 127.0.0.1:9464, or nothing")


def check_http_listen(value: str) -> str:
    """An address to listen at, or nothing."""
    return value and _listen(value)


def check_origins(value: str) -> str:
    """Origins of pages as browsers send them, separated by commas; or `*`; or nothing."""
    for origin in filter(None, (part.strip() for part in value.split(","))):
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/,\s*]+", origin):
            raise ValueError("origins such as https://app.example.org, without a path, separated by commas; or *")
    return value


def check_trace_url(value: str) -> str:
    """A URL with a place for a trace id, or nothing."""
    if not value or (value.count("{trace_id}") == 1 and re.match(r"https?://.", value)):
        return value
    raise ValueError("a URL with {trace_id} in it, such as https://jaeger.example/trace/{trace_id}")


def lower(value: object) -> object:
    """A text in lower case."""
    return value.lower() if isinstance(value, str) else value


def size(default: int, *, at_least: int, at_most: int, description: str) -> Any:
    """A setting that is a number of bytes."""
    spelling: dict[str, Any] = {"type": ["integer", "string"], "pattern": _SIZE_TEXT}
    return Field(default, ge=at_least, le=at_most, description=description, json_schema_extra=spelling)


Bytes = Annotated[int, BeforeValidator(_bytes)]
Listen = Annotated[str, AfterValidator(_listen)]
StoreUrl = Annotated[str, AfterValidator(_store)]


class Group(BaseModel):
    """Settings with a common prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")
