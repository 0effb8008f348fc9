"""What watches saves, and what answers one of them, may fail: what was saved is acknowledged all the same."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.planning.operations import Result, Saved
from lockstitch_server.core.planning.session_cache import SessionCache
from lockstitch_server.engine.batching_queue import SLICE, Late
from lockstitch_server.engine.committer import Committer
from lockstitch_server.saving import responses
from lockstitch_server.saving.save_observer import BatchObserver, ObserveBatch, unobserved
from lockstitch_server.saving.save_requests import Item, Kind, ParsedSave, RawRequest
from lockstitch_server.saving.save_worker import SaveWorker
from lockstitch_server.storage.sqlite import SqliteStore


@pytest.fixture
async def committer() -> AsyncIterator[Committer]:
    store = SqliteStore(":memory:")
    await store.open()
    yield Committer(store, SessionCache(10**6), 10**6, 100)
    await store.close()


def request(session: str, step: int = 1) -> RawRequest:
    message = pb.SaveRequest(checkpoint=Checkpoint(session_id=session, step=step))
    return RawRequest(Kind.SAVE, "tenant", message.SerializeToString(), b"t" * 16)


def outcome(response: bytes | Failure | Late[bytes]) -> "pb.SaveOutcome.ValueType | Reason":
    assert not isinstance(response, asyncio.Task)
    return response.reason if isinstance(response, Failure) else pb.SaveResponse.FromString(response).outcome


class Breaks(BatchObserver):
    """Breaks at one step."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.errors: list[BaseException] = []

    def _reach(self, step: str) -> None:
        if step == self.step:
            raise RuntimeError(f"broken at {step}")

    def trace_id(self, request: RawRequest, place: int, item: Item) -> bytes:
        self._reach("trace_id")
        return super().trace_id(request, place, item)

    def request_parsed(self, request: RawRequest, parsed: Sequence[ParsedSave]) -> None:
        self._reach("request_parsed")

    @contextmanager
    def committing(self) -> Iterator[None]:
        self._reach("commit begins")
        yield
        self._reach("commit ends")

    def done(self, batch: Sequence[RawRequest], results: Sequence[Sequence[Result | Failure]]) -> None:
        self._reach("done")

    def failed(self, error: BaseException) -> None:
        self.errors.append(error)
        self._reach("failed")


@pytest.mark.parametrize("step", ["trace_id", "request_parsed", "commit begins", "commit ends", "done"])
async def test_an_observer_that_breaks_changes_nothing(committer: Committer, step: str) -> None:
    saves = SaveWorker(committer, Limits(), lambda batch: Breaks(step))
    for expected in (pb.SAVE_OUTCOME_CREATED, pb.SAVE_OUTCOME_UNCHANGED):
        answers = await saves.process_batch([request("a"), request("b")])
        assert list(map(outcome, answers)) == [expected] * 2


async def test_an_observer_that_cannot_be_made_changes_nothing(committer: Committer) -> None:
    def broken(batch: Sequence[RawRequest]) -> BatchObserver:
        raise RuntimeError("broken")

    answers = await SaveWorker(committer, Limits(), broken).process_batch([request("a")])
    assert list(map(outcome, answers)) == [pb.SAVE_OUTCOME_CREATED]


@pytest.mark.parametrize("step", ["failed", "commit ends"])
async def test_a_batch_that_fails_keeps_its_error(
    committer: Committer, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Failure(Reason.STORE_UNAVAILABLE, "away")

    async def commit(operations: Sequence[object]) -> Sequence[Result | Failure]:
        raise away

    monkeypatch.setattr(committer, "commit", commit)
    observer = Breaks(step)
    with pytest.raises(Failure) as failed:
        await SaveWorker(committer, Limits(), lambda batch: observer).process_batch([request("a")])
    assert failed.value is away
    assert observer.errors == [away]


@pytest.mark.parametrize("observe", [unobserved, lambda batch: BatchObserver()], ids=["unobserved", "observed"])
async def test_a_response_that_cannot_be_made_fails_alone(
    committer: Committer, observe: ObserveBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = responses.saved

    def break_some(result: Saved) -> bytes:
        if result.checkpoint_id.endswith("2"):
            raise RuntimeError("broken")
        return saved(result)

    monkeypatch.setattr(responses, "saved", break_some)
    saves = SaveWorker(committer, Limits(), observe)
    answers = await saves.process_batch([request("a", 1), request("a", 2), request("a", 3)])
    assert list(map(outcome, answers)) == [pb.SAVE_OUTCOME_CREATED, Reason.INTERNAL, pb.SAVE_OUTCOME_CREATED]
    monkeypatch.setattr(responses, "saved", saved)
    (again,) = await saves.process_batch([request("a", 2)])
    assert outcome(again) == pb.SAVE_OUTCOME_UNCHANGED


class Watches(BatchObserver):
    """Notes the event loop's turn in which each request is parsed."""

    def __init__(self) -> None:
        self.turn = 0
        self.parsed: list[int] = []

    async def count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turn += 1

    def request_parsed(self, request: RawRequest, parsed: Sequence[ParsedSave]) -> None:
        self.parsed.append(self.turn)


async def test_other_calls_run_while_a_batch_is_parsed(committer: Committer) -> None:
    watches = Watches()
    counting = asyncio.create_task(watches.count())
    await asyncio.sleep(0)  # it has begun
    answers = await SaveWorker(committer, Limits(), lambda batch: watches).process_batch(
        [request("a", step) for step in range(64)]
    )
    counting.cancel()
    assert {outcome(answer) for answer in answers} == {pb.SAVE_OUTCOME_CREATED}
    assert watches.parsed[-1] - watches.parsed[0] >= 64 // SLICE - 1
