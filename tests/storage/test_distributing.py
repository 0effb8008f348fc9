"""`lockstitch migrate --distributed` is interrupted: it changed nothing or all, and can be repeated."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest

from lockstitch_server.storage import StoreError, factory
from lockstitch_server.storage.libpq.address import read_address
from lockstitch_server.storage.libpq.connector import Connector
from lockstitch_server.storage.migrations.distributing import distribute
from tests.support.citus import FAKE
from tests.support.postgres import Postgres
from tests.support.postgres_proxy import Loss, PostgresProxy
from tests.upkeep.stores import content, faults_of, fill, opened

SECONDS = 60
STEPS = [
    "pg_advisory_xact_lock",
    "attname = 'bucket'",
    "ADD PRIMARY KEY",
    r"shard_count => \$2",
    r"colocate_with => \$2",
    "truncate_local_data",
    "^COMMIT",
]
"""Statements in their order, by a part of each."""
HANG = """
CREATE OR REPLACE FUNCTION create_distributed_table(regclass, text, shard_count integer DEFAULT NULL,
                                                    colocate_with text DEFAULT '')
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.calls') = 1 THEN
        PERFORM pg_sleep(600);
    END IF;
END $$;
CREATE SEQUENCE public.calls;
"""
"""The first call takes long."""
HANGS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    name = postgres.create_database()
    postgres.execute(FAKE, name)
    yield name
    postgres.drop_database(name)


def is_distributed(postgres: Postgres, database: str) -> bool:
    found = "SELECT count(*) FROM pg_attribute WHERE attname = 'bucket' AND attrelid = 'lockstitch.sessions'::regclass"
    return postgres.execute(found, database) == "1"


@pytest.mark.slow
async def test_at_each_statement(postgres: Postgres, database: str) -> None:
    url = postgres.url(database)
    async with opened(url) as api:
        await fill(api)
        before = await content(api)
    async with PostgresProxy.before(postgres) as proxy:
        losses: list[tuple[Loss, str]] = [(loss, step) for step in STEPS for loss in ("request", "response")]
        for loss, step in losses:
            assert not is_distributed(postgres, database)
            proxy.lose(loss, step)
            with pytest.raises(StoreError) as failed:
                await distribute(Connector(read_address(proxy.url(database))), 4)
            assert proxy.lost.is_set(), f"{step} was not met"
            assert ("it is not known whether" in str(failed.value)) == (step == STEPS[-1])
    assert is_distributed(postgres, database), "the last response alone was lost"
    assert "distributed already" in await asyncio.to_thread(factory.distribute, url)
    assert await faults_of(url) == []
    async with opened(url) as api:
        assert await content(api) == before


async def test_an_answer_that_is_lost_before_the_schema_is_there(postgres: Postgres, database: str) -> None:
    async with PostgresProxy.before(postgres) as proxy:
        for loss in ("request", "response"):
            proxy.lose(loss, "CREATE SCHEMA")
            with pytest.raises(StoreError, match="cannot migrate"):
                await asyncio.to_thread(factory.distribute, proxy.url(database))
        assert "Distributed the tables" in await asyncio.to_thread(factory.distribute, proxy.url(database))
    assert is_distributed(postgres, database)


@pytest.mark.slow
async def test_a_command_that_is_killed_while_the_database_works(postgres: Postgres, database: str) -> None:
    """The database ends the statement of a client that has gone, so that the tables are free for the next command."""
    postgres.execute(HANG, database)
    url = postgres.url(database)
    command = [sys.executable, "-m", "lockstitch_server", "migrate", "--distributed", "--store", url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            await _until_it_hangs(url)
        finally:
            process.kill()
    told = await asyncio.wait_for(asyncio.to_thread(factory.distribute, url), SECONDS)
    assert "Distributed the tables" in told


async def _until_it_hangs(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(SECONDS):
            while not await connection.fetchval(HANGS):
                await asyncio.sleep(0.02)
    finally:
        await connection.close()
