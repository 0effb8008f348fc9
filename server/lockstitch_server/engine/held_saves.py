"""Saves that begin a session again whose content is too large to be deleted in their transaction.

They are held until that content is cleared. Other saves do not wait for them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.planning.operations import Operation, Result, bytes_of
from lockstitch_server.engine.clearing import clear
from lockstitch_server.engine.shares import Shares
from lockstitch_server.storage.store import Store

OVERHEAD = 4096
"""Memory of an operation besides its bytes, about."""

Held = asyncio.Future[Result | Failure]
"""The result of an operation that is held."""
Results = Sequence[Result | Failure | Held]

log = structlog.get_logger(__name__)


class HeldSaves:
    """The operations that are held, by the key of their session. Those of one session keep their order."""

    def __init__(
        self,
        store: Store,
        commit: Callable[[Sequence[Operation]], Awaitable[Results]],
        turn: asyncio.Lock,
        max_bytes: int,
    ) -> None:
        """commit: commits the operations of a session that has been cleared, under `turn`, as every batch is committed.

        max_bytes: of all operations that are held.
        """
        self._store = store
        self._commit = commit
        self._turn = turn
        self._memory = Shares(max_bytes)
        self._sessions: dict[bytes, list[tuple[Operation, Held]]] = {}
        self._clearing: set[asyncio.Task[None]] = set()

    def __contains__(self, key: bytes) -> bool:
        """Whether a session is being cleared: then its operations must be held."""
        return key in self._sessions

    def begin(self, operation: Operation) -> None:
        """Begin to clear the session of an operation."""
        self._sessions[operation.key] = []
        task = asyncio.create_task(self._clear_and_commit(operation.key, operation.tenant, operation.session_id))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    def hold(self, operation: Operation) -> Held | Failure:
        """Hold an operation of a session that is being cleared."""
        tenant, size = operation.tenant, bytes_of(operation) + OVERHEAD
        if not self._memory.fits(tenant, size):
            return Failure(Reason.OVERLOADED, "too many saves wait until expired or deleted sessions are cleared")
        self._memory.add(tenant, size)
        held: Held = asyncio.get_running_loop().create_future()
        held.add_done_callback(lambda _: self._memory.add(tenant, -size))
        self._sessions[operation.key].append((operation, held))
        return held

    async def _clear_and_commit(self, key: bytes, tenant: str, session_id: str) -> None:
        failure = await self._clear(tenant, session_id)
        async with self._turn:
            waiting = self._sessions.pop(key)
            results: Results = [failure] * len(waiting) if failure is not None else ()
            if failure is None and waiting:
                results = await self._committed([operation for operation, _ in waiting])
        for (_, held), result in zip(waiting, results, strict=True):
            settled = await result if isinstance(result, asyncio.Future) else result
            if not held.done():
                held.set_result(settled)

    async def _clear(self, tenant: str, session_id: str) -> Failure | None:
        """Clear a session. Returns why this failed."""
        try:
            await clear(self._store, tenant, session_id)
        except Failure as failure:
            return failure
        except Exception:
            log.exception("clear_failed")
            return Failure(Reason.INTERNAL, "the server failed to clear the session")
        return None

    async def _committed(self, operations: Sequence[Operation]) -> Results:
        try:
            return await self._commit(operations)
        except Failure as failure:
            return [failure] * len(operations)
