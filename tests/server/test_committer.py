"""One operation that breaks its batch."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveResponse
from lockstitch_server.config import Settings
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.planning.changes import Decision
from lockstitch_server.core.planning.operations import Operation, Outcome, Save, Saved
from lockstitch_server.core.planning.planner import decide
from lockstitch_server.core.planning.session_cache import SessionCache
from lockstitch_server.engine.committer import Committer
from lockstitch_server.saving.intake import save_operation
from lockstitch_server.storage.sqlite import SqliteStore
from tests.support.api import ApiError, raw_api


def save(session: str, step: int) -> Operation:
    return save_operation(SaveRequest(checkpoint=Checkpoint(session_id=session, step=step)), "tenant")


async def test_it_fails_alone_and_the_others_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []

    def break_some(operation: Operation, *rest: object) -> Decision:
        planned.append(operation.session_id)
        if operation.session_id == "bad":
            raise RuntimeError("broken")
        return decide(operation, *rest)  # type: ignore[arg-type]  # what it was called with

    monkeypatch.setattr("lockstitch_server.core.planning.planner.decide", break_some)
    store = SqliteStore(":memory:")
    await store.open()
    try:
        committer = Committer(store, SessionCache(10**6), 10**6, 100)
        results = await committer.commit([save("a", 1), save("bad", 1), save("a", 2), save("b", 1)])
    finally:
        await store.close()
    assert [isinstance(result, Saved) for result in results] == [True, False, True, True]
    failure = results[1]
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.INTERNAL
    assert planned[-4:] == ["a", "bad", "a", "b"]


async def test_a_request_that_cannot_be_read_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_some(request: SaveRequest, *rest: str) -> Save:
        if request.checkpoint.session_id == "bad":
            raise RuntimeError("broken")
        return save_operation(request, *rest)  # type: ignore[arg-type]  # what it was called with

    monkeypatch.setattr("lockstitch_server.saving.save_worker.save_operation", break_some)
    async with raw_api(Settings(store="memory://")) as api:
        requests = [SaveRequest(checkpoint=Checkpoint(session_id=name, step=1)) for name in ("a", "bad", "b")]
        results = await asyncio.gather(*map(api.save, requests), return_exceptions=True)
    assert [isinstance(result, SaveResponse) for result in results] == [True, False, True]
    assert isinstance(results[1], ApiError)
    assert results[1].reason == "INTERNAL"


@pytest.fixture
async def committer() -> AsyncIterator[Committer]:
    store = SqliteStore(":memory:")
    await store.open()
    yield Committer(store, SessionCache(10**6), 10**6, 100)
    await store.close()


def with_channels(step: int, count: int) -> SaveRequest:
    request = SaveRequest(checkpoint=Checkpoint(session_id="s", step=step, parent_id="none"))
    for number in range(count):
        request.checkpoint.state.custom[f"{number:02d}"].list.items.add(data=bytes([step]) * 100)
    return request


def appended(step: int, base: int, name: int) -> SaveRequest:
    request = SaveRequest(checkpoint=Checkpoint(session_id="s", step=step), base_checkpoint_id=f"{base:020d}")
    request.delta.custom[f"{name:02d}"].append.items.add(data=bytes([step]) * 100)
    return request


def operations(*requests: SaveRequest) -> list[Operation]:
    return [save_operation(SaveRequest.FromString(request.SerializeToString()), "tenant") for request in requests]


async def test_forks_that_each_build_on_the_one_before_share_no_batch(committer: Committer) -> None:
    """Each has to read another log, which is known only once the one before is planned."""
    count = 24
    await committer.commit(operations(with_channels(0, count)))
    await committer.commit(operations(*[appended(1 + name, name, name) for name in range(count)]))
    chain = [appended(101 + name, 100 + name if name else 0, name) for name in range(count)]
    results = await committer.commit(operations(*chain))
    assert [isinstance(result, Saved) and result.outcome for result in results] == [Outcome.CREATED] * count
    again = await committer.commit(operations(*chain))
    assert [isinstance(result, Saved) and result.outcome for result in again] == [Outcome.UNCHANGED] * count


async def test_a_batch_that_would_read_too_much_is_split(committer: Committer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstitch_server.engine.committer.MOST_LOG_BYTES", 500)
    await committer.commit(operations(with_channels(0, 8)))
    await committer.commit(operations(*[appended(1 + name, name, name) for name in range(8)]))
    results = await committer.commit(operations(*[appended(101 + name, 0, name) for name in range(8)]))
    assert [isinstance(result, Saved) and result.outcome for result in results] == [Outcome.CREATED] * 8
