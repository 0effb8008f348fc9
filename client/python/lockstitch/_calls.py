"""Calls that are repeated while there is time, with errors that say what there is to know."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from lockstitch._backoff import wait
from lockstitch._channel import RetryPolicy
from lockstitch._deadline import Deadline
from lockstitch._errors import (
    DeadlineExceeded,
    LockstitchError,
    NoConnection,
    RateLimited,
    Unavailable,
    Unimplemented,
)
from lockstitch._rpcs import HEALTH_CHECK, SERVING, Answer, Request, Rpc
from lockstitch._tracing import call_span, current, within
from lockstitch._transport import Transport
from lockstitch.v1.checkpoint_service_pb2 import SaveResponse

POLL_SECONDS = 0.1
SILENT_SHARE = 0.5
"""A call that runs out of time suspects a connection over which nothing came for this share of its timeout."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes calls over a transport.

    retry: None: each call once, and only if there is a connection.
    """

    transport: Transport
    retry: RetryPolicy | None
    target: str = ""

    async def call(self, rpc: Rpc[Request, Answer], request: Request, deadline: Deadline) -> Answer:
        """One answer."""
        wait = self.retry is not None
        with call_span(rpc.path, self.target) as span, within(span):
            await self.transport.first_connection(deadline.remaining)
            return await self._repeated(
                lambda: self.transport.unary(rpc, request, deadline.remaining, wait=wait), deadline
            )

    async def save(self, request: bytes, session_id: str, deadline: Deadline) -> SaveResponse:
        """The answer to a serialized SaveRequest. Saves of one session are sent in the order of the calls."""
        wait = self.retry is not None
        return await self._repeated(
            lambda: self.transport.save(request, session_id, deadline.remaining, wait=wait), deadline
        )

    async def _repeated(self, attempt: Callable[[], Coroutine[Any, Any, Answer]], deadline: Deadline) -> Answer:
        fault: LockstitchError | None = None
        failures = 0
        while True:
            try:
                return await attempt()
            except (Unavailable, RateLimited) as error:
                fault, failures = error, failures + 1
                if not await self.pause(deadline, error, failures):
                    raise
                current().retried(error)
            except DeadlineExceeded as error:
                raise await self.late(error, fault, deadline) from None

    async def stream(
        self, rpc: Rpc[Request, Answer], request: Request, deadline: Deadline
    ) -> AsyncGenerator[Answer, None]:
        """A stream of answers that all come before the deadline."""
        with call_span(rpc.path, self.target) as span:
            await self.transport.first_connection(deadline.remaining)
            stream = self.transport.stream(rpc, request, deadline.remaining, wait=self.retry is not None)
            async with aclosing(stream) as answers:
                with within(span):  # the call begins with its first answer
                    first = await anext(answers, None)
                if first is None:
                    return
                yield first
                async for answer in answers:
                    yield answer

    async def pause(self, deadline: Deadline, error: LockstitchError, failures: int) -> bool:
        """Wait before another attempt, after a number of failures in a row. False: do not try again."""
        if self.retry is None or isinstance(error, NoConnection):
            return False
        seconds = wait(self.retry, failures, error)
        if deadline.remaining <= seconds:
            return False
        await self.transport.sleep(seconds)
        return True

    async def wait_ready(self, deadline: Deadline) -> None:
        """Return as soon as the server says that it is ready to work."""
        while not await self._is_serving(deadline):
            await self.transport.sleep(min(POLL_SECONDS, deadline.remaining))

    async def late(self, error: DeadlineExceeded, fault: LockstitchError | None, deadline: Deadline) -> LockstitchError:
        """What to raise for a call that is out of time. A connection that has gone silent is replaced.

        Unavailable where there is no connection. Else DeadlineExceeded, whose message says what went wrong before it:
        `fault`, or what the error says is its cause.
        """
        try:
            await self.transport.check_connection()
            await self.transport.renew_if_silent(deadline.seconds * SILENT_SHARE)
        except NoConnection as missing:
            return missing
        if fault is None and isinstance(error.__cause__, LockstitchError):
            fault = error.__cause__
        if fault is not None:
            error.message += f" ({fault})"
        return error

    async def _is_serving(self, deadline: Deadline) -> bool:
        try:
            return await self.transport.unary(HEALTH_CHECK, b"", deadline.remaining, wait=True) == SERVING
        except Unavailable:
            return False
        except Unimplemented:  # something without health checks, but it answers
            return True
        except DeadlineExceeded as error:
            raise await self.late(error, None, deadline) from None
