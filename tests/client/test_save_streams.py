"""Saves that are under way at the same time share streams: what that changes, and what it does not."""

import asyncio
from collections.abc import Iterable

import grpc
import pytest

from lockstitch import (
    AsyncClient,
    Cancelled,
    Checkpoint,
    DeadlineExceeded,
    ExpectedLatestMismatch,
    InFlightPolicy,
    Internal,
    NotJson,
    Reason,
    ResourceExhausted,
    Saved,
    SessionState,
    TypedBlob,
    Unavailable,
    _save_stream,
    _save_streams,
)
from lockstitch._draft import Draft
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest
from tests.client.examples import conversation
from tests.client.stream_saves import GENEROUS, QUICK, SESSIONS, assert_stored, save_all, until
from tests.client.streaming import (
    Context,
    Requests,
    Streaming,
    answer_all,
    answer_nothing,
    answer_then_end,
    refuse,
    refuse_once,
    streaming_server,
)
from tests.support.server import LockstitchServer

SOON = 2.0
"""When a save gives up: time enough to connect and to be refused, on a busy machine too."""


@pytest.fixture
def drafts(monkeypatch: pytest.MonkeyPatch) -> list[Checkpoint]:
    """The checkpoints that have been copied."""
    drafts: list[Checkpoint] = []
    init = Draft.__init__

    def noted(self: Draft, checkpoint: Checkpoint, conditions: bytes) -> None:
        drafts.append(checkpoint)
        init(self, checkpoint, conditions)

    monkeypatch.setattr(Draft, "__init__", noted)
    return drafts


def steps_of(requests: Iterable[SaveRequest], session: str) -> list[int]:
    return [request.checkpoint.step for request in requests if request.checkpoint.session_id == session]


async def test_concurrent_saves_share_a_few_streams() -> None:
    async with streaming_server() as server, AsyncClient(server.target) as client:
        await save_all(client)
        assert_stored(server)
    assert len(server.alone) == 1, "the first one was alone when it began"
    assert 1 <= len(server.streams) <= _save_streams.STREAMS


async def test_saves_that_wait_go_in_one_message_where_the_server_says_that_it_takes_them() -> None:
    async with streaming_server(takes_batches=True) as server, AsyncClient(server.target) as client:
        await save_all(client, steps=1)
        messages = server.messages
        await save_all(client, SESSIONS * 3, steps=3)
        assert server.messages - messages < 20
        assert_stored(server)


async def test_large_saves_go_in_messages_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_save_stream, "BATCH_BYTES", 20_000)
    async with streaming_server(takes_batches=True) as server, AsyncClient(server.target) as client:
        await save_all(client, steps=1)
        messages = server.messages
        checkpoints = [conversation(f"l{number}", 0, "x" * 15_000) for number in range(16)]
        await asyncio.gather(*map(client.save, checkpoints))
        assert server.messages - messages == 15, "the first one was alone when it began"
        stored = [checkpoint for checkpoint, _ in server.stored.checkpoints.values()]
        assert all(checkpoint in stored for checkpoint in checkpoints)


async def test_a_save_that_is_alone_is_a_call_of_its_own() -> None:
    async with streaming_server() as server, AsyncClient(server.target) as client:
        for step in range(3):
            await client.save(conversation("s", step))
    assert (len(server.alone), server.streams) == (3, [])


async def test_streams_can_be_turned_off() -> None:
    async with streaming_server() as server, AsyncClient(server.target, stream=False) as client:
        await save_all(client)
        assert_stored(server)
    assert server.streams == []


async def test_credentials_go_with_streams() -> None:
    metadata: list[tuple[str, str | bytes]] = [("authorization", "Bearer token"), ("x-bin", b"\x00")]
    async with streaming_server() as server, AsyncClient(server.target, metadata=metadata) as client:
        await save_all(client)
    assert all(dict(metadata).items() <= given.items() for given in server.metadata)


async def test_deltas_go_over_streams() -> None:
    async with streaming_server() as server, AsyncClient(server.target) as client:
        for step in range(3):
            await asyncio.gather(*(client.save(conversation(session, step)) for session in SESSIONS))
        assert_stored(server)
    deltas = [request for request in server.streamed if request.HasField("delta")]
    assert len(deltas) == sum(request.checkpoint.step > 0 for request in server.streamed)


async def test_the_full_state_follows_a_delta_that_is_refused() -> None:
    async with streaming_server() as server, AsyncClient(server.target) as client:
        await save_all(client, steps=1)
        server.stored.checkpoints.clear()
        alone = client.save(conversation("alone", 1))
        await asyncio.gather(alone, *(client.save(conversation(session, 1)) for session in SESSIONS))
        assert set(server.stored.checkpoints) == {(name, "", f"{1:020d}") for name in ("alone", *SESSIONS)}
    assert [request.HasField("delta") for request in server.streamed].count(True) == len(SESSIONS)


async def test_each_save_has_its_own_error(server: LockstitchServer, session_id: str) -> None:
    not_json = Checkpoint(session_id=f"{session_id}-json", metadata={"a": "{"})
    async with AsyncClient(server.target) as client:
        await client.save(conversation(f"{session_id}-behind", 1))
        for step in range(3):  # first in messages of their own, then in batches
            results = await asyncio.gather(
                client.save(conversation(f"{session_id}-0", step)),
                client.save(not_json),
                client.save(conversation(f"{session_id}-1", step)),
                client.save(conversation(f"{session_id}-behind", 2), expected_latest=0),
                client.save(conversation(f"{session_id}-2", step)),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [Saved, NotJson, Saved, ExpectedLatestMismatch, Saved]
            mismatch = results[3]
            assert isinstance(mismatch, ExpectedLatestMismatch)
            assert mismatch.latest_step == 1


@pytest.mark.parametrize("reason", [Reason.OVERLOADED, Reason.DRAINING, Reason.STORE_UNAVAILABLE])
async def test_a_save_that_is_refused_for_now_is_repeated(reason: Reason) -> None:
    async with (
        streaming_server(refuse(25, grpc.StatusCode.UNAVAILABLE, reason)) as server,
        AsyncClient(server.target, retry=QUICK) as client,
    ):
        await save_all(client)
        assert_stored(server)
    assert len(server.streamed) == 3 * len(SESSIONS) - 1 + 25


async def test_without_retries_a_save_that_is_refused_fails_at_once_and_alone() -> None:
    script = refuse(1, grpc.StatusCode.UNAVAILABLE, Reason.OVERLOADED)
    async with streaming_server(script) as server, AsyncClient(server.target, retry=False) as client:
        results = await asyncio.gather(*(client.save(conversation(s, 0)) for s in SESSIONS), return_exceptions=True)
    assert sum(isinstance(result, Unavailable) for result in results) == 1
    assert sum(isinstance(result, Saved) for result in results) == len(SESSIONS) - 1
    assert len(server.streamed) == len(SESSIONS) - 1


async def test_a_refused_save_says_why_when_its_time_is_up() -> None:
    async with (
        streaming_server(refuse(10**6, grpc.StatusCode.UNAVAILABLE, Reason.OVERLOADED)) as server,
        AsyncClient(server.target) as client,
    ):
        client._transport.room.saves += 1  # as if another save was under way all the time
        with pytest.raises(Unavailable, match="OVERLOADED"):
            await client.save(conversation("s", 0), timeout=SOON)


async def test_saves_of_a_session_are_sent_in_their_order() -> None:
    async with streaming_server() as server, AsyncClient(server.target) as client:
        await save_all(client, SESSIONS[:3], steps=50)
    for session in SESSIONS[:3]:
        steps = steps_of(server.streamed, session)
        assert steps == sorted(steps)


@pytest.mark.parametrize("takes_batches", [False, True])
async def test_their_order_stays_when_some_are_refused_for_now(*, takes_batches: bool) -> None:
    async with (
        streaming_server(refuse_once("s"), takes_batches=takes_batches) as server,
        AsyncClient(server.target, retry=QUICK) as client,
    ):
        await save_all(client, ["t", "s"], steps=10)
        assert_stored(server, ["t", "s"], steps=10)
    assert steps_of(server.stored.requests, "s") == list(range(10))


async def test_the_last_of_many_contents_stays() -> None:
    """A checkpoint that is saved again and again has the content of the last save, whatever ends the streams."""
    scripts = [answer_then_end(3), answer_then_end(1, grpc.StatusCode.UNAVAILABLE), answer_all]
    async with streaming_server(*scripts) as server, AsyncClient(server.target, retry=QUICK) as client:
        contents = [Checkpoint(session_id="s", header=TypedBlob(type=str(number))) for number in range(20)]
        await asyncio.gather(client.save(conversation("t", 0)), *(client.save(content) for content in contents))
        assert server.stored.checkpoints["s", "", "0" * 20][0] == contents[-1]


async def test_a_server_without_streams_gets_calls() -> None:
    async with streaming_server(bidirectional=False) as server, AsyncClient(server.target) as client:
        for step in range(3):
            await asyncio.gather(*(client.save(conversation(session, step)) for session in SESSIONS))
        assert_stored(server)


async def test_a_proxy_that_holds_streams_back_gets_calls() -> None:
    async with streaming_server(answer_nothing) as server, AsyncClient(server.target) as client:
        first = client.save(conversation("s", 0)), client.save(conversation("t", 0), timeout=0.5)
        alone, streamed = await asyncio.gather(*first, return_exceptions=True)
        assert isinstance(alone, Saved)
        assert isinstance(streamed, DeadlineExceeded)
        server.stored.checkpoints.clear()
        await save_all(client)
        assert_stored(server)


async def test_one_message_that_ends_the_stream_harms_only_itself() -> None:
    limit = [("grpc.max_receive_message_length", 10_000)]
    async with streaming_server(options=limit) as server, AsyncClient(server.target) as client:
        good = [client.save(conversation(session, 0)) for session in SESSIONS]
        large = client.save(Checkpoint(session_id="large", header=TypedBlob(data=b"x" * 20_000)))
        results = await asyncio.gather(*good[:10], large, *good[10:], return_exceptions=True)
        assert isinstance(results.pop(10), ResourceExhausted)
        assert all(isinstance(result, Saved) for result in results)
        assert_stored(server, steps=1)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
async def test_without_the_right_to_it_nothing_is_repeated(code: grpc.StatusCode) -> None:
    async with (
        streaming_server(answer_then_end(0, code)) as server,
        AsyncClient(server.target, timeout=GENEROUS) as client,
    ):
        results = await asyncio.gather(*(client.save(conversation(s, 0)) for s in SESSIONS), return_exceptions=True)
        assert all(isinstance(result, Saved) or getattr(result, "code", None) is code for result in results)
        assert not all(isinstance(result, Saved) for result in results)


async def test_an_answer_without_a_result() -> None:
    async def script(server: Streaming, requests: Requests, context: Context) -> None:
        async for request in requests:
            answer = server.answer(request)
            answer.ClearField("saved")
            await context.write(answer)

    async with streaming_server(script) as server, AsyncClient(server.target) as client:
        _, result = await asyncio.gather(
            client.save(conversation("s", 0)), client.save(conversation("t", 0)), return_exceptions=True
        )
        assert isinstance(result, Internal)


async def test_idle_streams_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_save_stream, "IDLE_SECONDS", 0.05)
    async with streaming_server() as server, AsyncClient(server.target) as client:
        await save_all(client)
        first = len(server.streams)
        await until(lambda: server.ended == first)
        await save_all(client)
        assert first < len(server.streams) <= 2 * first
        assert_stored(server)


async def test_old_streams_are_replaced_while_they_are_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_save_stream, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(_save_stream, "STREAM_SECONDS", 0.0)
    async with streaming_server() as server, AsyncClient(server.target) as client:
        step = 0
        while len(server.streams) < 3 * _save_streams.STREAMS:
            await save_all(client, [f"{session}-{step}" for session in SESSIONS])
            step += 1
        assert len(server.streamed) + len(server.alone) == 3 * len(SESSIONS) * step, "nothing was sent twice"


async def test_saves_beyond_the_bounds_wait_and_are_not_copied(
    own_server: LockstitchServer, session_id: str, drafts: list[Checkpoint]
) -> None:
    async with AsyncClient(own_server.target, timeout=GENEROUS, in_flight=InFlightPolicy(max_saves=16)) as client:
        await client.wait_ready()
        own_server.freeze()
        saves = [asyncio.create_task(client.save(conversation(f"{session_id}-{n}", 0))) for n in range(200)]
        await until(lambda: len(drafts) == 16)
        with pytest.raises(DeadlineExceeded, match="other saves"):
            await client.save(conversation(session_id, 0), timeout=0.05)
        assert len(drafts) == 16
        own_server.thaw()
        await asyncio.gather(*saves)
    assert len(drafts) == 200


async def test_large_saves_are_bounded_by_their_bytes(
    own_server: LockstitchServer, session_id: str, drafts: list[Checkpoint]
) -> None:
    checkpoints = [conversation(f"{session_id}-{number}", 0, "x" * 1_000_000) for number in range(20)]
    async with AsyncClient(
        own_server.target, timeout=GENEROUS, in_flight=InFlightPolicy(max_bytes=5_000_000)
    ) as client:
        await client.wait_ready()
        own_server.freeze()
        saves = [asyncio.create_task(client.save(checkpoint)) for checkpoint in checkpoints]
        await until(lambda: len(drafts) == 5)
        with pytest.raises(DeadlineExceeded):
            await client.save(checkpoints[0], timeout=0.05)
        assert len(drafts) == 5, "four under way, and the one that is the next"
        own_server.thaw()
        await asyncio.gather(*saves)
        for checkpoint in checkpoints:
            assert (await client.load(checkpoint.session_id, step=0)).checkpoint == checkpoint


async def test_a_save_that_is_cancelled_leaves_its_neighbours_alone(
    own_server: LockstitchServer, session_id: str, drafts: list[Checkpoint]
) -> None:
    async with AsyncClient(own_server.target, timeout=GENEROUS) as client:
        await client.wait_ready()
        own_server.freeze()
        saves = [asyncio.create_task(client.save(conversation(f"{session_id}-{n}", 0))) for n in range(20)]
        await until(lambda: len(drafts) == 20)
        for save in saves[::2]:
            save.cancel()
        own_server.thaw()
        results = await asyncio.gather(*saves, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert all(isinstance(result, Saved) for result in results[1::2])


async def test_a_deadline_that_passes_leaves_its_neighbours_alone(
    own_server: LockstitchServer, session_id: str
) -> None:
    async with AsyncClient(own_server.target, timeout=GENEROUS) as client:
        await client.wait_ready()
        own_server.freeze()
        saves = [
            asyncio.create_task(client.save(conversation(f"{session_id}-{n}", 0), timeout=0.2 if n % 2 else GENEROUS))
            for n in range(20)
        ]
        await asyncio.wait(saves[1::2])
        own_server.thaw()
        results = await asyncio.gather(*saves, return_exceptions=True)
        assert [type(result) for result in results] == [Saved, DeadlineExceeded] * 10
        assert isinstance(results[1], DeadlineExceeded)
        assert results[1].code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_deadline_tells_what_went_wrong_with_the_stream() -> None:
    script = answer_then_end(0, grpc.StatusCode.UNAVAILABLE)
    async with streaming_server(script) as server, AsyncClient(server.target, retry=QUICK) as client:
        with pytest.raises(DeadlineExceeded, match="as told"):
            await asyncio.gather(client.save(conversation("s", 0)), client.save(conversation("t", 0), timeout=SOON))


async def test_closing_the_client_ends_saves(own_server: LockstitchServer, drafts: list[Checkpoint]) -> None:
    async with AsyncClient(own_server.target, timeout=GENEROUS, in_flight=InFlightPolicy(max_saves=16)) as client:
        await client.wait_ready()
        own_server.freeze()
        saves = [asyncio.create_task(client.save(conversation(f"s{n}", 0))) for n in range(32)]
        await until(lambda: len(drafts) == 16)
        await client.close()
        results = await asyncio.gather(*saves, return_exceptions=True)
        assert {type(result) for result in results} == {Cancelled}
        with pytest.raises(RuntimeError, match="closed"):
            await client.save(conversation("s", 0))


async def test_nothing_is_left_running(server: LockstitchServer, session_id: str) -> None:
    before = asyncio.all_tasks()
    async with AsyncClient(server.target) as client:
        await save_all(client, [f"{session_id}-{number}" for number in range(10)])
    assert asyncio.all_tasks() == before


def test_what_is_no_checkpoint_is_refused(server: LockstitchServer) -> None:
    async def save() -> None:
        async with AsyncClient(server.target) as client:
            with pytest.raises(TypeError, match="SessionState"):
                await client.save(SessionState())  # type: ignore[arg-type]

    asyncio.run(save())
