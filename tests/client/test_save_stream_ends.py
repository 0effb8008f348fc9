"""Streams of saves that end, connections that age, servers that restart: nothing is lost or doubled."""

import asyncio
import random

import grpc
import pytest

from lockstitch import AsyncClient, Unavailable, _save_streams
from tests.client.examples import conversation
from tests.client.stream_saves import GENEROUS, QUICK, SESSIONS, assert_stored, save_all, until
from tests.client.streaming import answer_all, answer_then_end, streaming_server
from tests.support.server import LockstitchServer

ENDS = [
    grpc.StatusCode.OK,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
]


@pytest.mark.parametrize("code", ENDS, ids=str)
@pytest.mark.parametrize("answered", [0, 2])
async def test_what_has_no_answer_when_a_stream_ends_is_sent_again(code: grpc.StatusCode, answered: int) -> None:
    scripts = [answer_then_end(answered, code)] * 6
    async with (
        streaming_server(*scripts, answer_all) as server,
        AsyncClient(server.target, retry=QUICK) as client,
    ):
        await save_all(client)
        assert_stored(server)


@pytest.mark.parametrize("code", [grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE])
async def test_without_retries_what_has_no_answer_gets_one_call_of_its_own(code: grpc.StatusCode) -> None:
    async with streaming_server(answer_then_end(0, code)) as server, AsyncClient(server.target, retry=False) as client:
        await save_all(client)
        assert_stored(server)


async def test_without_retries_a_server_that_is_gone_is_not_waited_for(
    own_server: LockstitchServer, session_id: str
) -> None:
    async with AsyncClient(own_server.target, timeout=GENEROUS, retry=False) as client:
        await save_all(client, [f"{session_id}-{number}" for number in range(20)])
        own_server.kill()
        saves = (client.save(conversation(f"{session_id}-{number}", 3)) for number in range(20))
        results = await asyncio.gather(*saves, return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}


@pytest.mark.parametrize("seed", range(10))
async def test_nothing_is_lost_or_doubled_whatever_happens_to_streams(seed: int) -> None:
    chance = random.Random(seed)
    scripts = [answer_then_end(chance.randrange(12), chance.choice(ENDS)) for _ in range(20)]
    async with (
        streaming_server(*scripts, answer_all, takes_batches=seed % 2 == 0) as server,
        AsyncClient(server.target, retry=QUICK) as client,
    ):

        async def run(session: str) -> None:
            for step in range(10):
                await client.save(conversation(session, step))

        await asyncio.gather(*(run(session) for session in SESSIONS))
        assert_stored(server, steps=10)


async def test_connections_of_bounded_age() -> None:
    """The server sends GOAWAY, and then cuts the connection, several times a second."""
    age = [("grpc.max_connection_age_ms", 50), ("grpc.max_connection_age_grace_ms", 20)]
    async with streaming_server(options=age) as server, AsyncClient(server.target, retry=QUICK) as client:
        step = 0
        while len(server.streams) < 5 * _save_streams.STREAMS:
            await asyncio.gather(*(client.save(conversation(session, step)) for session in SESSIONS))
            step += 1
        assert_stored(server, steps=step)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_nothing_is_lost_or_doubled_when_the_server_restarts(
    own_server: LockstitchServer, session_id: str, how: str
) -> None:
    sessions = [f"{session_id}-{number}" for number in range(32)]
    async with AsyncClient(own_server.target, timeout=GENEROUS) as client:
        stop = asyncio.Event()
        counts = dict.fromkeys(sessions, 0)
        runs = [asyncio.create_task(_save_until(stop, client, session, counts)) for session in sessions]
        for _ in range(3):
            enough = sum(counts.values()) + 200
            await until(lambda: sum(counts.values()) > enough)  # noqa: B023 - it is called at once
            await asyncio.to_thread(getattr(own_server, how))
            await asyncio.to_thread(own_server.start)
        stop.set()
        await asyncio.gather(*runs)
        async for summary in client.list_sessions():
            assert summary.checkpoint_count == counts.pop(summary.session_id)
        assert counts == {}
        for session in sessions:
            latest = (await client.load_latest(session)).checkpoint
            assert latest is not None
            assert latest == conversation(session, latest.step)


async def _save_until(stop: asyncio.Event, client: AsyncClient, session: str, counts: dict[str, int]) -> None:
    """Save step after step; `counts` says how many were acknowledged."""
    while not stop.is_set():
        await client.save(conversation(session, counts[session]))
        counts[session] += 1
