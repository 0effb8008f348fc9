"""When a server stops, its watches end with UNAVAILABLE, and go on elsewhere."""

import asyncio

from tests.conformance.builders import checkpoint, save
from tests.conformance.session_builders import Watch, watching
from tests.support.api import ApiError, grpc_api
from tests.support.server import LockstitchServer

PATIENCE = 60.0


async def test_a_watch_ends_with_its_server_and_goes_on_with_the_next() -> None:
    with LockstitchServer() as server:
        async with grpc_api(server.target) as api:
            async with watching(api, "s") as watch:
                await watch.next()
                stopping = asyncio.create_task(asyncio.to_thread(server.stop))
                assert await asyncio.wait_for(_end_of(watch), PATIENCE) == ("UNAVAILABLE", "DRAINING")
                await stopping
            await asyncio.to_thread(server.start)
            await save(api, checkpoint("s", 7))
            async with watching(api, "s", resume_token=watch.token) as again:
                assert (await again.event()).saved.step == 7


async def _end_of(watch: Watch) -> tuple[str, str]:
    try:
        while True:
            await watch.next()
    except ApiError as error:
        return error.code.name, error.reason
