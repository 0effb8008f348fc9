"""SaveStream on a running server: how it ends, whom it holds back, what it leaves behind."""

import asyncio
import gc
import itertools
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any

import grpc
import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_UNSPECIFIED,
    ListCheckpointsRequest,
    LoadLatestRequest,
    SaveRequest,
    SaveStreamRequest,
    SaveStreamResponse,
)
from lockstitch_server.config import Settings
from lockstitch_server.rpc.save_stream import SaveStream
from lockstitch_server.runtime.server import serve_until
from tests.robustness.crowd import lines, until
from tests.robustness.faults import locked, process_of
from tests.robustness.ledger import Ledger, Sent
from tests.robustness.workload import delta_save, full_save
from tests.support.api import Api, ApiError, GrpcApi, grpc_api
from tests.support.server import LockstitchServer
from tests.support.streams import batch, error_of, flat, save_all, sent, wire

pytestmark = pytest.mark.slow

ITEMS = 300
"""More than a stream has waiting at once."""
ROUNDS = 200
PATIENCE = 60.0
MOST_GROWTH = 50 * 1024 * 1024


@pytest.fixture
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer() as running:
        yield running


def small(session: str, step: int) -> SaveRequest:
    return SaveRequest(checkpoint=Checkpoint(session_id=session, step=step))


def assert_all_saved(answers: Iterable[SaveStreamResponse], count: int) -> None:
    outcomes = [answer.saved.outcome for answer in answers]
    assert len(outcomes) == count
    assert SAVE_OUTCOME_UNSPECIFIED not in outcomes


async def latest_step(api: Api, session: str) -> int:
    return (await api.load_latest(LoadLatestRequest(session_id=session))).checkpoint.step


async def test_what_is_sent_before_the_half_close_is_answered_after_it(server: LockstitchServer) -> None:
    async with grpc_api(server.target) as api:
        with locked(server):
            saving = asyncio.create_task(save_all(api, [small("s", step) for step in range(ITEMS)]))
            await asyncio.sleep(0.5)
            assert not saving.done()
        assert_all_saved(await saving, ITEMS)


async def test_a_cancelled_call_leaves_nothing_behind(
    rng: random.Random, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was answered is durable, the rest is there or not, and the server keeps neither tasks nor memory."""
    ledger = Ledger()
    async with _served_here(f"sqlite:///{tmp_path}/lockstitch.db") as target, grpc_api(target) as api:
        await api.save(small("warm", 0))
        before = len(asyncio.all_tasks())
        for number in range(ROUNDS):
            await _cancelled(api, ledger, f"session-{number}", rng)
        await _until_tasks(before)
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, SaveStream)]
        await ledger.check_all(api)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.fixture
def rng() -> random.Random:
    return random.Random(7)


@asynccontextmanager
async def _served_here(store: str) -> AsyncIterator[str]:
    stop = asyncio.Event()
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_until(stop, Settings(store=store, listen="127.0.0.1:0"), address.set_result))
    yield await address
    stop.set()
    await serving


async def _cancelled(api: GrpcApi, ledger: Ledger, session: str, rng: random.Random) -> None:
    """Send some saves, read some answers, and go."""
    requests = [(delta_save if step else full_save)(session, step) for step in range(8)]
    notes = [ledger.note_save(request) for request in requests]
    answers = api.save_stream(_open_ended(requests))
    for _ in range(rng.randrange(8)):
        answer = await anext(answers)
        notes[answer.request_id].acknowledged = answer.WhichOneof("result") == "saved"
    await asyncio.sleep(rng.uniform(0, 0.002))
    await answers.aclose()  # type: ignore[attr-defined]  # it is a generator


async def _open_ended(requests: Iterable[SaveRequest]) -> AsyncIterator[bytes]:
    async for data in sent(list(requests)):
        yield data
    await asyncio.Event().wait()


async def _until_tasks(count: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(asyncio.all_tasks()) > count:
        assert time.monotonic() < end, asyncio.all_tasks()
        await asyncio.sleep(0.05)


async def test_who_reads_no_answers_is_held_back(server: LockstitchServer) -> None:
    """Its saves must not turn into answers that pile up. Others do not notice."""
    process, number = process_of(server), itertools.count()
    greedy = small("greedy", 0)
    greedy.checkpoint.header.data = bytes(10_000)
    request = wire(greedy, 2**63)
    no_more_room = [("grpc.http2.bdp_probe", 0)]  # for answers that wait here, than the 64 KiB that HTTP/2 begins with
    async with grpc.aio.insecure_channel(server.target, no_more_room) as channel, grpc_api(server.target) as other:
        method: Any = channel.stream_stream("/lockstitch.v1.CheckpointService/SaveStream")
        call = method()

        async def send() -> None:
            for _ in number:
                await call.write(request)

        memory = process.memory_info().rss
        sending = asyncio.create_task(send())
        held_back = await _standstill(number)
        assert process.memory_info().rss - memory < MOST_GROWTH
        await asyncio.wait_for(other.save(small("other", 0)), PATIENCE)
        for _ in range(held_back - 1):
            await call.read()
        assert await _standstill(number) > held_back, "it does not go on"
        sending.cancel()
        call.cancel()


async def _standstill(number: "itertools.count[int]") -> int:
    """Wait until it counts no further, which it does when gRPC's own buffers are full."""
    before, now = -1, _now(number)
    while now != before:
        assert now < 20_000, "nothing holds it back"
        await asyncio.sleep(0.5)
        before, now = now, _now(number)
    return now


def _now(number: "itertools.count[int]") -> int:
    """Where it stands, without counting on."""
    return next(copy(number))


async def test_what_was_read_is_answered_when_the_server_stops(server: LockstitchServer) -> None:
    """How much that is, only the server knows: all that it has stored, and no more, is answered."""
    answers: list[SaveStreamResponse] = []
    more, all_sent, process = asyncio.Event(), asyncio.Event(), process_of(server)
    async with grpc_api(server.target) as api:
        streaming = asyncio.create_task(_collect(api, _one_and_then_more(more, all_sent), answers))
        await until(lambda: answers)
        with locked(server):
            more.set()
            await all_sent.wait()
            await latest_step(api, "s")  # the server has what came before on this connection
            server.signal(signal.SIGTERM)
            await until(lambda: lines(server, "stopping"))
        end = await streaming
        assert (end.code, end.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert_all_saved(answers, len(answers))
    await asyncio.to_thread(process.wait, PATIENCE)
    await asyncio.to_thread(server.start)
    async with grpc_api(server.target) as api:
        stored = await api.list_checkpoints(ListCheckpointsRequest(session_id="s", page_size=100))
    assert sorted(answer.request_id for answer in answers) == sorted(each.step for each in stored.checkpoints)
    assert len(answers) > 1


async def _one_and_then_more(more: asyncio.Event, all_sent: asyncio.Event) -> AsyncIterator[bytes]:
    yield wire(small("s", 0), 0)
    await more.wait()
    for step in range(1, 50):
        yield wire(small("s", step), step)
    all_sent.set()
    await asyncio.Event().wait()


async def _collect(api: Api, requests: AsyncIterator[bytes], answers: list[SaveStreamResponse]) -> ApiError:
    """Read until the call ends, which it does with an error. Returns that."""
    try:
        async for answer in api.save_stream(requests):
            answers.append(answer)  # noqa: PERF401 - those before the error count
    except ApiError as error:
        return error
    raise AssertionError("it ended OK")


class Stream:
    """Saves a session, step by step, over as many calls as it takes: what is not answered is sent again."""

    def __init__(self, session: str, ledger: Ledger) -> None:
        self.ends: list[str] = []
        self.stop = False
        self._session = session
        self._ledger = ledger
        self._unanswered: dict[int, tuple[SaveRequest, Sent]] = {}
        self._step = itertools.count()
        self._calls = 0

    async def run(self, api: Api) -> None:
        """One call."""
        self._calls += 1
        try:
            async for answer in api.save_stream(self._requests()):
                assert answer.WhichOneof("result") == "saved", answer
                self._unanswered.pop(answer.request_id)[1].acknowledged = True
        except ApiError as error:
            self.ends.append(error.reason)
        except grpc.aio.AioRpcError as error:
            # When a message goes out just as the call has ended, what it ended with is lost on this side: grpc.aio
            # forgets it, or the message meets a connection that has been closed since.
            if error.details() != "Internal error from Core" and error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            self.ends.append("FORGOTTEN")

    async def finish(self, api: Api) -> None:
        """A last call, for what is not answered."""
        self.stop = True
        await self.run(api)
        assert not self._unanswered

    async def _requests(self) -> AsyncIterator[bytes]:
        call = self._calls
        for number, (request, _) in sorted(self._unanswered.items()):
            yield wire(request, number)
        while not self.stop:
            await asyncio.sleep(0.001)
            if call != self._calls:  # gRPC goes on taking from it after its call has ended
                return
            yield self._next()

    def _next(self) -> bytes:
        number = next(self._step)
        step, session = number % 20, f"{self._session}-{number // 20}"
        request = (delta_save if step else full_save)(session, step)
        self._unanswered[number] = request, self._ledger.note_save(request)
        return wire(request, number)


def more_acknowledged(ledger: Ledger, count: int) -> Callable[[], bool]:
    """Whether that many more saves are acknowledged than now."""
    wanted = ledger.acknowledged + count
    return lambda: ledger.acknowledged > wanted


async def test_what_is_sent_again_after_a_stop_lands_once(server: LockstitchServer) -> None:
    ledger = Ledger()
    streams = [Stream(f"stream-{number}", ledger) for number in range(4)]
    for _ in range(3):
        async with grpc_api(server.target) as api:
            running = asyncio.gather(*(stream.run(api) for stream in streams))
            await until(more_acknowledged(ledger, 100))
            await asyncio.to_thread(server.stop)
            await running
        await asyncio.to_thread(server.start)
    async with grpc_api(server.target) as api:
        await asyncio.gather(*(stream.finish(api) for stream in streams))
        ends = [end for stream in streams for end in stream.ends]
        assert len(ends) == 4 * 3
        assert set(ends) <= {"DRAINING", "FORGOTTEN"}
        await ledger.check_all(api)


async def test_a_stream_waits_where_a_call_would_be_refused() -> None:
    bounds = ("max_operations=8", "batch_operations=3", "stream_operations=4")
    with LockstitchServer(arguments=[f"--set=queue.{bound}" for bound in bounds]) as server:
        async with grpc_api(server.target) as api:
            with locked(server):
                saving = [
                    asyncio.create_task(save_all(api, [small(f"s{stream}", step) for step in range(ITEMS)]))
                    for stream in range(8)
                ]
                await asyncio.sleep(0.5)  # until they have come
                calls = [asyncio.create_task(api.save(small(f"call-{number}", 0))) for number in range(20)]
                refused, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                with pytest.raises(ApiError, match="too much work"):
                    await refused.pop()
            for call in asyncio.as_completed(calls):
                with suppress(ApiError):
                    await call
            for answers in await asyncio.gather(*saving):
                assert_all_saved(answers, ITEMS)


@pytest.mark.parametrize("window", ["operations=1", "bytes=1KiB"])
async def test_a_window_of_one(window: str) -> None:
    with LockstitchServer(arguments=[f"--set=queue.stream_{window}"]) as server:
        async with grpc_api(server.target) as api:
            large = small("s", ITEMS)
            large.checkpoint.header.data = bytes(100_000)
            assert_all_saved(await save_all(api, [*(small("s", n) for n in range(ITEMS)), large]), ITEMS + 1)
            assert await latest_step(api, "s") == ITEMS


async def test_failures_among_many(server: LockstitchServer) -> None:
    """No more of them than there are bad ones."""
    async with grpc_api(server.target) as api:
        answers = await save_all(api, [small("s" if step % 3 else "", step) for step in range(ITEMS)])
        failed = [answer for answer in answers if answer.WhichOneof("result") == "error"]
        assert [answer.request_id for answer in failed] == list(range(0, ITEMS, 3))
        assert {error_of(answer).metadata["field"] for answer in failed} == {"save.checkpoint.session_id"}


async def test_batches_are_answered_by_batches_and_lone_saves_by_lone_answers(server: LockstitchServer) -> None:
    async with grpc_api(server.target) as api:
        alone = [answer async for answer in api.save_stream(sent([small("s", step) for step in range(ITEMS)]))]
        assert not [answer for answer in alone if answer.batch]
        assert alone[0].takes_batches
        items = [SaveStreamRequest(request_id=step, save=small("b", step)) for step in range(ITEMS)]
        together = [answer async for answer in api.save_stream(sent([batch(items)]))]
        assert len(together) < ITEMS / 10
        answers = [answer for message in together for answer in flat(message)]
        assert [answer.request_id for answer in answers] == list(range(ITEMS)), "they wait, and keep their order"
        assert_all_saved(answers, ITEMS)
        assert await latest_step(api, "b") == ITEMS - 1


async def test_one_bad_item_of_a_batch_fails_alone(server: LockstitchServer) -> None:
    within = SaveStreamRequest(request_id=7, batch=[SaveStreamRequest(request_id=8, save=small("s", 8))])
    async with grpc_api(server.target) as api:
        items = [SaveStreamRequest(request_id=step, save=small("s" if step % 3 else "", step)) for step in range(7)]
        answers = await save_all_of(api, [batch([*items, within])])
        fields = [error_of(answer).metadata["field"] if answer.HasField("error") else "" for answer in answers]
        bad = "save.checkpoint.session_id"
        assert fields == [bad, "", "", bad, "", "", bad, "save"]
        assert await latest_step(api, "s") == 5


async def test_a_batch_is_larger_than_what_it_holds_may_be() -> None:
    with LockstitchServer(arguments=["--set=limits.max_message_bytes=64KiB"]) as server:
        async with grpc_api(server.target) as api:
            items = [SaveStreamRequest(request_id=step, save=small("s", step)) for step in range(16)]
            for item in items:
                item.save.checkpoint.header.data = bytes(40_000 if item.request_id % 2 else 80_000)
            answers = await save_all_of(api, [batch(items)])
            assert [answer.HasField("saved") for answer in answers] == [step % 2 == 1 for step in range(16)]
            assert {error_of(answer).reason for answer in answers[::2]} == {"TOO_LARGE"}


async def save_all_of(api: Api, messages: Sequence[bytes]) -> list[SaveStreamResponse]:
    """Send all. The answers in the order of their request_ids."""
    answers = [answer async for message in api.save_stream(sent(messages)) for answer in flat(message)]
    return sorted(answers, key=lambda answer: answer.request_id)


async def test_streams_end_in_peace_when_connections_grow_old() -> None:
    ages = ["--set=max_connection_age_seconds=0.5", "--set=max_connection_age_grace_seconds=1.5"]
    with LockstitchServer(arguments=ages) as server:
        async with grpc_api(server.target) as api:
            ledger, stop = Ledger(), asyncio.Event()
            stream = Stream("stream", ledger)
            calls = asyncio.create_task(_call_until(stop, api))
            while len(stream.ends) < 5:
                await stream.run(api)
            stop.set()
            await calls
            await stream.finish(api)
            assert set(stream.ends) <= {"DRAINING", "FORGOTTEN"}
            await ledger.check_all(api)


async def _call_until(stop: asyncio.Event, api: Api) -> None:
    """Calls without any retry of ours."""
    step = 0
    while not stop.is_set():
        await api.save(small("calls", step))
        step += 1
