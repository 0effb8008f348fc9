"""Replicas are replaced one after the other, under load, and nobody notices."""

import asyncio
import signal

import pytest

from lockstitch import AsyncClient
from tests.robustness.faults import process_of
from tests.robustness.ledger import Ledger
from tests.robustness.workload import full_save
from tests.robustness.writers import MOST_STEPS
from tests.support.api import grpc_api
from tests.support.envoy import Envoy
from tests.support.server import DOORS, LockstitchServer

pytestmark = pytest.mark.slow  # replicas drain one after the other

OPTIONS = ("--set=drain_delay_seconds=3", "--set=drain_seconds=5")
"""The delay is longer than Envoy's interval between health checks."""
CLIENTS = 4
"""Of each kind."""
STOP_SECONDS = 40.0


@pytest.mark.parametrize("replicas", DOORS, indirect=True)
async def test_no_call_fails(replicas: list[LockstitchServer], envoy: Envoy) -> None:
    ledger, stop = Ledger(), asyncio.Event()
    async with AsyncClient(envoy.target) as streaming, AsyncClient(envoy.target, stream=False) as calling:
        door = replicas[0].door  # both have one database
        workers = [(client, f"{door}-{n}-{i}") for n in range(CLIENTS) for i, client in enumerate((streaming, calling))]
        load = asyncio.gather(*(_work_until(stop, client, name, ledger) for client, name in workers))
        for replica in replicas:
            await asyncio.sleep(1)
            process = process_of(replica)
            replica.signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, STOP_SECONDS) == 0
            await asyncio.to_thread(replica.start)
            await asyncio.to_thread(envoy.wait_healthy, len(replicas))
        stop.set()
        await load
    async with grpc_api(envoy.target) as api:
        await ledger.check_all(api)
    assert ledger.acknowledged > CLIENTS


async def _work_until(stop: asyncio.Event, client: AsyncClient, name: str, ledger: Ledger) -> None:
    """Save and load, as fast as it goes. No failure is expected."""
    number = 0
    while not stop.is_set():
        session, step = f"{name}-{number // MOST_STEPS}", number % MOST_STEPS
        request = full_save(session, step)
        sent = ledger.note_save(request)
        await client.save(request.checkpoint)
        sent.acknowledged = True
        latest = await client.load_latest(session)
        assert latest.checkpoint is not None
        assert latest.checkpoint.step == step
        number += 1
