"""What Postgres makes of the statements that every save and load run, when it knows nothing of the tables yet.

It keeps such a plan until they are analyzed, however large they have become by then.
"""

import re

import asyncpg
import pytest

from lockstitch_server.storage.migrations.postgres import migrate_postgres
from lockstitch_server.storage.postgres.catalog import SQL


@pytest.mark.parametrize(
    "name", ["apply", "get_sessions", "lock_sessions", "seek_checkpoints", "get_tails", "get_segments"]
)
async def test_rows_are_looked_up_by_their_keys(name: str, postgres_url: str) -> None:
    await migrate_postgres(postgres_url)
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
