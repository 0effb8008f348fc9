"""On Postgres, the space of rows that were merged is used again without autovacuum, as long as the table is small."""

import asyncpg
import pytest

from benchmarks.growing import GrowingSession
from lockstitch_server.config import Settings
from lockstitch_server.engine.maintenance.merger import Merger, MergeSettings
from lockstitch_server.storage.postgres import reclaiming
from tests.conformance.builders import latest
from tests.support.api import RawApi, raw_api
from tests.support.postgres import Postgres

SESSION = "session"
ROUNDS, STEPS = 3, 200
ROW_BYTES = 32 * 1024


async def test_new_rows_use_the_space_of_merged_rows(postgres_url: str) -> None:
    sizes = await sizes_after_rounds(postgres_url, postgres_url)
    assert sizes[-1] < 1.5 * sizes[0]  # without VACUUM: 3 times


async def test_a_large_table_is_left_to_autovacuum(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reclaiming, "LARGEST_TABLE", 8192)
    sizes = await sizes_after_rounds(postgres_url, postgres_url, rounds=2)
    assert sizes[-1] > 1.5 * sizes[0]


async def test_a_role_that_may_not_vacuum_merges_all_the_same(postgres: Postgres, postgres_url: str) -> None:
    role = f"guest_of_{postgres_url.rpartition('/')[2]}"
    async with raw_api(Settings(store=postgres_url, migrate=True)):
        pass
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(
            f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA lockstitch TO {role};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA lockstitch TO {role}"
        )
        await sizes_after_rounds(postgres_url, postgres_url.replace("//postgres@", f"//{role}@"), rounds=1)
    finally:
        await admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await admin.close()


async def test_merges_go_on_where_vacuum_fails(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = "SET LOCAL statement_timeout = 1; SELECT pg_sleep(60)"
    monkeypatch.setattr(reclaiming, "VACUUM", cancelled)
    await sizes_after_rounds(postgres_url, postgres_url, rounds=1)


async def sizes_after_rounds(admin: str, url: str, rounds: int = ROUNDS) -> list[int]:
    """The bytes of the table of rows after each round of saves and merges."""
    sizes, growing = list[int](), GrowingSession(SESSION)
    async with raw_api(Settings(store=url, migrate=admin == url)) as api:
        merger = Merger(api.store, MergeSettings(0, ROW_BYTES, 1))
        for _ in range(rounds):
            await save(api, growing)
            await merger.merge_session("default", SESSION)
            sizes.append(await table_size(admin))
        assert merger.stats.rows > rounds * STEPS / 2
        assert await latest(api, SESSION) == growing.checkpoint
    return sizes


async def save(api: RawApi, growing: GrowingSession) -> None:
    for _ in range(STEPS):
        growing.advance()
        await api.save(growing.delta_save())


async def table_size(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        size: int = await connection.fetchval("SELECT pg_relation_size('lockstitch.segments')")
    finally:
        await connection.close()
    return size
