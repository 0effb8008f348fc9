"""`kill -9` under load: what was acknowledged is there and whole, and nothing torn is ever seen."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing

import grpc
import pytest

from tests.robustness.crowd import until
from tests.robustness.ledger import Ledger
from tests.robustness.writers import Writer, read_along
from tests.support.api import Api, grpc_api
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # kills, again and again

WRITERS = 6
MOST_ANSWERS = 50
MOST_SECONDS = 0.2
"""A kill comes after at most so many answers, and then so many seconds, however fast the machine is."""


@pytest.mark.timeout(600)
async def test_kill_of_the_server_on_sqlite(rng: random.Random) -> None:
    server = LockstitchServer()
    try:
        await _rounds(server, rng, [server.kill] * 20)
        with closing(sqlite3.connect(server.store.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        server.close()


@pytest.mark.timeout(600)
async def test_kill_of_the_server_and_of_the_database_on_postgres(rng: random.Random, own_postgres: Postgres) -> None:
    server = LockstitchServer(own_postgres.url(), ["--migrate"])

    def kill_database() -> None:
        own_postgres.kill()
        server.kill()
        own_postgres.start()

    def kill_server_first() -> None:
        server.kill()
        own_postgres.kill()
        own_postgres.start()

    try:
        await _rounds(server, rng, [server.kill, kill_database, kill_server_first] * 3)
    finally:
        server.close()


async def _rounds(server: LockstitchServer, rng: random.Random, kills: list[Callable[[], None]]) -> None:
    """Each round goes on where the last one was killed."""
    ledger = Ledger()
    writers = [Writer(f"writer-{number}", ledger, random.Random(rng.random())) for number in range(WRITERS)]
    for kill in kills:
        await asyncio.to_thread(server.start)
        async with grpc_api(server.target) as api:
            await ledger.check(api)
            await _load_until_killed(api, ledger, writers, kill, rng)
    await asyncio.to_thread(server.start)
    async with grpc_api(server.target) as api:
        await ledger.check_all(api)
    assert ledger.acknowledged > WRITERS * len(kills)


async def _load_until_killed(
    api: Api, ledger: Ledger, writers: list[Writer], kill: Callable[[], None], rng: random.Random
) -> None:
    never = asyncio.Event()
    load = [asyncio.create_task(writer.write(api, never)) for writer in writers]
    load.append(asyncio.create_task(read_along(api, ledger, rng, never)))
    enough = ledger.acknowledged + rng.randrange(MOST_ANSWERS)
    await until(lambda: ledger.acknowledged >= enough)
    await asyncio.sleep(rng.uniform(0, MOST_SECONDS))
    await asyncio.to_thread(kill)
    await asyncio.gather(*load)
    assert set().union(*(writer.codes for writer in writers)) == {grpc.StatusCode.UNAVAILABLE}
