"""A SQLite file that cannot be written for a while: clear errors meanwhile, nothing lost, and no restart after."""

import asyncio
import os
import random
import resource
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

import lockstitch_server.storage.sqlite.store as sqlite_store
from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest
from lockstitch_server.config import Settings
from tests.robustness.faults import assert_says, assert_unavailable, process_of
from tests.robustness.ledger import Ledger
from tests.robustness.workload import full_save, pending_writes, writes_save
from tests.robustness.writers import Writer
from tests.support.api import grpc_api, raw_api
from tests.support.server import LockstitchServer

HANG_SECONDS = 20.0


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process can be set on Linux only")
async def test_no_space_left(rng: random.Random) -> None:
    """Its files cannot grow: saves fail, loads go on, and nothing is half-written."""
    ledger = Ledger()
    with LockstitchServer() as server:
        async with grpc_api(server.target) as api:
            for number in range(3):
                writer = Writer(f"round-{number}", ledger, rng)
                with no_space_left(process_of(server), Path(f"{server.store.removeprefix('sqlite:///')}-wal"), rng):
                    await asyncio.wait_for(writer.write(api, asyncio.Event()), HANG_SECONDS)
                    assert_says(writer.failures[0], "STORE_UNAVAILABLE")
                    await ledger.check_all(api)
                assert await writer.write_one(api), "the save that failed, again"
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        async with grpc_api(server.target) as api:
            await ledger.check_all(api)


async def test_a_read_that_fails_is_logged_with_its_reason(tmp_path: Path) -> None:
    """SQLite itself ends the transaction then, so there is nothing to roll back."""
    path = tmp_path / "lockstitch.db"
    async with raw_api(Settings(store=f"sqlite:///{path}")) as api:
        for step in range(30):
            await api.save(full_save("session", step))
        os.truncate(f"{path}-wal", 3 * 4096)  # a disk that has lost the rest
        with capture_logs() as logs:
            await assert_unavailable(api.load_latest(LoadLatestRequest(session_id="session")))
    assert [entry["error"] for entry in logs if entry["event"] == "sqlite_unavailable"] == ["disk I/O error"]


@contextmanager
def no_space_left(process: psutil.Process, file: Path, rng: random.Random) -> Iterator[None]:
    """Files of a process and its children grow a little beyond the size of this one, and no further."""
    most = file.stat().st_size + rng.randrange(5_000, 200_000)
    pids = [each.pid for each in (process, *process.children())]
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_locked_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else holds the file's write lock: saves give up, loads go on."""
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.3)
    path = tmp_path / "lockstitch.db"
    async with raw_api(Settings(store=f"sqlite:///{path}")) as api:
        await api.save(full_save("session", 0))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            saves = [api.save(full_save(f"session-{number}", 0)) for number in range(5)]
            writes = api.save_writes(writes_save("session", 0, pending_writes("task", 1)))
            failing = asyncio.gather(*map(assert_unavailable, (*saves, writes)))
            latest = await asyncio.wait_for(api.load_latest(LoadLatestRequest(session_id="session")), HANG_SECONDS)
            assert latest.checkpoint.step == 0
            await asyncio.wait_for(failing, HANG_SECONDS)
        await api.save(full_save("session", 1))


async def test_locked_for_a_moment(tmp_path: Path) -> None:
    """A lock that is given back soon is waited for."""
    path = tmp_path / "lockstitch.db"
    async with raw_api(Settings(store=f"sqlite:///{path}")) as api:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_later(0.3, other.execute, "ROLLBACK")
            await asyncio.wait_for(api.save(full_save("session", 0)), HANG_SECONDS)
