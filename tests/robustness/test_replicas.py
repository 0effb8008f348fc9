"""Several servers on one store: every compare-and-swap has one winner, and nothing gets mixed up."""

import asyncio
import random

import asyncpg

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import ExpectedLatest, LoadLatestRequest, LoadRequest, SaveRequest
from tests.robustness.ledger import Ledger, fingerprint
from tests.robustness.workload import checkpoint, checkpoint_id, delta_save, full_save
from tests.robustness.writers import MOST_STEPS, Writer
from tests.support.api import Api, ApiError, grpc_api
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

LOCKING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%lockstitch.checkpoints%'
"""
"""Transactions that have the locks of sessions, and wait for what their server does next."""
HANG_SECONDS = 25.0
WORKERS = 6
INCREMENTS = 12
SESSIONS = ("one", "two")


async def test_every_increment_has_one_winner(rng: random.Random, store_url: str) -> None:
    """Workers of two servers count up in the same sessions. The count comes out as if they had taken turns."""
    with LockstitchServer(store_url, ["--migrate"]) as first, LockstitchServer(store_url, ["--migrate"]) as second:
        async with grpc_api(first.target) as one, grpc_api(second.target) as two:
            workers = [
                _count_up((one, two)[number % 2], session, number, random.Random(rng.random()))
                for session in SESSIONS
                for number in range(1, WORKERS + 1)
            ]
            wins = await asyncio.gather(*workers)
            for number, session in enumerate(SESSIONS):
                won = wins[number * WORKERS : (number + 1) * WORKERS]
                await _check(one, session, {step: worker for worker, steps in enumerate(won, 1) for step in steps})


async def _count_up(api: Api, session: str, worker: int, rng: random.Random) -> list[int]:
    """Save the step after the latest, INCREMENTS times with success. Returns the steps."""
    won: list[int] = []
    while len(won) < INCREMENTS:
        latest = (await api.load_latest(LoadLatestRequest(session_id=session))).checkpoint
        request = _increment(session, latest, worker, rng)
        try:
            await api.save(request)
        except ApiError as error:
            if error.reason != "EXPECTED_LATEST_MISMATCH":
                raise
        else:
            won.append(request.checkpoint.step)
    return won


def _increment(session: str, latest: Checkpoint, worker: int, rng: random.Random) -> SaveRequest:
    if not latest.checkpoint_id:
        request = full_save(session, 0, worker)
        request.expected_latest.none = True
        return request
    make = rng.choice([full_save, delta_save])
    request = make(session, latest.step + 1, worker)
    request.expected_latest.CopyFrom(ExpectedLatest(checkpoint_id=latest.checkpoint_id))
    return request


async def _check(api: Api, session: str, winners: dict[int, int]) -> None:
    assert sorted(winners) == list(range(WORKERS * INCREMENTS)), "a step was won twice, or by nobody"
    for step, worker in winners.items():
        loaded = await api.load(LoadRequest(session_id=session, checkpoint_id=checkpoint_id(step)))
        assert fingerprint(loaded.checkpoint) == fingerprint(checkpoint(session, step, worker))


async def test_a_frozen_replica_does_not_hold_up_the_others(rng: random.Random, own_postgres: Postgres) -> None:
    """It stops in the middle of a transaction, with its locks. They are taken from it; when it wakes, it goes on."""
    url = own_postgres.url()
    with LockstitchServer(url, ["--migrate"]) as first, LockstitchServer(url) as second:
        async with grpc_api(first.target) as one, grpc_api(second.target) as two:
            ledger, stop = Ledger(), asyncio.Event()
            writers = [Writer(f"writer-{number}", ledger, random.Random(rng.random())) for number in range(WORKERS)]
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
