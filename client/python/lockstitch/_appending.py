"""Appends to lists of a session, whichever checkpoint is its latest: the server is sent the new items and nothing else.

An append is a delta on the latest checkpoint, and names the checkpoint that it expects there. If another program has
saved in between, the append is sent again on top of the checkpoint that is the latest now; only the header of that one
is loaded. So programs that append to one list at the same time lose nothing. A program that is always slower takes the
session's lease for one save, so that it gets its turn; the others wait.

Nothing is appended twice either. Each save has a random version of its channels, so a repeated request is the same as
its first attempt (UNCHANGED) and never the same as an append of equal items by another program.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from random import uniform
from typing import NamedTuple

from lockstitch import _saving
from lockstitch._api import Api
from lockstitch._convert import to_duration, to_expected_latest
from lockstitch._deadline import Deadline
from lockstitch._errors import DeltaRefused, ExpectedLatestMismatch, LeaseHeld, LeaseLost, LockstitchError
from lockstitch._types import NONE, Lease, View
from lockstitch._unsettled import Append, UnsettledAppends, append_of
from lockstitch.v1.checkpoint_pb2 import BlobList, Checkpoint, CustomDelta, StateDelta, TypedBlob, VersionedState
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveResponse

FREE_SECONDS = 0.25
"""How long a save may find again and again that another program was faster, before it takes the session's lease."""
TURN_SECONDS = 5.0
"""How long that lease lasts if its holder is killed: a save takes far less."""
WAIT_SECONDS = 8.0
"""How long a save waits for the lease of another program: longer than for one of those."""
PAUSE_SECONDS = 0.02
LEAST_SECONDS = 0.001
HOLDER = "append"

Values = Mapping[str, TypedBlob]
"""Channels that hold one value, by name."""

Fold = Callable[[Values], Values]
"""From the values before an append to those that it changes."""

Attempt = Callable[[int], Awaitable[LockstitchError | None]]
"""A save under a lease's token, 0 for none. Gives the error if another program was faster."""

Change = Callable[[VersionedState], StateDelta | None]
"""From a state to what shall change in it; None: nothing."""


class Head(NamedTuple):
    """The latest checkpoint: "" and 0 where there is none. revision: 0 if it is not known."""

    checkpoint_id: str
    step: int
    revision: int
    values: Values


NO_HEAD = Head("", 0, 0, {})


class Appender:
    """Appends to the lists of one (session, namespace). Belongs to the event loop of its client.

    Appends of one object are stored in the order of the calls. If an append has failed and left open whether it was
    stored, the same append within a minute is a retry, also after other appends: it stores the items if they are not
    stored yet. Up to 64 such appends are remembered.

    header: of the checkpoints that this program saves. A session whose latest checkpoint has a header of another type
        belongs to another program: ValueError.
    values: the channels that `fold` is given.
    begin: called before the first checkpoint of the namespace is saved.
    ttl: the session ends this long after its last save; a number means seconds. None leaves it as it is.

        appender = Appender(api, "chat-1", header=TypedBlob(type="chat"))
        await appender.append("lines", [TypedBlob(type="json", data=b'"hello"')])
    """

    def __init__(
        self,
        api: Api,
        session_id: str,
        namespace: str = "",
        *,
        header: TypedBlob,
        values: Sequence[str] = (),
        begin: Callable[[], Awaitable[None]] | None = None,
        ttl: timedelta | float | None = None,
    ) -> None:
        self._api = api
        self._session_id = session_id
        self._namespace = namespace
        self._header = header
        self._values = tuple(values)
        self._begin = begin
        self._ttl = ttl
        self._lock = asyncio.Lock()
        self._head: Head | None = None
        self._unsettled = UnsettledAppends()

    @property
    def is_needed(self) -> bool:
        """Whether a call is under way, or may be repeated."""
        return self._lock.locked() or bool(self._unsettled)

    async def append(self, channel: str, items: Sequence[TypedBlob], fold: Fold | None = None) -> None:
        """Append items to a list, which begins with the first of them. When this returns, they are durable.

        fold: what changes in the other channels, by what they hold. It may be called several times.

        Raises ValueError for a session of another program, and what `Api.save` may raise.
        """
        deadline = self._api._deadline(None)
        append = append_of(channel, items)
        async with self._lock:
            if not await self._settle(append, deadline):
                await self._append(append, channel, tuple(items), fold, deadline)

    async def load(self, channels: Sequence[str]) -> VersionedState:
        """These channels of the latest state. It is empty if there is no checkpoint. Raises what `append` may raise."""
        return (await self._load(channels, self._api._deadline(None)))[1]

    async def change(self, channels: Sequence[str], change: Change, *, header: TypedBlob | None = None) -> None:
        """Load channels of the latest state and save what shall change in them, as one step: again if another saved.

        channels: as `Api.load_latest` takes them.
        header: of this checkpoint.

        Raises what `append` may raise.
        """
        deadline = self._api._deadline(None)

        async def attempt(token: int) -> LockstitchError | None:
            head, state = await self._load(channels, deadline)
            delta = change(state)
            if delta is None:
                return None
            self._head = None  # its values may change
            try:
                await self._save(self._request(head, delta, header or self._header, token), deadline)
            except (ExpectedLatestMismatch, DeltaRefused) as error:
                return error
            return None

        async with self._lock:
            await self._repeat(attempt, deadline)

    async def forget(self) -> None:
        """Forget what is known of the session, because it was deleted."""
        async with self._lock:
            self._head = None
            self._unsettled.clear()

    async def _settle(self, append: Append, deadline: Deadline) -> bool:
        """Repeat an append whose answer was lost. False: there is none, or it is certainly not stored."""
        request = self._unsettled.get(append)
        if request is None:
            return False
        self._head = None
        try:
            await self._save(request, deadline)
        except (ExpectedLatestMismatch, DeltaRefused):
            return False
        except LeaseLost:
            if not request.lease_token:
                raise
            return False  # a lease that has ended never comes back
        self._unsettled.remove(append)
        return True

    async def _append(
        self, append: Append, channel: str, items: tuple[TypedBlob, ...], fold: Fold | None, deadline: Deadline
    ) -> None:
        async def attempt(token: int) -> LockstitchError | None:
            head = self._head or await self._load_head(deadline)
            if self._begin and not head.checkpoint_id:
                await self._begin()
            changed = fold(head.values) if fold else {}
            request = self._request(head, _delta(channel, items, changed), self._header, token)
            self._head = None
            try:
                saved = await self._unsettled_save(append, request, deadline)
            except (ExpectedLatestMismatch, DeltaRefused) as error:
                self._head = await self._next_head(head, error, deadline)
                return error
            values = {**head.values, **changed}
            self._head = Head(saved.checkpoint_id, request.checkpoint.step, saved.revision, values)
            self._unsettled.remove(append)
            return None

        await self._repeat(attempt, deadline)

    async def _unsettled_save(self, append: Append, request: SaveRequest, deadline: Deadline) -> SaveResponse:
        """Save, and remember the attempt if it ends without an answer."""
        self._unsettled.put(append, request)
        try:
            return await self._save(request, deadline)
        except BaseException:
            self._unsettled.put(append, request)  # for as long from now on
            raise

    async def _repeat(self, attempt: Attempt, deadline: Deadline) -> None:
        """Try until no other program is faster; after a while, under the session's lease."""
        free = Deadline(FREE_SECONDS)
        while free.remaining:
            if (error := await attempt(0)) is None:
                return
            if not deadline.remaining:
                raise error
        while True:
            try:
                async with self._turn(deadline) as token:
                    while (error := await attempt(token)) is not None:
                        if not deadline.remaining:
                            raise error
                return
            except LeaseLost:  # it ended before the save arrived
                if not deadline.remaining:
                    raise

    @asynccontextmanager
    async def _turn(self, deadline: Deadline) -> AsyncIterator[int]:
        """The session's lease, which keeps other programs waiting. Gives its token."""
        lease = await self._acquire(deadline)
        try:
            yield lease.token
        finally:
            with suppress(LockstitchError):  # it ends by itself
                await self._api.release_lease(self._session_id, lease.token)

    async def _acquire(self, deadline: Deadline) -> Lease:
        while True:
            try:
                return await self._api.acquire_lease(
                    self._session_id, HOLDER, ttl=TURN_SECONDS, timeout=_timeout(deadline)
                )
            except LeaseHeld as error:
                await self._pause(deadline, error)

    async def _save(self, request: SaveRequest, deadline: Deadline) -> SaveResponse:
        """Send a save. Waits for a while if another program holds the session's lease."""
        patience = Deadline(min(_timeout(deadline), WAIT_SECONDS))
        while True:
            try:
                return await _saving.send(self._api._caller, request, deadline)
            except LeaseLost as error:
                if request.lease_token:
                    raise
                await self._pause(patience, error)

    async def _pause(self, deadline: Deadline, error: LockstitchError) -> None:
        """Before another attempt. Raises the error of the last one if there is no time for another."""
        seconds = uniform(0, PAUSE_SECONDS)  # noqa: S311 - no secret
        if deadline.remaining <= seconds:
            raise error
        await self._api._pause(seconds)

    async def _next_head(self, head: Head, error: LockstitchError, deadline: Deadline) -> Head:
        """The latest checkpoint, after a save on top of another one was refused."""
        fresh = await self._load_head(deadline)
        if isinstance(error, DeltaRefused) and fresh.revision == head.revision:
            raise error  # the base is the latest checkpoint, and the delta does not fit
        return fresh

    async def _load_head(self, deadline: Deadline) -> Head:
        if not self._values:
            return (await self._load((), deadline))[0]
        head, state = await self._load([f"custom/{name}" for name in self._values], deadline)
        values = {name: state.custom[name].blob for name in self._values if name in state.custom}
        return head._replace(values=values)

    async def _load(self, channels: Sequence[str], deadline: Deadline) -> tuple[Head, VersionedState]:
        latest = await self._api.load_latest(
            self._session_id,
            self._namespace,
            view=View.FULL if channels else View.HEADER,
            channels=channels,
            timeout=_timeout(deadline),
        )
        found = latest.checkpoint
        if found is None:
            return NO_HEAD, VersionedState()
        if found.header.type != self._header.type:
            raise ValueError(
                f"session {self._session_id!r} belongs to another program: the header of its latest checkpoint is of "
                f"type {found.header.type!r}, not {self._header.type!r}; choose another session"
            )
        return Head(found.checkpoint_id, found.step, latest.checkpoint_revision, {}), found.state

    def _request(self, head: Head, delta: StateDelta, header: TypedBlob, token: int) -> SaveRequest:
        step = head.step + 1
        if (checkpoint_id := f"{step:020d}") <= head.checkpoint_id:
            raise ValueError(
                f"session {self._session_id!r} belongs to another program: its latest checkpoint is "
                f"{head.checkpoint_id!r}, and {checkpoint_id!r} would not be later; choose another session"
            )
        version = secrets.token_hex(8)
        for changed in delta.custom.values():
            changed.version = changed.version or version
        checkpoint = Checkpoint(
            session_id=self._session_id,
            namespace=self._namespace,
            step=step,
            parent_id=head.checkpoint_id,
            header=header,
        )
        expected = to_expected_latest(head.checkpoint_id or NONE, head.revision)
        request = SaveRequest(
            checkpoint=checkpoint, expected_latest=expected, ttl=to_duration(self._ttl), lease_token=token
        )
        if head.checkpoint_id:
            request.base_checkpoint_id, request.base_revision = head.checkpoint_id, head.revision
            request.delta.CopyFrom(delta)
        else:
            request.checkpoint.state.CopyFrom(_first_state(delta))
        return request


def _timeout(deadline: Deadline) -> float:
    """The seconds that are left for a call, above 0."""
    return max(deadline.remaining, LEAST_SECONDS)


def _delta(channel: str, items: Sequence[TypedBlob], changed: Values) -> StateDelta:
    delta = StateDelta()
    delta.custom[channel].append.CopyFrom(BlobList(items=items))
    for name, value in changed.items():
        delta.custom[name].blob.CopyFrom(value)
    return delta


def _first_state(delta: StateDelta) -> VersionedState:
    """What a delta makes of no state."""
    state = VersionedState()
    for name, changed in delta.custom.items():
        channel = state.custom[name]
        channel.version = changed.version
        if changed.WhichOneof("change") == "blob":
            channel.blob.CopyFrom(changed.blob)
        else:
            channel.list.CopyFrom(_items(changed))
    return state


def _items(changed: CustomDelta) -> BlobList:
    return changed.append if changed.HasField("append") else changed.list
