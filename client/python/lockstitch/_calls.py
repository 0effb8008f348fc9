"""Calls that are repeated while there is time, with errors that say what there is to know."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from lockstitch._backoff import told
from lockstitch._channel import RetryPolicy
from lockstitch._deadline import Deadline
from lockstitch._errors import DeadlineExceeded, LockstitchError, RateLimited, Unavailable, Unimplemented
from lockstitch._rpcs import HEALTH_CHECK, SERVING, Answer, Request, Rpc
from lockstitch._tracing import call_span, current, within
from lockstitch._transport import Transport
from lockstitch.v1.checkpoint_service_pb2 import SaveResponse

POLL_SECONDS = 0.1
PROBE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes calls over a transport. `retry` None: each once, and only if there is a connection."""

    transport: Transport
    retry: RetryPolicy | None
    target: str = ""

    async def call(self, rpc: Rpc[Request, Answer], request: Request, deadline: Deadline) -> Answer:
        """One answer."""
        wait = self.retry is not None
        with call_span(rpc.path, self.target) as span, within(span):
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
        while True:
            try:
                return await attempt()
            except (Unavailable, RateLimited) as error:
                fault = error
                if not await self.pause(deadline, error):
                    raise
                current().retried(error)
            except DeadlineExceeded as error:
                await self.explain(error, fault)
                raise

    async def stream(
        self, rpc: Rpc[Request, Answer], request: Request, deadline: Deadline
    ) -> AsyncGenerator[Answer, None]:
        """A stream of answers that all come before the deadline."""
        stream = self.transport.stream(rpc, request, deadline.remaining, wait=self.retry is not None)
        with call_span(rpc.path, self.target) as span:
            async with aclosing(stream) as answers:
                with within(span):  # the call begins with its first answer
                    first = await anext(answers, None)
                if first is None:
                    return
                yield first
                async for answer in answers:
                    yield answer

    async def pause(self, deadline: Deadline, error: LockstitchError) -> bool:
        """Wait before another attempt. False: there is no time for one.

        Between two rounds of gRPC's own retries, of which it makes four at most; or as long as the server says.
        """
        if self.retry is None:
            return False
        seconds = told(error) if isinstance(error, RateLimited) else self.retry.max_backoff
        if deadline.remaining <= seconds:
            return False
        await self.transport.sleep(seconds)
        return True

    async def wait_ready(self, deadline: Deadline) -> None:
        """Return as soon as the server says that it is ready to work."""
        while not await self._is_serving(deadline):
            await self.transport.sleep(min(POLL_SECONDS, deadline.remaining))

    async def explain(self, error: LockstitchError, fault: LockstitchError | None) -> None:
        """Add to a deadline's message what went wrong before it, which gRPC does not tell by itself.

        That is `fault`, else why there is no connection, else what the error says is its cause.
        """
        if fault is None:
            fault = await self._connection_fault()
        if fault is None and isinstance(error.__cause__, LockstitchError):
            fault = error.__cause__
        if fault is not None:
            error.message += f" ({fault})"

    async def _connection_fault(self) -> LockstitchError | None:
        try:
            await self.transport.unary(HEALTH_CHECK, b"", PROBE_SECONDS, wait=False)
        except Unavailable as fault:
            return fault
        except LockstitchError:
            pass
        return None  # there is a connection, and the server is slow

    async def _is_serving(self, deadline: Deadline) -> bool:
        try:
            return await self.transport.unary(HEALTH_CHECK, b"", deadline.remaining, wait=True) == SERVING
        except Unavailable:
            return False
        except Unimplemented:  # something without health checks, but it answers
            return True
        except DeadlineExceeded as error:
            await self.explain(error, None)
            raise
