"""What Postgres makes of the statements that every save and load run, when it knows nothing of the tables yet.

It keeps such a plan until they are analyzed, however large they have become by then.
"""

import re

import asyncpg
import pytest

from lockstitch_server.config import Settings
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage.libpq.address import read_address
from lockstitch_server.storage.libpq.connector import Connector
from lockstitch_server.storage.migrations.postgres import migrate_postgres
from lockstitch_server.storage.postgres.catalog import PostgresCatalog
from lockstitch_server.storage.postgres.statements import SQL
from lockstitch_server.storage.reading import Catalog


@pytest.mark.parametrize(
    "name",
    [
        "apply",
        "get_sessions",
        "lock_sessions",
        "seek_checkpoints",
        "find_checkpoints",
        "get_tails",
        "get_segments",
        "get_segments_as_of",
    ],
)
async def test_rows_are_looked_up_by_their_keys(name: str, postgres_url: str) -> None:
    await migrate_postgres(Connector(read_address(postgres_url)))
    connection = await asyncpg.connect(postgres_url, statement_cache_size=0)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE statement AS {SQL[name]}")
        count = max(int(number) for number in re.findall(r"\$(\d+)", SQL[name]))
        rows = await connection.fetch(f"EXPLAIN EXECUTE statement({', '.join(['NULL'] * count)})")
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in rows)
    assert re.search(r"Index (Only )?Scan (Backward )?using|Conflict Arbiter", plan)
    assert "Seq Scan" not in plan, plan


async def test_saves_and_loads_are_planned_once_and_lists_are_not(postgres_url: str) -> None:
    async with open_store(Settings(store=postgres_url, migrate=True)) as store:
        for _ in range(2):
            assert await store.point_reads(_plan_cache_mode) == "force_generic_plan"
            assert await store.snapshot(lambda repository: _plan_cache_mode(repository.catalog)) == "auto"


async def _plan_cache_mode(catalog: Catalog) -> str:
    assert isinstance(catalog, PostgresCatalog)
    return str(await catalog._connection.fetchval("SHOW plan_cache_mode"))
