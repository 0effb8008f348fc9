"""Messages of a SaveStream as the saves that they hold, which are parsed where they are carried out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.projection import Projection

TAKES_BATCHES = pb.SaveStreamResponse(takes_batches=True).SerializeToString()
"""What may stand before any response: serialized messages in a row are one, merged."""
_REQUEST = Projection(pb.SaveStreamRequest.DESCRIPTOR, ["request_id", "save"], as_bytes=["batch"])
_RESPONSE = Projection(pb.SaveStreamResponse.DESCRIPTOR, [], as_bytes=["batch"])


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Saves of a message that are carried out and answered together."""

    data: bytes
    """A SaveStreamRequest: one save, or nothing but a batch; or what cannot be decoded, and so is refused."""
    saves: int
    is_batch: bool

    def items(self) -> Sequence[bytes]:
        """Its saves, each a SaveStreamRequest without a batch beside it."""
        return items_of(self.data) if self.is_batch else [self.data]


def chunks(data: bytes, most: int) -> Iterator[Chunk]:
    """A message in chunks of at most `most` saves, in their order. A save beside a batch is the first of the batch."""
    try:
        message = _REQUEST.read(data)
    except Failure:  # whoever carries it out says what is wrong
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
