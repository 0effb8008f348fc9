"""SQLite's write-ahead log stays short, however much is written."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, SaveRequest
from lockstitch_server.storage.sqlite.wal import EVERY, WalKeeper
from tests.robustness.workload import checkpoint
from tests.support.api import Api, grpc_api
from tests.support.server import LockstitchServer
from tests.support.streams import save_all

pytestmark = pytest.mark.slow  # writes much

SESSIONS = 500
ROUNDS = 14
STREAMS = 4
MOST_BYTES = 60_000_000


@pytest.mark.timeout(180)
async def test_the_log_stays_short_while_much_is_written() -> None:
    with LockstitchServer() as server:
        log = Path(server.store.removeprefix("sqlite:///") + "-wal")
        async with grpc_api(server.target) as api:
            for step in range(ROUNDS):
                await asyncio.gather(*(save_all(api, _saves(stream, step)) for stream in range(STREAMS)))
                assert log.stat().st_size < MOST_BYTES
                await _assert_latest(api, step)
        with closing(sqlite3.connect(server.store.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (SESSIONS * ROUNDS,)


def _saves(stream: int, step: int) -> list[SaveRequest]:
    """A step of each session that goes over this stream."""
    return [SaveRequest(checkpoint=checkpoint(f"s-{number}", step)) for number in range(stream, SESSIONS, STREAMS)]


async def _assert_latest(api: Api, step: int) -> None:
    for session in (f"s-{number}" for number in range(0, SESSIONS, SESSIONS // 10)):
        latest = await api.load_latest(LoadLatestRequest(session_id=session))
        assert latest.checkpoint == checkpoint(session, step)


class Counted:
    """A connection that counts what it is asked to do, and can be held up or fail."""

    def __init__(self) -> None:
        self.runs = 0
        self.free = asyncio.Event()
        self.free.set()
        self.fails = False

    async def run(self, function: Callable[[sqlite3.Connection], Any]) -> Any:
        self.runs += 1
        await self.free.wait()
        if self.fails:
            raise sqlite3.OperationalError("disk I/O error")


async def test_it_is_copied_now_and_then_and_once_at_a_time() -> None:
    copier, writer = Counted(), Counted()
    repository = WalKeeper(copier, writer)
    repository.wrote(EVERY - 1)
    await repository.close()
    assert (copier.runs, writer.runs) == (0, 0)
    copier.free.clear()
    repository.wrote(1)
    await asyncio.sleep(0)
    repository.wrote(2 * EVERY)
    await asyncio.sleep(0)
    assert (copier.runs, writer.runs) == (1, 0)
    copier.free.set()
    await repository.close()
    assert (copier.runs, writer.runs) == (1, 1)
    repository.wrote(1)
    await repository.close()
    assert (copier.runs, writer.runs) == (2, 2)


async def test_a_copy_that_fails_is_made_the_next_time() -> None:
    copier, writer = Counted(), Counted()
    repository = WalKeeper(copier, writer)
    copier.fails = True
    repository.wrote(EVERY)
    await repository.close()
    copier.fails = False
    repository.wrote(EVERY)
    await repository.close()
    assert (copier.runs, writer.runs) == (2, 1)
