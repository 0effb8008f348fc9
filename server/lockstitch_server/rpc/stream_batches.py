"""Messages of a SaveStream as the saves that they hold, which are parsed where they are carried out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.empty_pb2 import Empty

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.field_count import FieldCounter
from lockstitch_server.rpc.projection import Projection

TAKES_BATCHES = pb.SaveStreamResponse(takes_batches=True).SerializeToString()
"""What may stand before any response: serialized messages in a row are one, merged."""
_REQUEST = Projection(pb.SaveStreamRequest.DESCRIPTOR, ["request_id", "save"], as_bytes=["batch"])
_NAME = Projection(pb.SaveStreamRequest.DESCRIPTOR, ["request_id", "save.checkpoint.session_id"])
_RESPONSE = Projection(pb.SaveStreamResponse.DESCRIPTOR, [], as_bytes=["batch"])


class RefusedSave(NamedTuple):
    """A save of a stream that is refused before it is parsed; others of its message are carried out."""

    item: bytes
    """A SaveStreamRequest with its request_id and its session alone."""
    failure: Failure


StreamMessage: TypeAlias = bytes | RefusedSave
"""A SaveStreamRequest, serialized; or a save that was one, and is refused."""


@dataclass(slots=True, eq=False)  # not frozen, which would make it twice as dear to make
class Chunk:
    """Saves of a message that are carried out and answered together."""

    data: bytes
    """A SaveStreamRequest: one save, or nothing but a batch; or what cannot be decoded, and so is refused."""
    saves: int
    is_batch: bool
    refusal: Failure | None = None
    """Why they are not carried out."""

    def items(self) -> Sequence[bytes]:
        """Its saves, each a SaveStreamRequest without a batch beside it."""
        return items_of(self.data) if self.is_batch else [self.data]


def chunks(data: StreamMessage, most: int) -> Iterator[Chunk]:
    """A message in chunks of at most `most` saves, in their order. A save beside a batch is the first of the batch."""
    if isinstance(data, RefusedSave):
        yield Chunk(data.item, 1, is_batch=False, refusal=data.failure)
        return
    try:
        message = _REQUEST.read(data)
    except Failure:  # the code that executes it reports what is wrong
        yield Chunk(data, 1, is_batch=False)
        return
    count = len(message.batch)
    if not count:
        yield Chunk(data, 1, is_batch=False)
    elif count <= most and not message.HasField("save"):
        yield Chunk(data, count, is_batch=True)
    else:
        items = _all_items(message)
        while some := list(islice(items, most)):
            yield Chunk(_REQUEST.write(batch=some), len(some), is_batch=True)


def items_of(data: bytes) -> Sequence[bytes]:
    """The saves of a batch, each a SaveStreamRequest. Fails with INVALID_FIELD."""
    batch: Sequence[bytes] = _REQUEST.read(data).batch
    return batch


def within_limit(data: bytes, counter: FieldCounter) -> list[StreamMessage]:
    """A message with too many fields as messages that have few enough, and the saves that have too many by themselves.

    Fails with INVALID_FIELD where the message has too many beside what is in its saves.
    """
    counter.check(Empty.DESCRIPTOR, data)
    parts: list[StreamMessage] = []
    together: list[bytes] = []
    fields = 0
    for item in list(_all_items(_REQUEST.read(data))) or [data]:
        try:
            count = counter.check(pb.SaveStreamRequest.DESCRIPTOR, item)
        except Failure as failure:
            parts.append(RefusedSave(_name(item), failure.with_traceback(None)))
            continue
        if together and fields + count > counter.most:
            parts.append(_REQUEST.write(batch=together))
            together, fields = [], 0
        together.append(item)
        fields += count
    return [*parts, _REQUEST.write(batch=together)] if together else parts


def _name(item: bytes) -> bytes:
    """A save with nothing but its request_id and its session."""
    name = _NAME.read(item)
    name.DiscardUnknownFields()
    data: bytes = name.SerializeToString()
    return data


def request_id(item: bytes) -> int:
    """The number of a save; 0 where it cannot be decoded."""
    try:
        number: int = _REQUEST.read(item).request_id
    except Failure:
        return 0
    return number


def join(answers: Sequence[tuple[Chunk, bytes]]) -> bytes:
    """SaveStreamResponses as one, which holds their results as a batch, unless there is one only."""
    if len(answers) == 1:
        return answers[0][1]
    return b"".join([data if chunk.is_batch else _RESPONSE.write(batch=[data]) for chunk, data in answers])


def _all_items(message: Any) -> Iterator[bytes]:
    """The save beside a batch, if there is one, and those of the batch."""
    batch = message.batch
    if message.HasField("save"):
        own = type(message)()
        own.CopyFrom(message)  # with all that is not declared here, such as trace_context
        own.ClearField("batch")
        yield own.SerializeToString()
    yield from batch
