"""Calls that are repeated while there is time, with errors that say what there is to know."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from lockstitch._channel import RetryPolicy
from lockstitch._deadline import Deadline
from lockstitch._errors import DeadlineExceeded, LockstitchError, Unavailable, Unimplemented
from lockstitch._rpcs import HEALTH_CHECK, SERVING, Answer, Request, Rpc
from lockstitch._transport import Transport

POLL_SECONDS = 0.1
PROBE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes calls over a transport. `retry` None: each once, and only if there is a connection."""

    transport: Transport
    retry: RetryPolicy | None

    async def call(self, rpc: Rpc[Request, Answer], request: Request, deadline: Deadline) -> Answer:
        """One answer."""
        fault: LockstitchError | None = None
        while True:
            try:
                return await self.transport.unary(rpc, request, deadline.remaining, wait=self.retry is not None)
            except Unavailable as error:
                fault = error
                if not await self.pause(deadline):
                    raise
            except DeadlineExceeded as error:
                await self.explain(error, fault)
                raise

    def stream(self, rpc: Rpc[Request, Answer], request: Request, deadline: Deadline) -> AsyncGenerator[Answer, None]:
        """A stream of answers that all come before the deadline."""
        return self.transport.stream(rpc, request, deadline.remaining, wait=self.retry is not None)

    async def pause(self, deadline: Deadline) -> bool:
        """Wait between two rounds of gRPC's own retries, of which it makes four at most. False: no time for another."""
        if self.retry is None or deadline.remaining <= self.retry.max_backoff:
            return False
        await self.transport.sleep(self.retry.max_backoff)
        return True

    async def wait_ready(self, deadline: Deadline) -> None:
        """Return as soon as the server says that it is ready to work."""
        while not await self._is_serving(deadline):
            await self.transport.sleep(min(POLL_SECONDS, deadline.remaining))

    async def explain(self, error: LockstitchError, fault: LockstitchError | None) -> None:
        """Add to a deadline's message what went wrong before it: `fault`, or why there is no connection.

        gRPC does not tell by itself.
        """
        if fault is None:
            fault = await self._connection_fault()
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
