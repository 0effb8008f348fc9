"""What came of saves, as messages, put together by hand: their libraries would take as long as half of a plan."""

from collections.abc import Iterable
from functools import lru_cache

from lockstitch_server.core import wire
from lockstitch_server.core.checkpoint import timestamp
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.operations import Result, Saved
from lockstitch_server.rpc.errors import status_of
from lockstitch_server.rpc.stream_batches import BATCH, Chunk, request_id


def saved(result: Saved) -> bytes:
    """A SaveResponse."""
    checkpoint_id, revision, outcome, saved_at = result
    return wire.text(1, checkpoint_id) + _rest(revision, outcome.value, saved_at)


def item(number: int, result: Result | Failure) -> bytes:
    """A SaveStreamResponse."""
    if isinstance(result, Failure):
        return wire.unsigned(1, number) + wire.delimited(3, status_of(result).SerializeToString())
    assert isinstance(result, Saved)
    return wire.unsigned(1, number) + wire.delimited(2, saved(result))


def batch(results: Iterable[tuple[int, Result | Failure]]) -> bytes:
    """A SaveStreamResponse that holds many."""
    return b"".join([wire.delimited(BATCH, item(number, result)) for number, result in results])


def failed(chunk: Chunk, failure: Failure) -> bytes:
    """The answer to saves of a stream that have all failed."""
    if not chunk.is_batch:
        return item(request_id(chunk.data), failure)
    return batch((request_id(one), failure) for one in chunk.items())


@lru_cache(maxsize=256)
def _rest(revision: int, outcome: int, saved_at: int) -> bytes:
    """Of a SaveResponse; the same for most saves of a batch."""
    return wire.unsigned(2, revision) + wire.unsigned(3, outcome) + wire.delimited(4, timestamp(saved_at))
