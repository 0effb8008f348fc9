"""Leases, so that a thread has one writer: taken before its first write, renewed in the background, sent along with
every save. A run that has lost one, or finds it with somebody else, is refused by an exception.

The runs of a saver share its lease of a thread. Runs differ by the checkpoint that they continue: see `_runs`.
"""

import asyncio
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta

import grpc

from lockstitch._api import Api
from lockstitch._client import AsyncClient
from lockstitch._errors import ExpectedLatestMismatch, LeaseHeld, LeaseLost, LockstitchError
from lockstitch._reason import Reason
from lockstitch._transport import run as run_blocking
from lockstitch._types import Saved, View
from lockstitch.adapters.langgraph._codec import Place
from lockstitch.adapters.langgraph._runs import Held, Run, Runs
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite

RENEWALS_PER_TTL = 3
MOST_UNANSWERED = 1024


def default_holder() -> str:
    """This host and process, for people to read."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True)
class LeasePolicy:
    """How a saver holds the leases of its threads.

    ttl: seconds after which a lease ends when its holder has died; 1 and above.
    idle: seconds without a write after which a lease is given back.
    holder: a readable name of the holder, which others are shown; "": host and process. It need not be unique.

    Raises ValueError where a number is out of range.

        LockstitchSaver(lease=LeasePolicy(ttl=10, holder="worker-1"))
    """

    ttl: float = 30.0
    idle: float = 300.0
    holder: str = ""

    def __post_init__(self) -> None:
        if self.ttl < 1 or self.idle <= 0:
            raise ValueError("ttl must be 1 second or more, and idle above 0")


class Leases:
    """The leases of a saver and its copies. Threads and event loops may share it.

    blocking: gives a way to make calls that block, for renewals.
    """

    def __init__(self, policy: LeasePolicy, blocking: Callable[[], Api]) -> None:
        self._policy = policy
        self._blocking = blocking
        self._seen = Runs()
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._unanswered: dict[str, str] = {}
        self._renewer: threading.Thread | None = None
        self._closed = threading.Event()

    def begin(self, place: Place, checkpoint_id: str) -> None:
        """A run may begin from a checkpoint that was read ("": there is none). place: what the caller has named."""
        self._after_fork()
        with self._lock:
            held = self._held.get(place.thread_id)
            if held is not None and held.lost is not None:  # those that have written under it may not go on; others may
                del self._held[place.thread_id]
        self._seen.begin(place.thread_id, place.ns, checkpoint_id, named=bool(place.checkpoint_id))

    async def save(self, api: Api, message: Checkpoint, ttl: timedelta | float | None, *, forks: bool) -> Saved:
        """Save a checkpoint. forks: its parent need not be the latest one.

        Raises LeaseHeld where another writes, ExpectedLatestMismatch where another has written since the run read the
        parent, LeaseLost where the run may not write any more, and what a save raises.
        """
        run = self._seen.find(message.session_id, message.namespace, message.parent_id)
        expected = run.expected(message.parent_id) if run and not forks else None
        with run.saving(message.parent_id, message.checkpoint_id) if run else nullcontext():
            held = await self._hold(api, message.session_id, run)
            with _writing(held, run) as token:
                return await api.save(message, lease_token=token, ttl=ttl, expected_latest=expected)

    async def save_writes(self, api: Api, place: Place, writes: Sequence[PendingWrite]) -> None:
        """Save pending writes. Raises what `save` raises."""
        run = self._seen.find(*place.named)
        held = await self._hold(api, place.thread_id, run)
        is_first = run is not None and not run.has_saved and run.held is not held
        with _writing(held, run) as token:
            if run and is_first:
                await self._check_latest(api, run, place)
            await api.save_writes(place.thread_id, place.checkpoint_id, writes, namespace=place.ns, lease_token=token)

    async def delete_checkpoints(self, api: Api, metadata: dict[str, str]) -> None:
        """Delete the checkpoints of all threads that have these entries, under the lease where it is held here."""
        done: set[str] = set()
        while True:
            try:
                await api.delete_checkpoints("", metadata)
                return
            except LeaseHeld as error:
                thread_id = error.metadata.get("session_id", "")
                with self._lock:
                    held = self._held.get(thread_id)
                if thread_id in done or held is None or not held.is_live:
                    raise
                done.add(thread_id)
                with suppress(LeaseLost), _writing(held, None) as token:
                    await api.delete_checkpoints(thread_id, metadata, lease_token=token)

    def deleted(self, thread_ids: Sequence[str]) -> None:
        """Threads were deleted, and their leases with them: runs that wrote under those may not go on."""
        error = _lease_lost("the thread was deleted")
        with self._lock:
            for thread_id in thread_ids:
                if held := self._held.pop(thread_id, None):
                    held.lost = error

    async def release(self, api: Api, thread_id: str) -> None:
        """Give the lease of a thread back, if it is held."""
        self._after_fork()
        with self._lock:
            held = self._held.pop(thread_id, None)
        if held and held.is_live:
            await api.release_lease(thread_id, held.token.result())

    async def close(self, api: Api) -> None:
        """Give all leases back. Those that cannot be end by themselves."""
        self._closed.set()
        for thread_id in list(self._held):
            with suppress(LockstitchError):
                await self.release(api, thread_id)

    # Taking a lease

    async def _hold(self, api: Api, thread_id: str, run: Run | None) -> Held:
        """The lease to write under. Raises LeaseHeld where another has it, LeaseLost where the run may not write."""
        held, mine = self._claim(thread_id, run)
        if mine:
            await self._acquire(api, thread_id, held)
        elif not held.token.done() and isinstance(api, AsyncClient):
            await asyncio.wait([asyncio.wrap_future(held.token)])
        try:
            held.token.result()
        except asyncio.CancelledError:
            if mine:
                raise
            return await self._hold(api, thread_id, run)  # the run that was taking it has left
        return held

    def _claim(self, thread_id: str, run: Run | None) -> tuple[Held, bool]:
        """The lease of a thread, and whether it is the caller's to take it."""
        self._after_fork()
        with self._lock:
            held = self._held.get(thread_id)
            lost = run and (run.problem or (run.held and run.held.lost))
            if lost is None and run is None and held is not None:
                lost = held.lost
            if lost:
                raise _lease_lost(lost.message)
            mine = held is None or held.lost is not None
            if held is None or mine:
                again = self._unanswered.pop(thread_id, "")
                held = self._held[thread_id] = Held(again or secrets.token_hex(16), 0.0)
            held.used_at = time.monotonic()
            return held, mine

    async def _acquire(self, api: Api, thread_id: str, held: Held) -> None:
        try:
            lease = await api.acquire_lease(
                thread_id,
                self._policy.holder or default_holder(),
                ttl=self._policy.ttl,
                acquisition_id=held.acquisition_id,
            )
            held.token.set_result(lease.token)
        except BaseException as error:
            self._not_acquired(thread_id, held, error)
            raise
        self._start_renewer()

    def _not_acquired(self, thread_id: str, held: Held, error: BaseException) -> None:
        """Where no answer came, the server may have acquired it: the next attempt repeats this acquisition."""
        with self._lock:
            if self._held.get(thread_id) is held:
                del self._held[thread_id]
            if not isinstance(error, LeaseHeld):
                self._unanswered[thread_id] = held.acquisition_id
                while len(self._unanswered) > MOST_UNANSWERED:
                    del self._unanswered[next(iter(self._unanswered))]
        held.token.set_exception(error)

    async def _check_latest(self, api: Api, run: Run, place: Place) -> None:
        """Before the first writes of a run: what it has read is the latest still, now that it has the lease."""
        read = run.latest
        if run.expected(place.checkpoint_id) is None:
            return
        found = (await api.load_latest(place.thread_id, place.ns, view=View.HEADER)).checkpoint
        if (found.checkpoint_id if found else "") not in (read, run.latest):  # which its own save may have moved by now
            raise ExpectedLatestMismatch(
                f"the run began from checkpoint {read!r}, and another has saved since: load the latest one",
                code=grpc.StatusCode.ABORTED,
                reason=Reason.EXPECTED_LATEST_MISMATCH,
                metadata={"latest_checkpoint_id": found.checkpoint_id, "latest_step": str(found.step)} if found else {},
            )

    def _after_fork(self) -> None:
        """A forked process holds nothing: what its parent holds is its parent's."""
        if os.getpid() != self._process:
            self._reset()

    # Renewals

    def _start_renewer(self) -> None:
        with self._lock:
            if self._renewer is None or not self._renewer.is_alive():
                self._closed.clear()
                self._renewer = threading.Thread(target=self._renew_until_closed, name="lockstitch-leases", daemon=True)
                self._renewer.start()

    def _renew_until_closed(self) -> None:
        while not self._closed.wait(self._policy.ttl / RENEWALS_PER_TTL):
            for thread_id, held in list(self._held.items()):
                if held.is_live:
                    self._renew(thread_id, held)

    def _renew(self, thread_id: str, held: Held) -> None:
        """This one, which may have been given back by now, and not what the thread has had since."""
        api, token = self._blocking(), held.token.result()
        try:
            if self._drop_idle(thread_id, held):
                run_blocking(api.release_lease(thread_id, token))
            else:
                run_blocking(api.renew_lease(thread_id, token, ttl=self._policy.ttl))
        except LeaseLost as error:
            with self._lock:
                held.lost = held.lost or error
        except (LockstitchError, RuntimeError):  # the next round, or the next save, will show
            pass

    def _drop_idle(self, thread_id: str, held: Held) -> bool:
        """Forget it if it has not been used for long. Whether that is so."""
        with self._lock:
            idle = self._held.get(thread_id) is held and time.monotonic() - held.used_at > self._policy.idle
            if idle:
                del self._held[thread_id]
            return idle


@contextmanager
def _writing(held: Held, run: Run | None) -> Iterator[int]:
    """The token to write with. Takes note of what a run, or all that write under the lease, have lost."""
    if run:
        run.held = held
    try:
        yield held.token.result()
    except (LeaseLost, ExpectedLatestMismatch) as error:
        if run:
            run.lost = error
        if isinstance(error, LeaseLost):
            held.lost = error
        raise


def _lease_lost(message: str) -> LeaseLost:
    return LeaseLost(message, code=grpc.StatusCode.ABORTED, reason=Reason.LEASE_LOST)
