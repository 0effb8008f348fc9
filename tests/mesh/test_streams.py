"""Streams through Envoy: long ones are left alone, and those of a replica that leaves go on elsewhere."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lockstitch import AsyncClient
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest
from tests.support.api import grpc_api
from tests.support.envoy import Envoy
from tests.support.streams import wire

pytestmark = pytest.mark.slow  # longer than a route may take

ROUTE_SECONDS = 15.0
"""Envoy's own limit for a call, where its configuration has none."""


async def test_a_stream_may_be_silent_for_longer_than_a_route_may_take(envoy: Envoy) -> None:
    pause = asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        yield wire(SaveRequest(checkpoint=Checkpoint(session_id="slow", step=0)), 0)
        await pause.wait()
        yield wire(SaveRequest(checkpoint=Checkpoint(session_id="slow", step=1)), 1)

    async with grpc_api(envoy.target) as api:
        answers = api.save_stream(requests())
        assert (await anext(answers)).request_id == 0
        await asyncio.sleep(ROUTE_SECONDS + 2)
        pause.set()
        assert [answer.request_id async for answer in answers] == [1]


async def test_calls_that_name_a_session_go_to_one_replica(envoy: Envoy) -> None:
    before = envoy.requests_by_replica()
    async with AsyncClient(envoy.target, metadata=[("lockstitch-session", "affine")], stream=False) as client:
        for step in range(20):
            await client.save(Checkpoint(session_id="affine", step=step))
    after = envoy.requests_by_replica()
    assert sorted(now - then for then, now in zip(before, after, strict=True)) == [0, 20]
