"""Several servers on one store: every compare-and-swap has one winner, and nothing gets mixed up."""

import asyncio
import random

import asyncpg
import pytest

from tests.robustness.counting import count_up_together
from tests.robustness.ledger import Ledger
from tests.robustness.workload import full_save
from tests.robustness.writers import MOST_STEPS, Writer
from tests.support.api import grpc_api
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # servers race for long

LOCKING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%lockstitch.checkpoints%'
"""
"""Transactions that have the locks of sessions, and wait for what their server does next."""
HANG_SECONDS = 25.0
WRITERS = 6
BEGINNINGS = 300


async def test_every_increment_has_one_winner(rng: random.Random, store_url: str) -> None:
    """Clients of two servers count up in the same sessions. The count comes out as if they had taken turns."""
    with LockstitchServer(store_url, ["--migrate"]) as first, LockstitchServer(store_url, ["--migrate"]) as second:
        async with grpc_api(first.target) as one, grpc_api(second.target) as two:
            await count_up_together([one, two] * 3, rng)


async def test_sessions_that_two_servers_begin_at_once(store_url: str) -> None:
    with LockstitchServer(store_url, ["--migrate"]) as first, LockstitchServer(store_url, ["--migrate"]) as second:
        async with grpc_api(first.target) as one, grpc_api(second.target) as two:
            ledger = Ledger()
            for number in range(BEGINNINGS):
                saves = [full_save(f"session-{number}", step) for step in range(2)]
                notes = [ledger.note_save(save) for save in saves]
                await asyncio.gather(*(api.save(save) for api, save in zip((one, two), saves, strict=True)))
                for note in notes:
                    note.acknowledged = True
            await ledger.check_all(one)


async def test_a_frozen_replica_does_not_hold_up_the_others(rng: random.Random, own_postgres: Postgres) -> None:
    """It stops in the middle of a transaction, with its locks. They are taken from it; when it wakes, it goes on."""
    url = own_postgres.url()
    with LockstitchServer(url, ["--migrate"]) as first, LockstitchServer(url) as second:
        async with grpc_api(first.target) as one, grpc_api(second.target) as two:
            ledger, stop = Ledger(), asyncio.Event()
            writers = [Writer(f"writer-{number}", ledger, random.Random(rng.random())) for number in range(WRITERS)]
            load = asyncio.gather(*(writer.write(one, stop) for writer in writers))
            await _freeze_in_transaction(first, url)
            stop.set()
            for writer in writers:
                request = full_save(writer.session, MOST_STEPS + 1)
                sent = ledger.note_save(request)
                await asyncio.wait_for(two.save(request), HANG_SECONDS)
                sent.acknowledged = True
            first.thaw()
            await load
            await ledger.check_all(one)
    assert not any(writer.failures for writer in writers), "the frozen one had to be called again"


async def _freeze_in_transaction(server: LockstitchServer, url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for _ in range(1000):
            server.freeze()
            await asyncio.sleep(0.02)  # until Postgres has done what it was asked before
            if await connection.fetchval(LOCKING):
                return
            server.thaw()
            await asyncio.sleep(0.01)
    finally:
        await connection.close()
    raise AssertionError("the server was never met within a transaction")
