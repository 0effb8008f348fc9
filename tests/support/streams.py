"""SaveStream in few words."""

from collections.abc import AsyncIterator, Iterable, Sequence

from google.rpc.status_pb2 import Status

from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveStreamRequest, SaveStreamResponse
from tests.support.api import Api, ApiError

Item = SaveRequest | SaveStreamRequest | bytes
"""A save (its place in the row becomes its request_id), a whole request, or something else."""


async def save_all(api: Api, items: Sequence[Item]) -> list[SaveStreamResponse]:
    """Send all, without waiting, on one call that ends OK. The answers in the order of their request_ids."""
    answers = [answer async for answer in api.save_stream(sent(items))]
    assert len(answers) == len(items)
    return sorted(answers, key=lambda answer: answer.request_id)


async def sent(items: Iterable[Item]) -> AsyncIterator[bytes]:
    """The items as they go out."""
    for number, item in enumerate(items):
        yield wire(item, number)


def wire(item: Item, number: int) -> bytes:
    if isinstance(item, SaveRequest):
        item = SaveStreamRequest(request_id=number, save=item)
    return item if isinstance(item, bytes) else item.SerializeToString()


def batch(requests: Iterable[SaveStreamRequest]) -> bytes:
    """Many saves as one message."""
    return SaveStreamRequest(batch=requests).SerializeToString()


def flat(answer: SaveStreamResponse) -> list[SaveStreamResponse]:
    """The answers to saves that a message holds."""
    return list(answer.batch) or [answer]


def error_of(answer: SaveStreamResponse) -> ApiError:
    """The failure of one save, as a call of its own would have ended."""
    assert answer.WhichOneof("result") == "error", answer
    return ApiError(Status.FromString(answer.error.SerializeToString()))
