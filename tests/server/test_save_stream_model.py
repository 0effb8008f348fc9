"""Whatever is sent through SaveStream: the same answers and the same store as by Save, one after the other."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import (
    ExpectedLatest,
    ListCheckpointsRequest,
    SaveRequest,
    SaveResponse,
    SaveStreamRequest,
)
from lockstitch_server.config import Settings
from tests.support import strategies
from tests.support.api import Api, ApiError, RawApi, raw_api
from tests.support.streams import batch, error_of, flat

pytestmark = pytest.mark.slow

NUMBERS = itertools.count()
GARBAGE = b"\xff\xff"
STEPS = st.integers(0, 3)
SESSIONS = st.sampled_from(["one", "two"])

Result = tuple[object, ...]


@dataclass(frozen=True)
class Pair:
    """Two servers with a store each, and the loop on which they run."""

    loop: asyncio.Runner
    unary: RawApi
    streaming: RawApi


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    memory = Settings(store="memory://")
    with asyncio.Runner() as loop:
        one, other = raw_api(memory), raw_api(memory)
        yield Pair(loop, loop.run(one.__aenter__()), loop.run(other.__aenter__()))
        loop.run(other.__aexit__(None, None, None))
        loop.run(one.__aexit__(None, None, None))


@st.composite
def saves(draw: st.DrawFn) -> SaveRequest:
    """A save that may be good, or build on what is not there, or expect another latest, or make no sense."""
    made = draw(strategies.headers)
    made.MergeFrom(Checkpoint(session_id=draw(SESSIONS), step=draw(STEPS)))
    made.created_at.CopyFrom(draw(strategies.times))
    request = SaveRequest(checkpoint=made, writes=draw(st.lists(strategies.writes, max_size=1)))
    if draw(st.booleans()):
        request.base_checkpoint_id = f"{draw(STEPS):020d}"
        request.delta.CopyFrom(draw(strategies.deltas()))
    else:
        made.state.CopyFrom(draw(strategies.states))
        request.checkpoint.CopyFrom(made)
    if draw(st.integers(0, 3)) == 0:
        request.expected_latest.CopyFrom(ExpectedLatest(step=draw(STEPS)))
    if draw(st.integers(0, 7)) == 0:
        request.checkpoint.metadata["not JSON"] = "{"
    return request


@st.composite
def rows(draw: st.DrawFn) -> list[SaveRequest | bytes]:
    """Some of them, some twice; now and then something that is no message."""
    fresh = draw(st.lists(saves(), min_size=1, max_size=12))
    again = draw(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(fresh) | st.just(GARBAGE)), max_size=4))
    row: list[SaveRequest | bytes] = list(fresh)
    for place, item in again:
        row.insert(place, item)
    return row


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    row=rows(),
    pauses=st.lists(st.integers(0, 3), min_size=20, max_size=20),
    groups=st.lists(st.integers(1, 5), min_size=20, max_size=20) | st.just([1] * 20),
)
def test_a_stream_of_saves_does_what_saves_do(
    pair: Pair, row: list[SaveRequest | bytes], pauses: list[int], groups: list[int]
) -> None:
    named = _named(row, f"{next(NUMBERS)}-")
    alone = pair.loop.run(_one_by_one(pair.unary, named))
    together = pair.loop.run(_as_stream(pair.streaming, named, pauses, groups))
    assert together == alone
    for session in {item.checkpoint.session_id for item in named if isinstance(item, SaveRequest)}:
        stored = [pair.loop.run(_stored(api, session)) for api in (pair.unary, pair.streaming)]
        assert stored[0] == stored[1]
    event(f"{sum(result[0] == 'saved' for result in alone) * 10 // len(alone)} of 10 are good")


def _named(row: Sequence[SaveRequest | bytes], prefix: str) -> list[SaveRequest | bytes]:
    """The row with sessions that no other example has."""
    named: list[SaveRequest | bytes] = []
    for item in row:
        if isinstance(item, SaveRequest):
            item = SaveRequest.FromString(item.SerializeToString())
            item.checkpoint.session_id = prefix + item.checkpoint.session_id
        named.append(item)
    return named


async def _one_by_one(api: RawApi, row: Sequence[SaveRequest | bytes]) -> list[Result]:
    return [await _alone(api, item) for item in row]


async def _alone(api: RawApi, item: SaveRequest | bytes) -> Result:
    try:
        if isinstance(item, bytes):
            await api.send_bytes("Save", item)
            raise AssertionError("it was taken for a message")
        return _saved(await api.save(item))
    except ApiError as error:
        return _failed(error)


async def _as_stream(
    api: RawApi, row: Sequence[SaveRequest | bytes], pauses: Sequence[int], groups: Sequence[int]
) -> list[Result]:
    """In whatever messages the groups, and in whatever batches the pauses make of it."""

    async def requests() -> AsyncIterator[bytes]:
        for message, pause in zip(_messages(row, groups), pauses, strict=False):
            for _ in range(pause):
                await asyncio.sleep(0)
            yield message

    results: dict[int, Result] = {}
    garbage: list[Result] = []
    first = True
    async for message in api.save_stream(requests()):
        assert message.takes_batches or not first
        first = False
        for answer in flat(message):
            good = answer.WhichOneof("result") == "saved"
            result = _saved(answer.saved) if good else _failed(error_of(answer))
            if answer.request_id:
                results[answer.request_id - 1] = result
            else:
                garbage.append(result)
    return [results.pop(number) if isinstance(item, SaveRequest) else garbage.pop() for number, item in enumerate(row)]


def _messages(row: Sequence[SaveRequest | bytes], groups: Sequence[int]) -> Iterator[bytes]:
    """Saves alone and in batches; what is no message has no request_id either, and is answered as 0."""
    together: list[SaveStreamRequest] = []
    sizes = iter(groups)
    size = next(sizes)
    for number, item in enumerate(row):
        if isinstance(item, SaveRequest):
            together.append(SaveStreamRequest(request_id=number + 1, save=item))
        if together and (len(together) >= size or number == len(row) - 1 or not isinstance(item, SaveRequest)):
            yield together[0].SerializeToString() if len(together) == 1 else _bundle(together)
            together, size = [], next(sizes)
        if not isinstance(item, SaveRequest):
            yield GARBAGE


def _bundle(together: list[SaveStreamRequest]) -> bytes:
    """Saves in one message: all in its batch; or, where they are of an odd number, the first beside it."""
    if len(together) % 2 == 0:
        return batch(together)
    message = SaveStreamRequest(batch=together[1:])
    message.MergeFrom(together[0])
    return message.SerializeToString()


def _saved(answer: SaveResponse) -> Result:
    return "saved", answer.checkpoint_id, answer.outcome


def _failed(error: ApiError) -> Result:
    metadata = {**error.metadata, "field": error.metadata.get("field", "").removeprefix("save.")}
    # The time of a change is its revision, and no two stores have the same.
    return "failed", error.code, error.reason, {key: value for key, value in metadata.items() if "revision" not in key}


async def _stored(api: Api, session: str) -> list[bytes]:
    request = ListCheckpointsRequest(session_id=session, include_writes=True, page_size=100)
    page = await api.list_checkpoints(request)
    assert not page.next_page_token
    kept = [checkpoint.SerializeToString(deterministic=True) for checkpoint in page.checkpoints]
    return kept + [write.SerializeToString() for details in page.details for write in details.pending_writes]
