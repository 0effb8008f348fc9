"""Schemas that are newer, missing, or being made by several processes at once."""

import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import asyncpg
import pytest

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest
from lockstitch_server.config import Settings
from lockstitch_server.storage.migrations import VERSION_TABLE
from lockstitch_server.storage.sqlite.store import BUSY_SECONDS
from tests.robustness.ledger import fingerprint
from tests.robustness.workload import checkpoint, full_save
from tests.support.api import raw_api
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "lockstitch_server"]
MIGRATIONS = 8
HANG_SECONDS = 60.0


async def test_an_old_server_works_on_a_newer_schema(store_url: str) -> None:
    """Its version is one that this server has never heard of; what is there is used as it is."""
    settings = Settings(store=store_url, migrate=True)
    async with raw_api(settings) as api:
        await api.save(full_save("session", 0))
    await _execute(store_url, f"UPDATE {{}}{VERSION_TABLE} SET version_num = '9999'")
    for migrate in (False, True):
        async with raw_api(settings.model_copy(update={"migrate": migrate})) as api:
            await api.save(full_save("session", 1 + migrate))
            latest = await api.load_latest(LoadLatestRequest(session_id="session"))
            assert fingerprint(latest.checkpoint) == fingerprint(checkpoint("session", 1 + migrate))
    assert await _execute(store_url, f"SELECT version_num FROM {{}}{VERSION_TABLE}") == ["9999"]


def test_serving_without_a_schema_says_what_to_do(postgres_url: str) -> None:
    done = _run("serve", "--listen", "127.0.0.1:0", "--store", postgres_url)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "lockstitch migrate" in line


def test_many_migrate_at_once(store_url: str) -> None:
    command = [*COMMAND, "migrate", "--store", store_url]
    processes = [
        subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(MIGRATIONS)
    ]
    said = [process.communicate(timeout=HANG_SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * MIGRATIONS, said
    assert {line.partition(b",")[0].partition(b" is at")[0] for line in said} <= {b"Created the schema", b"The schema"}
    with LockstitchServer(store_url):
        pass


def test_many_serve_a_new_file_at_once(tmp_path: Path) -> None:
    """SQLite is migrated by whoever comes first."""
    servers = [LockstitchServer(f"sqlite:///{tmp_path}/lockstitch.db") for _ in range(4)]
    with ExitStack() as stack, ThreadPoolExecutor(len(servers)) as threads:
        for server in servers:
            stack.callback(server.close)
        list(threads.map(LockstitchServer.start, servers))


def test_a_server_waits_for_a_file_that_others_migrate(tmp_path: Path) -> None:
    """Longer than a save would: on a machine with much to do, many that start at once take their time."""
    path = tmp_path / "lockstitch.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(LockstitchServer(f"sqlite:///{path}")) as server,
        ThreadPoolExecutor() as threads,
    ):
        other.execute("BEGIN IMMEDIATE")
        starting = threads.submit(server.start)
        time.sleep(2 * BUSY_SECONDS)
        other.execute("ROLLBACK")
        starting.result()


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments], env=_environment(), capture_output=True, text=True, timeout=HANG_SECONDS
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTITCH_")}


async def _execute(url: str, statement: str) -> list[object]:
    """Run SQL behind the server's back. Returns the first column."""
    if url.startswith("postgresql:"):
        connection = await asyncpg.connect(url)
        try:
            return [row[0] for row in await connection.fetch(statement.format("lockstitch."))]
        finally:
            await connection.close()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as file:
        return [row[0] for row in file.execute(statement.format(""))]
