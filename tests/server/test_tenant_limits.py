"""What one tenant may take: at an even pace, told when to come back, and nothing from another's share."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.config import Tenants
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.errors import status_of
from lockstitch_server.rpc.handler_types import Incoming, UnaryHandler
from lockstitch_server.rpc.interceptors.tenant_limits import TenantLimits, TokenBucket, limits_tenants
from lockstitch_server.rpc.stream_batches import chunks
from tests.support.api import METHODS, ApiError, grpc_api
from tests.support.server import LockstitchServer
from tests.support.streams import sent

SAVE, SAVE_STREAM = METHODS["Save"], METHODS["SaveStream"]


def test_nothing_is_limited_unless_somebody_says_so() -> None:
    assert not limits_tenants(Tenants())
    assert limits_tenants(Tenants(max_calls=1))
    assert limits_tenants(Tenants(calls_per_second=1))


class TestPace:
    def test_a_burst_and_then_an_even_pace(self) -> None:
        pace = TokenBucket(per_second=10, burst=3)
        waits = [pace.reserve(100.0, 1, 60) for _ in range(6)]
        assert waits == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])

    def test_it_recovers(self) -> None:
        pace = TokenBucket(per_second=10, burst=3)
        pace.reserve(100.0, 3, 60)
        assert pace.reserve(100.1, 1, 60) == 0
        assert pace.reserve(100.1, 1, 60) == pytest.approx(0.1)
        assert not pace.is_idle(100.2)
        assert pace.is_idle(101.0)
        assert [pace.reserve(200.0, 1, 60) for _ in range(4)] == pytest.approx([0, 0, 0, 0.1])

    def test_what_is_refused_takes_nothing(self) -> None:
        pace = TokenBucket(per_second=10, burst=1)
        assert pace.reserve(100.0, 1, 0) == 0
        assert [pace.reserve(100.0, 1, 0) for _ in range(5)] == pytest.approx([0.1] * 5)
        assert pace.reserve(100.1, 1, 0) == 0

    def test_more_than_a_burst_at_once_waits(self) -> None:
        pace = TokenBucket(per_second=10, burst=2)
        assert pace.reserve(100.0, 12, 60) == pytest.approx(1.0)


class Handler:
    """A handler whose calls last until they are let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()

    async def __call__(self, data: bytes, context: CallContext) -> bytes:
        self.begun += 1
        await self.go.wait()
        return data


async def refused(call: UnaryHandler, tenant: str) -> ApiError:
    with pytest.raises(Failure) as caught:
        await call(b"", CallContext(tenant=tenant))
    return ApiError(status_of(caught.value))


async def test_calls_at_once() -> None:
    handler = Handler()
    call = TenantLimits(Tenants(max_calls=2)).unary(SAVE, handler)
    running = [asyncio.ensure_future(call(b"", CallContext(tenant="acme"))) for _ in range(2)]
    await asyncio.sleep(0)
    error = await refused(call, "acme")
    assert (error.code.name, error.reason, error.metadata) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", {"limit": "2"})
    assert error.detail("RetryInfo").retry_delay.ToMilliseconds() == 100
    other = asyncio.ensure_future(call(b"", CallContext(tenant="globex")))
    handler.go.set()
    await asyncio.gather(*running, other)
    assert await call(b"x", CallContext(tenant="acme")) == b"x"


async def test_calls_in_a_second_are_told_when_to_come_back() -> None:
    handler = Handler()
    handler.go.set()
    call = TenantLimits(Tenants(calls_per_second=0.01, burst_calls=2, max_wait_seconds=0)).unary(SAVE, handler)
    for _ in range(2):
        await call(b"", CallContext(tenant="acme"))
    error = await refused(call, "acme")
    assert (error.reason, error.metadata) == ("RATE_LIMITED", {"limit": "0.01"})
    assert 90 < error.detail("RetryInfo").retry_delay.ToSeconds() <= 100
    assert await call(b"x", CallContext(tenant="globex")) == b"x"


async def test_a_call_waits_a_little_for_its_turn() -> None:
    handler = Handler()
    handler.go.set()
    limits = TenantLimits(Tenants(calls_per_second=20, burst_calls=1, max_wait_seconds=60))
    call = limits.unary(SAVE, handler)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(call(b"", CallContext(tenant="acme")) for _ in range(11)))
    assert loop.time() - began > 0.45


async def test_saves_on_a_stream_wait_for_their_turn_and_are_not_refused() -> None:
    taken = []

    async def take(incoming: Incoming, context: CallContext) -> AsyncIterator[bytes]:
        assert not isinstance(incoming, bytes)
        assert context.pace_saves is not None
        async for data in incoming:
            for chunk in chunks(data, 128):
                await context.pace_saves(chunk.saves)
            taken.append(data)
            yield b""

    async def requests() -> AsyncIterator[bytes]:
        item = pb.SaveStreamRequest(request_id=1)
        yield pb.SaveStreamRequest(batch=[item] * 6).SerializeToString()
        yield item.SerializeToString()
        yield item.SerializeToString()

    limits = TenantLimits(Tenants(calls_per_second=10, burst_calls=1, max_wait_seconds=0))
    call = limits.stream(SAVE_STREAM, take)  # type: ignore[arg-type]  # an iterator is enough here
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert len([answer async for answer in call(requests(), CallContext(tenant="acme"))]) == 3
    assert loop.time() - began > 0.75


@pytest.mark.parametrize(("batch", "is_let_in"), [(0, True), (1, False)])
async def test_a_save_beside_a_batch_counts_too(batch: int, is_let_in: bool) -> None:
    """A burst of three: one for the stream, one for each of its saves."""
    save = pb.SaveRequest(checkpoint=Checkpoint(session_id="s"))
    message = pb.SaveStreamRequest(save=save, batch=[pb.SaveStreamRequest(save=save)] * batch)
    limits = Tenants(calls_per_second=0.001, burst_calls=3, max_wait_seconds=0)
    with LockstitchServer("memory://", limits_of(limits)) as server:
        async with grpc_api(server.target) as api:
            answers = [answer async for answer in api.save_stream(sent([message]))]
            assert sum(len(answer.batch) or 1 for answer in answers) == 1 + batch
            if is_let_in:
                await api.load_latest(pb.LoadLatestRequest(session_id="s"))
            with pytest.raises(ApiError, match=r"more than 0\.001 calls a second"):
                await api.load_latest(pb.LoadLatestRequest(session_id="s"))


def limits_of(tenants: Tenants) -> list[str]:
    given = tenants.model_dump(exclude_unset=True)
    return [part for name, value in given.items() for part in ("--set", f"tenants.{name}={value}")]


async def test_tenants_that_have_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstitch_server.rpc.interceptors.tenant_limits.MOST_REMEMBERED", 10)
    handler = Handler()
    handler.go.set()
    limits = TenantLimits(Tenants(max_calls=5))
    call = limits.unary(SAVE, handler)
    for number in range(100):
        await call(b"", CallContext(tenant=f"tenant-{number}"))
    assert len(limits._tenants) <= 10
