"""Damage to the names that rows stand under: nothing deletes such rows, and `check --repair` puts them back."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from google.protobuf.message import Message

from lockstitch.v1.checkpoint_service_pb2 import LoadRequest
from lockstitch.v1.session_service_pb2 import RetentionPolicy
from lockstitch_server.config import Settings
from lockstitch_server.engine.maintenance.repairer import repair
from tests.conformance.session_builders import prune
from tests.robustness.workload import full_save
from tests.support.api import RawApi, raw_api
from tests.support.sql_execution import Execute, executor_of
from tests.upkeep.stores import SESSIONS, content, faults_in, fill

SESSION = SESSIONS[0]
KEY = f"(SELECT key FROM {{schema}}sessions WHERE session_id = '{SESSION}')"
OTHER_KEY = "{bytes}ff00ff00ff00ff00ff00ff00ff00ff00'"
LARGEST_LOG = f"(SELECT log FROM {{schema}}segments WHERE key = {KEY} ORDER BY size DESC, log LIMIT 1)"
LATEST = f"(SELECT max(checkpoint_id) FROM {{schema}}checkpoints WHERE key = {KEY})"
DAMAGES = {
    "latest checkpoint": f"UPDATE {{schema}}checkpoints SET key = {OTHER_KEY} "
    f"WHERE key = {KEY} AND checkpoint_id = {LATEST}",
    "checkpoint": f"UPDATE {{schema}}checkpoints SET key = {OTHER_KEY} WHERE key = {KEY} AND step = 3",
    "rows of a log": f"UPDATE {{schema}}segments SET key = {OTHER_KEY} WHERE key = {KEY} AND log = {LARGEST_LOG}",
    "pending writes": f"UPDATE {{schema}}writes SET key = {OTHER_KEY} WHERE key = {KEY}",
    "number of a log": f"UPDATE {{schema}}segments SET log = 1000000 WHERE key = {KEY} AND log = {LARGEST_LOG}",
}


@pytest.fixture
async def api(store_url: str) -> AsyncIterator[RawApi]:
    async with raw_api(Settings(store=store_url, migrate=True)) as opened:
        await fill(opened)
        yield opened


@pytest.fixture
def execute(store_url: str) -> Execute:
    """Runs SQL behind the server's back."""

    return executor_of(store_url)


async def repaired(api: RawApi) -> list[str]:
    return [sentence async for sentence in repair(api.store, await faults_in(api.store))]


async def contents(api: RawApi) -> list[Message]:
    """What callers see, without times and revisions, which a repair moves."""
    found = await content(api)
    for summary in found[::2]:
        for field in ("updated_at", "revision"):
            summary.ClearField(field)
    return found


@pytest.mark.parametrize("rows", DAMAGES)
async def test_rows_are_put_back(api: RawApi, execute: Execute, rows: str) -> None:
    before = await contents(api)
    await execute(DAMAGES[rows])
    assert await faults_in(api.store)
    told = await repaired(api)
    assert any("back" in sentence for sentence in told), told
    assert [fault for fault in await faults_in(api.store) if not fault.harmless] == []
    assert await contents(api) == before
    # The server has known the session all the time.
    await api.save(full_save(SESSION, 100))


async def test_a_row_whose_place_is_taken_is_deleted(api: RawApi, execute: Execute) -> None:
    await execute(DAMAGES["checkpoint"])
    await api.save(full_save(SESSION, 3, variant=7))
    assert any("are deleted" in sentence for sentence in await repaired(api))
    assert await faults_in(api.store) == []
    loaded = await api.load(LoadRequest(session_id=SESSION, step=3))
    assert loaded.checkpoint.state.extra.entries["variant"] == "7"


@pytest.mark.parametrize("rows", ["checkpoint", "number of a log"])
async def test_pruning_deletes_no_log_while_rows_are_missing(api: RawApi, execute: Execute, rows: str) -> None:
    """The log that nothing names may be the one that is missing, or belong to the checkpoint that is."""
    await execute(DAMAGES[rows])
    await prune(api, SESSION, retention=RetentionPolicy(keep_last=24))
    assert any("back" in sentence for sentence in await repaired(api))
    assert [fault for fault in await faults_in(api.store) if not fault.harmless] == []


async def test_a_checksum_that_damage_has_made_too_large(tmp_path: Path) -> None:
    """On SQLite, whose integers have 64 bits: the check, a repair and saves go on."""
    path = tmp_path / "lockstitch.db"
    async with raw_api(Settings(store=f"sqlite:///{path}")) as api:
        await fill(api)
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            where = f"WHERE key = {KEY} AND checkpoint_id = {LATEST}".format(schema="")
            file.execute(f"UPDATE checkpoints SET crc = crc + 4294967296 {where}")
        assert await repaired(api)
        assert "checkpoint_damaged" in {fault.kind for fault in await faults_in(api.store)}
        await api.save(full_save(SESSION, 100))
