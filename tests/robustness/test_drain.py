"""SIGTERM: what was begun is finished, what comes later is sent away, and the process ends in time."""

import asyncio
import random
import signal

import grpc
import pytest

from tests.robustness.faults import arrived, frozen, locked, process_of
from tests.robustness.ledger import Ledger
from tests.robustness.workload import full_save
from tests.robustness.writers import FAILURES, Writer
from tests.support.api import grpc_api
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

DRAIN_SECONDS = 10.0
"""The default."""
SLACK_SECONDS = 30.0
"""For the interpreter to end, on a busy machine."""
HANG_SECONDS = 60.0


@pytest.mark.usefixtures("both_doors")
async def test_saves_that_were_begun_are_finished() -> None:
    """The file is locked while the signal comes: all that waits for it is saved after."""
    with LockstitchServer() as server:
        process = process_of(server)
        async with grpc_api(server.target) as api:
            with locked(server):
                saves = await arrived((api.save(full_save(f"session-{number}", 0)) for number in range(50)), [api])
                server.signal(signal.SIGTERM)
                await asyncio.sleep(0.5)
                assert process.is_running()
            await asyncio.gather(*saves)
        assert await asyncio.to_thread(process.wait, DRAIN_SECONDS + SLACK_SECONDS) == 0


async def test_stopped_under_load(rng: random.Random, store_url_of_each_door: str) -> None:
    """Every save is either acknowledged, and there, or refused as a client can understand."""
    ledger = Ledger()
    server = LockstitchServer(store_url_of_each_door, ["--migrate"])
    try:
        for number in range(3):
            await asyncio.to_thread(server.start)
            async with grpc_api(server.target) as api:
                await ledger.check(api)
                writers = [Writer(f"{number}-{i}", ledger, random.Random(rng.random())) for i in range(8)]
                load = [asyncio.create_task(writer.write(api, asyncio.Event())) for writer in writers]
                await asyncio.sleep(rng.uniform(0.1, 0.4))
                await _stop(server)
                await asyncio.gather(*load)
                assert set().union(*(writer.codes for writer in writers)) == {grpc.StatusCode.UNAVAILABLE}
        await asyncio.to_thread(server.start)
        async with grpc_api(server.target) as api:
            await ledger.check_all(api)
    finally:
        server.close()


async def _stop(server: LockstitchServer) -> None:
    process = process_of(server)
    server.signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, DRAIN_SECONDS + SLACK_SECONDS) == 0


async def test_a_database_that_hangs_is_not_waited_for(own_postgres: Postgres) -> None:
    """Calls that cannot end are ended when their time is up."""
    with LockstitchServer(own_postgres.url(), ["--migrate", "--drain-seconds=0.5"]) as server:
        async with grpc_api(server.target) as api:
            await api.save(full_save("session", 0))
            with frozen(own_postgres):
                save = asyncio.create_task(api.save(full_save("session", 1)))
                await asyncio.sleep(0.3)  # until it is on its way
                process = process_of(server)
                server.signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, HANG_SECONDS) == 0
                with pytest.raises(FAILURES):
                    await save
