"""Keeps each tenant to its share: calls in a second, and calls at once."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from functools import partial

from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.config import Tenants
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.handler_types import Incoming, StreamHandler, UnaryHandler

CALLS_RETRY_SECONDS = 0.1
"""What to wait where nobody can know when one of the tenant's own calls will end."""
MOST_REMEMBERED = 10_000
MOST_LINGERING = 1000
"""Calls of a tenant that may wait only to be refused."""


class TokenBucket:
    """Spreads calls over time: a number in a second, and a burst after a pause.

    It is known when the next call may begin if all of them come at the even pace; a burst is how far ahead of that a
    call may be.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._ahead = burst * self._interval
        self._even = 0.0

    def reserve(self, now: float, calls: int, max_wait: float) -> float:
        """Seconds until a number of calls may begin. If those are more than `max_wait`, nothing is reserved."""
        even = max(self._even, now) + calls * self._interval
        wait = max(0.0, even - self._ahead - now)
        if wait <= max_wait:
            self._even = even
        return wait

    def is_idle(self, now: float) -> bool:
        """Whether it is as good as new."""
        return self._even <= now


class _Tenant:
    """What one tenant has under way."""

    def __init__(self, settings: Tenants) -> None:
        self.calls = 0
        self.pace = TokenBucket(settings.calls_per_second, settings.burst_calls) if settings.calls_per_second else None

    def is_idle(self, now: float) -> bool:
        return not self.calls and (self.pace is None or self.pace.is_idle(now))


class TenantLimits:
    """Has calls wait a little, and refuses those whose turn would come later still."""

    def __init__(self, settings: Tenants) -> None:
        self._settings = settings
        self._tenants: dict[str, _Tenant] = {}

    def unary(self, method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
        async def call(data: bytes, context: CallContext) -> bytes:
            with self._under_way(context.tenant) as tenant:
                await self._turn(tenant)
                return await handle(data, context)

        return call

    def stream(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            with self._under_way(context.tenant) as tenant:
                await self._turn(tenant)
                if not isinstance(incoming, bytes) and tenant.pace is not None:
                    context.pace_saves = partial(_paced, tenant.pace)
                async with aclosing(handle(incoming, context)) as answers:
                    async for answer in answers:
                        yield answer

        return call

    @contextmanager
    def _under_way(self, name: str) -> Iterator[_Tenant]:
        """Counts a call. Fails with RATE_LIMITED."""
        tenant, most = self._tenant(name), self._settings.max_calls
        if most and tenant.calls >= most:
            raise _limited(f"the tenant has {most} calls under way, as many as it may", most, CALLS_RETRY_SECONDS)
        tenant.calls += 1
        try:
            yield tenant
        finally:
            tenant.calls -= 1

    async def _turn(self, tenant: _Tenant) -> None:
        """Wait until a call may begin. Fails with RATE_LIMITED where that is too long."""
        if tenant.pace is None:
            return
        most = self._settings
        wait = tenant.pace.reserve(asyncio.get_running_loop().time(), 1, most.max_wait_seconds)
        if wait > most.max_wait_seconds:
            # A client that ignores the delay and calls again at once must not do so all the time.
            if tenant.calls <= MOST_LINGERING:
                await asyncio.sleep(most.max_wait_seconds)
            rate = most.calls_per_second
            raise _limited(f"the tenant makes more than {rate:g} calls a second", rate, wait)
        if wait:
            await asyncio.sleep(wait)

    def _tenant(self, name: str) -> _Tenant:
        tenant = self._tenants.get(name)
        if tenant is None:
            if len(self._tenants) >= MOST_REMEMBERED:
                self._forget()
            tenant = self._tenants[name] = _Tenant(self._settings)
        return tenant

    def _forget(self) -> None:
        """Those that have nothing under way."""
        now = asyncio.get_running_loop().time()
        self._tenants = {name: tenant for name, tenant in self._tenants.items() if not tenant.is_idle(now)}


async def _paced(pace: TokenBucket, saves: int) -> None:
    """Wait until a number of saves of a stream may begin; until then no more of it is read."""
    if wait := pace.reserve(asyncio.get_running_loop().time(), saves, float("inf")):
        await asyncio.sleep(wait)


def _limited(message: str, limit: float, seconds: float) -> Failure:
    return Failure(Reason.RATE_LIMITED, message, limit=f"{limit:g}").after(seconds)


def limits_tenants(settings: Tenants) -> bool:
    """Whether there is anything to see to."""
    return bool(settings.calls_per_second or settings.max_calls)
