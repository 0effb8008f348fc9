"""`lockstitch check --repair` while servers save: what was acknowledged stays."""

import asyncio

import asyncpg
import pytest

from lockstitch_server.config import Settings
from lockstitch_server.engine.maintenance.repairer import repair
from lockstitch_server.engine.maintenance.verifier import Fault
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage import Store
from tests.support.postgres import Postgres
from tests.upkeep.stores import SESSIONS, faults_in, fill, opened

SECONDS = 30


@pytest.mark.parametrize("is_committed", [True, False], ids=["save committed", "save rolled back"])
async def test_a_save_that_begins_a_session_anew_while_its_strays_are_deleted(
    postgres: Postgres, is_committed: bool
) -> None:
    name = postgres.create_database()
    url = postgres.url(name)
    async with opened(url) as api:
        await fill(api)
    saver = await asyncpg.connect(url)
    try:
        await saver.execute(
            f"CREATE TABLE kept AS SELECT * FROM lockstitch.sessions WHERE session_id = '{SESSIONS[0]}';"
            f"DELETE FROM lockstitch.sessions WHERE session_id = '{SESSIONS[0]}'"
        )
        async with open_store(Settings(store=url)) as store:
            strays = [fault for fault in await faults_in(store) if fault.kind == "stray"]
            # What a save does that finds no session: it makes one, and puts its rows in place of those that are there.
            saving = saver.transaction()
            await saving.start()
            await saver.execute("INSERT INTO lockstitch.sessions SELECT * FROM kept")
            await saver.execute("UPDATE lockstitch.checkpoints c SET step = step FROM kept WHERE c.key = kept.key")
            repairing = asyncio.create_task(_repaired(store, strays))
            await _until_it_waits(url)
            await (saving.commit() if is_committed else saving.rollback())
            (told,) = await asyncio.wait_for(repairing, SECONDS)
            assert ("belong to a session" in told) == is_committed
            assert await faults_in(store) == []
            found = await saver.fetchval("SELECT count(*) FROM lockstitch.checkpoints c JOIN kept USING (key)")
            assert bool(found) == is_committed
    finally:
        await saver.close()
        postgres.drop_database(name)


async def _repaired(store: Store, strays: list[Fault]) -> list[str]:
    return [told async for told in repair(store, strays)]


async def _until_it_waits(url: str) -> None:
    watcher = await asyncpg.connect(url)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    try:
        async with asyncio.timeout(SECONDS):
            while not await watcher.fetchval(waiting):
                await asyncio.sleep(0.02)
    finally:
        await watcher.close()
