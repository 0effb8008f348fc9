"""Calls whose request does not arrive: they are limited in number and time, before they count as calls in flight."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from tests.support.api import grpc_api
from tests.support.server import DOORS, LockstitchServer

SAVE = "/lockstitch.v1.CheckpointService/Save"
CALLS, MOST = 8, 3


@pytest.mark.parametrize("door", DOORS)
async def test_requests_that_do_not_arrive(door: str) -> None:
    settings = (f"tenants.max_calls={MOST}", "limits.receive_seconds=2")
    with LockstitchServer("memory://", [f"--set={setting}" for setting in settings], door=door) as server:
        async with grpc.aio.insecure_channel(server.target) as channel:
            ended = Counter(await asyncio.gather(*(_end_of_call(channel) for _ in range(CALLS))))
        async with grpc_api(server.target) as api:
            await api.load_latest(pb.LoadLatestRequest(session_id="s"))
    refused = (grpc.StatusCode.RESOURCE_EXHAUSTED, "tenants.max_calls")
    late = (grpc.StatusCode.DEADLINE_EXCEEDED, "limits.receive_seconds")
    assert ended.keys() == {refused, late}
    assert ended[late] >= MOST  # more if the machine is so slow that calls come when others are late already


async def _end_of_call(channel: grpc.aio.Channel) -> tuple[grpc.StatusCode, str]:
    """The status of a call that sends no request, and the setting that it names."""
    save: Any = channel.stream_unary(SAVE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await save(_nothing(), timeout=60)
    return caught.value.code(), str(caught.value.details()).partition("(")[2].partition(")")[0]


async def _nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""
