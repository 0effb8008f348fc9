"""`kill -9` while rows are merged: all that was acknowledged is there, and every row is whole."""

import asyncio
import random
from collections.abc import Callable

import grpc
import pytest

from benchmarks.growing import GrowingSession
from lockstitch.v1.checkpoint_service_pb2 import LoadRequest
from lockstitch_server.config import Settings
from lockstitch_server.core.ids import session_key
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage.merging import rows_of_log
from tests.robustness.crowd import until
from tests.support.api import Api, ApiError, grpc_api
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer
from tests.upkeep.stores import faults_of

pytestmark = pytest.mark.slow  # kills, again and again

# Rows are merged as often and as slowly as can be, also those that the server before has left.
SETTINGS = ("merge.interval_seconds=0.001", "merge.row_bytes=32768", "merge.level=19", "retention.sweep_seconds=0.01")
OFTEN = [word for setting in SETTINGS for word in ("--set", setting)]
SESSIONS = 2
MOST_SAVES = 200
"""A kill comes after at most this many saves."""


@pytest.mark.timeout(600)
async def test_kill_of_the_server_on_sqlite(rng: random.Random) -> None:
    server = LockstitchServer(arguments=OFTEN)
    try:
        await _rounds(server, rng, [server.kill] * 5)
    finally:
        server.close()


@pytest.mark.timeout(600)
async def test_kill_of_the_server_and_of_the_database_on_postgres(rng: random.Random, own_postgres: Postgres) -> None:
    server = LockstitchServer(own_postgres.url(), ["--migrate", *OFTEN])

    def kill_database() -> None:
        own_postgres.kill()
        server.kill()
        own_postgres.start()

    try:
        await _rounds(server, rng, [server.kill, kill_database, server.kill, kill_database])
    finally:
        server.close()


class Writer:
    """Saves sessions in turn, by deltas, across kills. One save at a time: merges wait while saves wait."""

    def __init__(self) -> None:
        self.sessions = [GrowingSession(f"session-{number}") for number in range(SESSIONS)]
        self.acknowledged = [0] * SESSIONS

    async def write(self, api: Api) -> None:
        """Save until a save fails."""
        while True:
            for number, session in enumerate(self.sessions):
                if self.acknowledged[number] == session.checkpoint.step + bool(session.checkpoint.checkpoint_id):
                    session.advance()  # else the last save was not acknowledged, and is sent again
                await api.save(session.delta_save())
                self.acknowledged[number] += 1

    async def check(self, api: Api) -> None:
        """Every acknowledged step is there as it was saved."""
        for session, count in zip(self.sessions, self.acknowledged, strict=True):
            expected = GrowingSession(session.checkpoint.session_id)
            for step in range(count):
                expected.advance()
                answer = await api.load(LoadRequest(session_id=expected.checkpoint.session_id, step=step))
                assert answer.checkpoint == expected.checkpoint


async def _rounds(server: LockstitchServer, rng: random.Random, kills: list[Callable[[], None]]) -> None:
    writer = Writer()
    for kill in kills:
        await asyncio.to_thread(server.start)
        async with grpc_api(server.target) as api:
            await _save_until_killed(api, writer, kill, rng)
        assert [fault.what for fault in await faults_of(server.store) if not fault.harmless] == []
    await asyncio.to_thread(server.start)
    async with grpc_api(server.target) as api:
        await writer.check(api)
    server.stop()
    assert await _largest_row(server.store, writer.sessions[0].checkpoint.session_id) > 16 * 1024, "nothing was merged"


async def _save_until_killed(api: Api, writer: Writer, kill: Callable[[], None], rng: random.Random) -> None:
    enough = sum(writer.acknowledged) + rng.randrange(MOST_SAVES // 2, MOST_SAVES)
    load = asyncio.create_task(writer.write(api))
    await until(lambda: load.done() or sum(writer.acknowledged) >= enough)
    await asyncio.sleep(rng.uniform(0, 0.05))
    await asyncio.to_thread(kill)
    with pytest.raises((ApiError, grpc.aio.AioRpcError), match="UNAVAILABLE"):
        await load


async def _largest_row(store: str, session: str) -> int:
    async with open_store(Settings(store=store)) as opened:
        name = (session_key("default", session), 1)
        rows = await opened.snapshot(lambda repository: rows_of_log(repository, name, 0, 10**6))
    return max(row.size for row in rows)
