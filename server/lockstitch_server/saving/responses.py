"""Results of saves as the contract's responses, serialized."""

from collections.abc import Iterable
from typing import cast

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.planning.operations import Result, Saved, WritesSaved
from lockstitch_server.rpc.errors import status_of
from lockstitch_server.rpc.stream_batches import Chunk, request_id


def saved(result: Saved) -> bytes:
    """A SaveResponse."""
    response = pb.SaveResponse()
    _fill(response, result)
    return response.SerializeToString()


def stored(result: WritesSaved) -> bytes:
    """A SaveWritesResponse."""
    return pb.SaveWritesResponse(revision=result.revision, stored=result.stored).SerializeToString()


def item(number: int, result: Result | Failure) -> bytes:
    """A SaveStreamResponse for one save. number: its request_id."""
    response = pb.SaveStreamResponse()
    _fill_item(response, number, result)
    return response.SerializeToString()


def batch(results: Iterable[tuple[int, Result | Failure]]) -> bytes:
    """A SaveStreamResponse for the saves of a batch, by request_id."""
    response = pb.SaveStreamResponse()
    for number, result in results:
        _fill_item(response.batch.add(), number, result)
    return response.SerializeToString()


def failed(chunk: Chunk, failure: Failure) -> bytes:
    """A SaveStreamResponse for saves of a stream that have all failed."""
    if not chunk.is_batch:
        return item(request_id(chunk.data), failure)
    return batch((request_id(one), failure) for one in chunk.items())


def _fill_item(response: pb.SaveStreamResponse, number: int, result: Result | Failure) -> None:
    response.request_id = number
    if isinstance(result, Failure):
        response.error.ParseFromString(status_of(result).SerializeToString())
    else:
        assert isinstance(result, Saved)
        _fill(response.saved, result)


def _fill(response: pb.SaveResponse, result: Saved) -> None:
    response.checkpoint_id, response.revision, outcome, saved_at = result
    response.outcome = cast("pb.SaveOutcome.ValueType", outcome.value)
    response.saved_at.FromNanoseconds(saved_at)
