"""Runners: who works on a session under a lease, which is renewed in the background for as long as that takes."""

# ruff: noqa: ASYNC109 - a timeout here is the deadline that gRPC sends to the server

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc

from lockstitch._errors import LeaseHeld, LeaseLost, LockstitchError
from lockstitch._transport import run
from lockstitch._types import Latest, Lease, NoCheckpoint, Saved, SavedWrites
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite

if TYPE_CHECKING:
    from lockstitch._api import Api

DEFAULT_TTL = 30.0
POLL_SECONDS = 0.5
"""How often to ask for a lease that another holds."""
RETRY_SECONDS = 0.2


class _HeldLease:
    """A lease as its holder sees it, on a clock that nobody sets."""

    def __init__(self, lease: Lease, asked_at: float) -> None:
        self.token = lease.token
        self._end = 0.0
        self._ttl = 0.0
        self._error: LeaseLost | None = None
        self.renewed(lease, asked_at)

    def renewed(self, lease: Lease, asked_at: float) -> None:
        """Count from when it was asked for: the server's time began after that."""
        self._ttl = lease.ttl.total_seconds() if lease.ttl is not None else 0.0
        self._end = asked_at + self._ttl

    def lost(self, error: LeaseLost) -> None:
        self._error = self._error or error

    @property
    def left(self) -> float:
        """Seconds that it lasts for sure; 0 when it is lost."""
        return 0.0 if self._error is not None else max(0.0, self._end - time.monotonic())

    @property
    def until_renewal(self) -> float:
        """Seconds until it should be renewed: there is time for a second try then, and a third."""
        return max(0.0, self.left - self._ttl * 2 / 3)

    def check(self) -> None:
        """Raises LeaseLost where it may be lost, whether anybody has said so or not."""
        if self._error is None and self._end <= time.monotonic():
            self._error = LeaseLost(
                "the lease could not be renewed in time", code=grpc.StatusCode.ABORTED, reason="LEASE_LOST"
            )
        if self._error is not None:
            raise self._error


class _Core:
    """What both runners do, as coroutines."""

    def __init__(self, api: "Api", session_id: str, holder: str, ttl: float, wait: float, namespace: str) -> None:
        self.api = api
        self.session_id = session_id
        self.holder = holder or f"{socket.gethostname()}:{os.getpid()}"
        self.ttl = ttl
        self.wait = wait
        self.namespace = namespace
        self.hold: _HeldLease | None = None
        self.latest: Latest | None = None

    async def begin(self) -> None:
        """Take the lease, and then look what is there."""
        end = time.monotonic() + self.wait
        while self.hold is None:
            asked_at = time.monotonic()
            try:
                lease = await self.api.acquire_lease(self.session_id, self.holder, ttl=self.ttl)
                self.hold = _HeldLease(lease, asked_at)
            except LeaseHeld:
                if time.monotonic() + POLL_SECONDS > end:
                    raise
                await self.api._pause(POLL_SECONDS)
        try:
            self.latest = await self.api.load_latest(self.session_id, self.namespace)
        except BaseException:
            await self.end()
            raise

    @property
    def held(self) -> _HeldLease:
        if self.hold is None:
            raise RuntimeError("a runner is to be used in a `with` statement")
        return self.hold

    async def keep(self, pause: Callable[[float], Awaitable[bool]]) -> None:
        """Renew until `pause` says to stop, or the lease is lost. pause: waits, and returns whether to go on."""
        hold = self.held
        while await pause(hold.until_renewal):
            asked_at = time.monotonic()
            try:
                lease = await self.api.renew_lease(
                    self.session_id, hold.token, ttl=self.ttl, timeout=max(hold.left, 0.01)
                )
                hold.renewed(lease, asked_at)
            except LeaseLost as error:
                hold.lost(error)
                return
            except LockstitchError:
                with suppress(LeaseLost):
                    hold.check()
                if not hold.left or not await pause(min(RETRY_SECONDS, hold.left)):
                    return

    async def save(
        self,
        checkpoint: Checkpoint,
        expected_latest: str | int | NoCheckpoint | None,
        expected_revision: int,
        writes: Iterable[PendingWrite],
        ttl: timedelta | float | None,
        timeout: float | None,
    ) -> Saved:
        hold = self.held
        hold.check()
        try:
            return await self.api.save(
                checkpoint,
                expected_latest=expected_latest,
                expected_revision=expected_revision,
                writes=writes,
                ttl=ttl,
                lease_token=hold.token,
                timeout=timeout,
            )
        except LeaseLost as error:
            hold.lost(error)
            raise

    async def save_writes(
        self, checkpoint_id: str, writes: Iterable[PendingWrite], namespace: str, timeout: float | None
    ) -> SavedWrites:
        hold = self.held
        hold.check()
        try:
            return await self.api.save_writes(
                self.session_id,
                checkpoint_id,
                writes,
                namespace=namespace,
                lease_token=hold.token,
                timeout=timeout,
            )
        except LeaseLost as error:
            hold.lost(error)
            raise

    async def end(self) -> None:
        """Give the lease back, if that can be done at once: it runs out by itself."""
        hold = self.held
        if hold.left:
            with suppress(LockstitchError):
                await self.api.release_lease(self.session_id, hold.token, timeout=min(hold.left, 5.0))


class AsyncRunner:
    """The right to work on a session, within an `async with` statement.

    The lease is taken when the statement begins, renewed in the background, and given back at its end. When it is
    lost, the statement's body is cancelled at once, and the statement raises LeaseLost.
    """

    def __init__(self, core: _Core) -> None:
        self._core = core
        self._keeping: asyncio.Task[None] | None = None
        self._body: asyncio.Task[object] | None = None
        self._cancelled = False

    @property
    def latest(self) -> Latest:
        """The latest checkpoint as it was when the lease had been taken."""
        assert self._core.latest is not None, "use the runner in an `async with` statement"
        return self._core.latest

    @property
    def lease_token(self) -> int:
        """For calls that the runner has no method for."""
        return self._core.held.token

    def check(self) -> None:
        """Raises LeaseLost when the lease is lost."""
        self._core.held.check()

    async def save(
        self,
        checkpoint: Checkpoint,
        *,
        expected_latest: str | int | NoCheckpoint | None = None,
        expected_revision: int = 0,
        writes: Iterable[PendingWrite] = (),
        ttl: timedelta | float | None = None,
        timeout: float | None = None,
    ) -> Saved:
        """As the client's `save`, under the lease. Raises LeaseLost."""
        return await self._core.save(checkpoint, expected_latest, expected_revision, writes, ttl, timeout)

    async def save_writes(
        self,
        checkpoint_id: str,
        writes: Iterable[PendingWrite],
        *,
        namespace: str = "",
        timeout: float | None = None,
    ) -> SavedWrites:
        """As the client's `save_writes`, under the lease. Raises LeaseLost."""
        return await self._core.save_writes(checkpoint_id, writes, namespace, timeout)

    async def __aenter__(self) -> Self:
        await self._core.begin()
        self._body = asyncio.current_task()
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._keeping is not None
        self._keeping.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeping
        if await self._was_cancelled_here() and kind in (None, asyncio.CancelledError):
            self._core.held.check()
        await self._core.end()

    async def _was_cancelled_here(self) -> bool:
        """Whether the body was cancelled for the lost lease and by nobody else."""
        if not self._cancelled or self._body is None:
            return False
        with suppress(asyncio.CancelledError):  # which may not have come yet
            await asyncio.sleep(0)
        return self._body.uncancel() == 0

    async def _keep(self) -> None:
        await self._core.keep(_sleep)
        self._cancelled = True
        assert self._body is not None
        self._body.cancel()


async def _sleep(seconds: float) -> bool:
    await asyncio.sleep(seconds)
    return True


class Runner:
    """The right to work on a session, within a `with` statement.

    The lease is taken when the statement begins, renewed by a thread, and given back at its end. When it is lost,
    `save` and `check` raise LeaseLost without asking the server.
    """

    def __init__(self, core: _Core) -> None:
        self._core = core
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def latest(self) -> Latest:
        """The latest checkpoint as it was when the lease had been taken."""
        assert self._core.latest is not None, "use the runner in a `with` statement"
        return self._core.latest

    @property
    def lease_token(self) -> int:
        """For calls that the runner has no method for."""
        return self._core.held.token

    def check(self) -> None:
        """Raises LeaseLost when the lease is lost."""
        self._core.held.check()

    def save(
        self,
        checkpoint: Checkpoint,
        *,
        expected_latest: str | int | NoCheckpoint | None = None,
        expected_revision: int = 0,
        writes: Iterable[PendingWrite] = (),
        ttl: timedelta | float | None = None,
        timeout: float | None = None,
    ) -> Saved:
        """As the client's `save`, under the lease. Raises LeaseLost."""
        return run(self._core.save(checkpoint, expected_latest, expected_revision, writes, ttl, timeout))

    def save_writes(
        self,
        checkpoint_id: str,
        writes: Iterable[PendingWrite],
        *,
        namespace: str = "",
        timeout: float | None = None,
    ) -> SavedWrites:
        """As the client's `save_writes`, under the lease. Raises LeaseLost."""
        return run(self._core.save_writes(checkpoint_id, writes, namespace, timeout))

    def __enter__(self) -> Self:
        run(self._core.begin())
        self._thread = threading.Thread(target=self._keep, name="lockstitch-lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        run(self._core.end())
        assert self._thread is not None
        self._thread.join()

    def _keep(self) -> None:
        with suppress(RuntimeError):  # of a client that was closed meanwhile
            run(self._core.keep(self._pause))

    async def _pause(self, seconds: float) -> bool:
        return not self._stop.wait(seconds)  # in a thread of its own: here it may block


class AsyncSession:
    """A session by its id."""

    def __init__(self, api: "Api", session_id: str) -> None:
        self._api = api
        self.session_id = session_id

    def runner(
        self, *, holder: str = "", ttl: timedelta | float = DEFAULT_TTL, wait: float = 0.0, namespace: str = ""
    ) -> AsyncRunner:
        """The right to work on the session, to be used in an `async with` statement.

        holder: a readable name, which others are shown; "": this host and process. It need not be unique: every
            runner takes a lease of its own.
        ttl: how long the lease outlives its holder, 1 second or more; a number means seconds.
        wait: how long to wait, in seconds, while another holds it. Entering raises LeaseHeld after that.
        namespace: whose latest checkpoint the runner gives.
        """
        return AsyncRunner(_Core(self._api, self.session_id, holder, _seconds(ttl), wait, namespace))


class Session:
    """A session by its id."""

    def __init__(self, api: "Api", session_id: str) -> None:
        self._api = api
        self.session_id = session_id

    def runner(
        self, *, holder: str = "", ttl: timedelta | float = DEFAULT_TTL, wait: float = 0.0, namespace: str = ""
    ) -> Runner:
        """The right to work on the session, to be used in a `with` statement. Takes what `AsyncSession.runner` does."""
        return Runner(_Core(self._api, self.session_id, holder, _seconds(ttl), wait, namespace))


def _seconds(ttl: timedelta | float) -> float:
    return ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
