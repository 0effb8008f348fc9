"""Requests that save, on their way from bytes to operations."""

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
    """What a request is, which decides the form of its response."""

    SAVE = 1
    ITEM = 2
    """Of a SaveStream."""
    WRITES = 3
    BATCH = 4
    """Many items of a SaveStream."""


class RawRequest(NamedTuple):
    """A request that is not parsed yet."""

    kind: int
    tenant: str
    data: bytes
    trace_id: bytes = b""
    """The trace that the call belongs to; empty where there is none."""
    operations: int = 1
    """How many operations it asks for, about."""
    span: "Span | None" = None
    """The span of a unary call, where it is sampled."""
    parent: "SpanContext | None" = None
    """The caller's span of a SaveStream, for its saves that name none."""
    received_at: int = 0
    """When a request of a SaveStream came, in ns since 1970; 0 where its saves are not traced."""


class Item(NamedTuple):
    """A save out of a message."""

    number: int
    message: pb.SaveRequest | pb.SaveStreamRequest
    trace_context: Mapping[str, str] = {}
    """The trace that the save is a part of, where the save names it."""


class Undecodable(NamedTuple):
    """An item of a batch that is no message; its neighbours are carried out."""

    number: int
    failure: Failure


ParsedRequest: TypeAlias = tuple[int, Operation | Failure]
"""What a request asks for, or why it cannot be done; with the number of an item."""
