"""`kill -9` while a large expired session is cleared: nothing of it is seen again, and it begins again with a save."""

import asyncio

import grpc
import pytest

from lockstitch.v1.checkpoint_service_pb2 import SAVE_OUTCOME_CREATED
from lockstitch_server.config import Settings
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage import Store
from lockstitch_server.storage.session_repository import SessionRepository
from tests.conformance.builders import checkpoint, save, save_request, steps
from tests.conformance.session_builders import PATIENCE, SECOND
from tests.support.api import ApiError, grpc_api
from tests.support.server import LockstitchServer
from tests.support.streams import save_all
from tests.upkeep.stores import faults_in

DEAD = "dead"
STEPS = 5_000


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_kill_while_a_session_is_cleared(request: pytest.FixtureRequest, kind: str) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else ""
    with LockstitchServer(url, ["--migrate"]) as server:
        async with grpc_api(server.target) as api:
            for first in range(0, STEPS, 1000):
                numbers = range(first, first + 1000)
                await save_all(api, [save_request(checkpoint=checkpoint(DEAD, step), ttl=SECOND) for step in numbers])
            await asyncio.sleep(1.05)
            async with open_store(Settings(store=server.store)) as store, asyncio.timeout(PATIENCE):
                begun = asyncio.create_task(save(api, checkpoint(DEAD, 7)))
                while await count(store) == STEPS:
                    await asyncio.sleep(0.005)
                server.kill()
            try:
                acknowledged = (await begun).outcome == SAVE_OUTCOME_CREATED
            except (ApiError, grpc.aio.AioRpcError):
                acknowledged = False
        await asyncio.to_thread(server.start)
        async with grpc_api(server.target) as api:
            found = await steps(api, DEAD)  # nothing that had expired; the save, if it was acknowledged
            assert found == [7] or (found == [] and not acknowledged)
            assert (await save(api, checkpoint(DEAD, 8))).outcome == SAVE_OUTCOME_CREATED
            assert await steps(api, DEAD) == [8, *found]
        async with open_store(Settings(store=server.store)) as store:
            assert await count(store) == 1 + len(found)
            assert await faults_in(store) == []


async def count(store: Store) -> int:
    """How many checkpoints are stored, whether they can be read or not."""

    async def names(repository: SessionRepository) -> int:
        session = await repository.get("default", DEAD)
        return len(await repository.names(session))

    return await store.snapshot(names)
