"""Postgres goes away and comes back: clear errors meanwhile, nothing lost, and no restart of the server after."""

import asyncio
import random

import grpc
import pytest

import lockstitch
import lockstitch_server.storage.postgres.store as postgres_store
from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest
from lockstitch_server.config import Settings
from lockstitch_server.storage.libpq import hosts
from tests.robustness.faults import assert_says, assert_unavailable, calls, error_in_stream, frozen
from tests.robustness.ledger import Ledger, fingerprint
from tests.robustness.workload import checkpoint, full_save
from tests.robustness.writers import Writer
from tests.support.api import Api, grpc_api, raw_api
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

HANG_SECONDS = 20.0
"""No call of these tests may take this long."""
WAIT = 0.2
LESS_SECONDS = 1.5
"""In place of the server's own limits, so that a test need not wait for those."""


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_stopped_and_started(rng: random.Random, own_postgres: Postgres, how: str) -> None:
    ledger = Ledger()
    with LockstitchServer(own_postgres.url(), ["--migrate", f"--set=postgres.failover_seconds={WAIT}"]) as server:
        async with grpc_api(server.target) as api:
            for number in range(3):
                await _load_while(api, ledger, rng, f"round-{number}", getattr(own_postgres, how))
                await _assert_told(api)
                await asyncio.to_thread(own_postgres.start)
                await asyncio.wait_for(api.save(full_save("afterwards", number)), HANG_SECONDS)
                await ledger.check_all(api)
        assert "Traceback" not in server.log.read_text()


async def _load_while(api: Api, ledger: Ledger, rng: random.Random, name: str, break_it: object) -> None:
    """Break the database under load. Every call is answered: with success, or with a reason."""
    writers = [Writer(f"{name}-{number}", ledger, random.Random(rng.random())) for number in range(6)]
    never = asyncio.Event()
    load = [asyncio.create_task(writer.write(api, never)) for writer in writers]
    await asyncio.sleep(rng.uniform(0.1, 0.3))
    await asyncio.to_thread(break_it)  # type: ignore[arg-type]
    await asyncio.wait_for(asyncio.gather(*load), HANG_SECONDS)
    for failure in (failure for writer in writers for failure in writer.failures):
        assert_says(failure, "STORE_UNAVAILABLE")


async def _assert_told(api: Api) -> None:
    """Every method says that the database is away."""
    for call in calls(api, "session"):
        await asyncio.wait_for(assert_unavailable(call()), HANG_SECONDS)
    assert (await error_in_stream(api, "session")).code == grpc.StatusCode.UNAVAILABLE.value[0]


async def test_frozen_and_thawed(own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that keeps its connections and does not answer: calls end all the same."""
    monkeypatch.setattr(hosts, "CONNECT_SECONDS", LESS_SECONDS)
    monkeypatch.setattr(postgres_store, "COMMAND_SECONDS", LESS_SECONDS)
    settings = Settings.model_validate(
        {"store": own_postgres.url(), "migrate": True, "postgres": {"failover_seconds": WAIT}}
    )
    async with raw_api(settings) as api:
        await api.save(full_save("session", 0))
        with frozen(own_postgres):
            await asyncio.wait_for(assert_unavailable(api.save(full_save("session", 1))), HANG_SECONDS)
            together = asyncio.gather(*(assert_unavailable(call()) for call in calls(api, "session")))
            await asyncio.wait_for(together, HANG_SECONDS)
        await asyncio.wait_for(api.save(full_save("session", 2)), HANG_SECONDS)
        latest = await api.load_latest(LoadLatestRequest(session_id="session"))
        assert fingerprint(latest.checkpoint) == fingerprint(checkpoint("session", 2))


async def test_the_clients_retries_carry_saves_over_restarts(rng: random.Random, own_postgres: Postgres) -> None:
    """With the retry policy that the Python client has by default, an application does not notice."""
    with LockstitchServer(own_postgres.url(), ["--migrate"]) as server:
        async with lockstitch.AsyncClient(server.target) as client:
            stop = asyncio.Event()
            savers = [asyncio.create_task(_save_until(stop, client, f"session-{number}")) for number in range(4)]
            for how in (own_postgres.stop, own_postgres.kill, own_postgres.stop):
                await asyncio.sleep(rng.uniform(0.1, 0.3))
                await asyncio.to_thread(how)
                await asyncio.sleep(rng.uniform(0, 0.5))
                await asyncio.to_thread(own_postgres.start)
            stop.set()
            for number, saved in enumerate(await asyncio.gather(*savers)):
                for step in range(saved):
                    loaded = await client.load(f"session-{number}", step=step)
                    assert loaded.checkpoint == checkpoint(f"session-{number}", step)


async def _save_until(stop: asyncio.Event, client: lockstitch.AsyncClient, session: str) -> int:
    step = 0
    while not stop.is_set():
        await client.save(checkpoint(session, step))
        step += 1
    return step
