"""Saves of a SaveStream with more fields than `limits.max_fields`: each fails alone."""

from collections.abc import AsyncIterator, Iterator

import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint, Message
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveStreamRequest
from tests.support.api import Api, grpc_api
from tests.support.server import LockstitchServer
from tests.support.streams import batch, error_of, flat, save_all, sent

MOST = 4000
"""Fields; each message in a state is three: itself, its role and its content."""


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer(arguments=[f"--set=limits.max_fields={MOST}"]) as running:
        yield running


@pytest.fixture
async def api(server: LockstitchServer) -> AsyncIterator[Api]:
    async with grpc_api(server.target) as opened:
        yield opened


def save(session: str, messages: int, size: int = 300) -> SaveRequest:
    """A save whose messages are of this size, so that 1,000 of them are more than 256 KiB."""
    checkpoint = Checkpoint(session_id=session, step=1)
    checkpoint.state.messages.items.extend([Message(role="user", content="x" * size)] * messages)
    return SaveRequest(checkpoint=checkpoint)


async def test_the_others_of_the_call_are_saved(api: Api) -> None:
    saves = [save("a", 1), save("b", MOST), save("c", 1)]
    first, refused, last = await save_all(api, saves)
    assert (first.saved.checkpoint_id, last.saved.checkpoint_id) == (f"{1:020d}", f"{1:020d}")
    error = error_of(refused)
    assert (error.code.name, error.metadata) == ("INVALID_ARGUMENT", {"field": "request", "limit": str(MOST)})
    assert "limits.max_fields" in error.message


async def test_the_others_of_the_message_are_saved(api: Api) -> None:
    """Each is counted alone: what is too much together is not too much for anybody."""
    counts = [1, MOST, 1000, 1000, 1000, 1]
    requests = [
        SaveStreamRequest(request_id=number, save=save(f"batch-{number}", count)) for number, count in enumerate(counts)
    ]
    answers = [each async for answer in api.save_stream(sent([batch(requests)])) for each in flat(answer)]
    outcomes = {answer.request_id: answer.WhichOneof("result") for answer in answers}
    assert outcomes == {number: "error" if number == 1 else "saved" for number in range(len(counts))}


async def test_a_save_beside_a_batch(api: Api) -> None:
    beside = SaveStreamRequest(request_id=1, save=save("beside", MOST))
    beside.batch.add(request_id=2, save=save("within", 1))
    answers = [each async for answer in api.save_stream(sent([beside.SerializeToString()])) for each in flat(answer)]
    assert {answer.request_id: answer.WhichOneof("result") for answer in answers} == {1: "error", 2: "saved"}


async def test_a_message_without_a_save(api: Api) -> None:
    """What is too much of it stands in its trace context."""
    request = SaveStreamRequest(
        request_id=0, trace_context={f"{number:0100d}": "x" * 100 for number in range(MOST // 2)}
    )
    first, second = await save_all(api, [request, save("after", 1)])
    assert "limits.max_fields" in error_of(first).message
    assert second.WhichOneof("result") == "saved"
