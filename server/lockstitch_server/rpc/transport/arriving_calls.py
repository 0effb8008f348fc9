"""Calls whose request has not arrived. They are not among the calls in flight yet, so they have limits of their own."""

import asyncio

import grpc

from lockstitch_server.config import Settings
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.engine.shares import Shares
from lockstitch_server.rpc.errors import AbortedCall


class ArrivingCall:
    """One of them, and the task that reads its request."""

    __slots__ = ("deadline", "is_late", "task", "tenant")

    def __init__(self, tenant: str, task: "asyncio.Task[object] | None", deadline: float) -> None:
        self.tenant = tenant
        self.task = task
        self.deadline = deadline
        self.is_late = False


class ArrivingCalls:
    """Counts them by tenant, and cancels those whose request takes too long.

    All have the same time, so they become late in the order in which they began, and one timer serves all of them. A
    timer and a context manager for each took a tenth of the CPU of a save.
    """

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.limits.receive_seconds
        self._most_of_tenant = settings.tenants.max_calls
        self._most = settings.limits.max_calls
        self._shares = Shares(2 * self._most)
        self._calls: dict[ArrivingCall, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, tenant: str) -> ArrivingCall:
        """Count a call, which this task reads. Fails with RATE_LIMITED, OVERLOADED if there are too many."""
        self._check(tenant)
        loop = asyncio.get_running_loop()
        call = ArrivingCall(tenant, asyncio.current_task(loop), loop.time() + self._seconds)
        self._shares.add(tenant, 1)
        self._calls[call] = None
        if self._timer is None:
            self._timer = loop.call_at(call.deadline, self._cancel_late, loop)
        return call

    def end(self, call: ArrivingCall) -> None:
        """Its request has arrived, or does not come any more."""
        del self._calls[call]
        self._shares.add(call.tenant, -1)

    def late(self, call: ArrivingCall) -> AbortedCall | None:
        """How to end a call whose task was cancelled. None if something else has cancelled it, too."""
        if not call.is_late or call.task is None or call.task.uncancel():
            return None
        text = f"request: it did not arrive within {self._seconds:g} s (limits.receive_seconds); send it faster"
        return AbortedCall(grpc.StatusCode.DEADLINE_EXCEEDED, text)

    def _cancel_late(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for call in self._calls:
            if call.deadline > loop.time():
                self._timer = loop.call_at(call.deadline, self._cancel_late, loop)
                return
            if not call.is_late and call.task is not None:
                call.is_late = True
                call.task.cancel()

    def _check(self, tenant: str) -> None:
        most, shares = self._most_of_tenant, self._shares
        if most and shares.of(tenant) >= most:
            raise Failure(
                Reason.RATE_LIMITED,
                f"the tenant has {most} calls whose request has not arrived, which is its limit (tenants.max_calls)",
                limit=most,
            )
        if not shares.fits(tenant, 1):
            raise Failure(
                Reason.OVERLOADED,
                f"the tenant has {shares.of(tenant)} calls whose request has not arrived, and all tenants have "
                f"{shares.held}; the limit is {self._most} calls (limits.max_calls); retry later",
            )
