"""Leases, so that a thread has one writer: taken before its first write, renewed in the background, sent along with
every save. Whoever has lost one, or finds it with somebody else, is told by an exception."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from lockstitch._client import AsyncClient
from lockstitch._errors import LeaseLost, LockstitchError
from lockstitch._flows import Flows
from lockstitch._transport import run
from lockstitch._types import NONE, NoCheckpoint

RENEWALS_PER_TTL = 3
Expected = str | NoCheckpoint


def default_holder() -> str:
    """A name that no other saver has."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"


@dataclass(frozen=True)
class LeasePolicy:
    """How a saver holds the leases of its threads.

    ttl: seconds after which a lease ends when its holder has died; 1 and above.
    idle: seconds without a write after which a lease is given back.
    holder: what others are told about who holds it; unique among the savers.
    """

    ttl: float = 30.0
    idle: float = 300.0
    holder: str = field(default_factory=default_holder)

    def __post_init__(self) -> None:
        if self.ttl < 1 or self.idle <= 0:
            raise ValueError("ttl must be 1 second or more, and idle above 0")


@dataclass
class _Thread:
    """What is known of a thread. token: of the lease; None while it is being taken."""

    token: "Future[int]"
    used_at: float
    expected: dict[str, Expected]
    lost: LockstitchError | None = None


class Leases:
    """The leases of a saver and its copies. Threads and event loops may share it.

    blocking: gives a way to make calls that block, for renewals.
    """

    def __init__(self, policy: LeasePolicy, blocking: Callable[[], Flows]) -> None:
        self._policy = policy
        self._blocking = blocking
        self._lock = threading.Lock()
        self._held: dict[str, _Thread] = {}
        self._seen: dict[str, dict[str, Expected]] = {}
        self._renewer: threading.Thread | None = None
        self._closed = threading.Event()

    def begin(self, thread_id: str, namespace: str, latest: str | None) -> None:
        """A run has begun from what is the latest checkpoint (None: there is none).

        Unless the lease is held already, this is what the first save under it has to find. A run that lost its lease
        may not write on, but another may begin.
        """
        with self._lock:
            held = self._held.get(thread_id)
            if held is not None and held.lost is None:
                return
            self._held.pop(thread_id, None)
            self._seen.setdefault(thread_id, {})[namespace] = NONE if latest is None else latest

    async def token(self, flows: Flows, thread_id: str) -> int:
        """The token to write with.

        Raises LeaseHeld where another writes, LeaseLost where the run may not write any more.
        """
        with self._lock:
            held = self._held.get(thread_id)
            mine = held is None
            if held is None:
                held = _Thread(Future(), time.monotonic(), self._seen.pop(thread_id, {}))
                self._held[thread_id] = held
            held.used_at = time.monotonic()
            if held.lost is not None:
                raise LeaseLost(held.lost.message, code=held.lost.code, reason=held.lost.reason)
        if mine:
            await self._acquire(flows, thread_id, held)
        elif not held.token.done() and isinstance(flows, AsyncClient):
            await asyncio.wait([asyncio.wrap_future(held.token)])
        try:
            return held.token.result()
        except asyncio.CancelledError:
            if mine:
                raise
            return await self.token(flows, thread_id)  # whoever was taking it has gone away

    def expected(self, thread_id: str, namespace: str) -> Expected | None:
        """What the next save has to find as the latest checkpoint; None: anything. Told once."""
        with self._lock:
            held = self._held.get(thread_id)
            return held.expected.pop(namespace, None) if held else None

    def lost(self, thread_id: str, error: LockstitchError) -> None:
        """The run that holds this thread's lease may not write any more."""
        with self._lock:
            if held := self._held.get(thread_id):
                held.lost = error

    async def release(self, flows: Flows, thread_id: str) -> None:
        """Give the lease of a thread back, if it is held."""
        with self._lock:
            held = self._held.pop(thread_id, None)
            self._seen.pop(thread_id, None)
        if held and held.token.done() and held.token.exception() is None:
            await flows.release_lease(thread_id, held.token.result())

    async def close(self, flows: Flows) -> None:
        """Give all leases back. Those that cannot be end by themselves."""
        self._closed.set()
        for thread_id in list(self._held):
            with suppress(LockstitchError):
                await self.release(flows, thread_id)

    async def _acquire(self, flows: Flows, thread_id: str, held: _Thread) -> None:
        try:
            lease = await flows.acquire_lease(thread_id, self._policy.holder, ttl=self._policy.ttl)
            held.token.set_result(lease.token)
        except BaseException as error:
            with self._lock:
                if self._held.get(thread_id) is held:
                    del self._held[thread_id]
            held.token.set_exception(error)
            raise
        self._start_renewer()

    def _start_renewer(self) -> None:
        with self._lock:
            if self._renewer is None or not self._renewer.is_alive():
                self._closed.clear()
                self._renewer = threading.Thread(target=self._renew_until_closed, name="lockstitch-leases", daemon=True)
                self._renewer.start()

    def _renew_until_closed(self) -> None:
        while not self._closed.wait(self._policy.ttl / RENEWALS_PER_TTL):
            for thread_id, held in list(self._held.items()):
                if held.lost is None and held.token.done() and held.token.exception() is None:
                    self._renew(thread_id, held)

    def _renew(self, thread_id: str, held: _Thread) -> None:
        """This one, which may have been given back by now, and not what the thread has had since."""
        flows, token = self._blocking(), held.token.result()
        try:
            if self._drop_idle(thread_id, held):
                run(flows.release_lease(thread_id, token))
            else:
                run(flows.renew_lease(thread_id, token, ttl=self._policy.ttl))
        except LeaseLost as error:
            with self._lock:
                held.lost = error
        except (LockstitchError, RuntimeError):  # the next round, or the next save, will show
            pass

    def _drop_idle(self, thread_id: str, held: _Thread) -> bool:
        """Forget it if it has not been used for long. Whether that is so."""
        with self._lock:
            idle = self._held.get(thread_id) is held and time.monotonic() - held.used_at > self._policy.idle
            if idle:
                del self._held[thread_id]
            return idle
