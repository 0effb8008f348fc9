"""Requests that save, before and after they are parsed."""

from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.planning.operations import Operation

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span
    from opentelemetry.trace import SpanContext


class Kind(IntEnum):
    """The kind of a request, which decides the form of its response."""

    SAVE = 1
    ITEM = 2
    """One save of a SaveStream."""
    WRITES = 3
    BATCH = 4
    """Several saves of a SaveStream."""


class RawRequest(NamedTuple):
    """A request that is not parsed yet."""

    kind: int
    tenant: str
    data: bytes
    trace_id: bytes = b""
    """The trace of the call; empty: none."""
    operations: int = 1
    """The number of its saves, about."""
    span: "Span | None" = None
    """The span of a unary call; None: it is not sampled."""
    parent: "SpanContext | None" = None
    """The caller's span of a SaveStream, for saves that name none."""
    received_at: int = 0
    """When a request of a SaveStream arrived, in ns since 1970; 0: its saves are not traced."""


class Item(NamedTuple):
    """One save of a request, before it is validated."""

    number: int
    """Its request_id in a stream."""
    message: pb.SaveRequest | pb.SaveStreamRequest
    trace_context: Mapping[str, str] = {}
    """The trace that the save names; empty: none."""


ParsedSave: TypeAlias = tuple[int, Operation | Failure]
"""The number of a save, and its operation or why it is refused."""
