"""A thread of plain state: what most programs need of a session, without the contract's messages."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch._runner import AsyncSession, Session
from lockstitch._transport import iterate, run
from lockstitch._types import NONE, NoCheckpoint, Saved, View
from lockstitch.plain import _layout
from lockstitch.plain._codec import Codec, JsonCodec
from lockstitch.plain._typed import check_comes_back, from_plain, to_plain
from lockstitch.v1.checkpoint_pb2 import Checkpoint, VersionedState

if TYPE_CHECKING:
    from lockstitch._api import Api

S = TypeVar("S")

Save = Callable[..., Any]
"""`Api.save`, or that of a runner."""


@dataclass(frozen=True, slots=True)
class Version:
    """One saved state of a thread. Load it with `Thread.at(version.step)`.

    step: 1 for the first save, one more for each that follows.
    saved_at: the server's time of the save.
    state_bytes: size of the state, in bytes.
    """

    step: int
    saved_at: Timestamp
    state_bytes: int
    metadata: Mapping[str, str]


class Core(Generic[S]):
    """What both kinds of thread do, as coroutines."""

    def __init__(self, api: "Api", thread_id: str, kind: type[S], codec: Codec | None) -> None:
        self.api = api._with_own_ids()
        self.thread_id = thread_id
        self.kind = kind
        self.codec = codec or JsonCodec()
        self.step = 0
        """Of the state that is loaded or saved last; 0: there is none."""
        self.has_loaded = False
        self.latest: str | NoCheckpoint = NONE
        self.revision = 0
        """In which the latest checkpoint was written."""
        self.state = VersionedState()
        self.save_with: Save | None = None
        """Saves under a lease, while one is held."""
        self.lease_token = 0

    async def load(self) -> S | None:
        latest = await self.api.load_latest(self.thread_id)
        if (found := latest.checkpoint) is None:
            self.step, self.latest, self.revision, self.state = 0, NONE, 0, VersionedState()
            self.has_loaded = True
            return None
        state = self._read(found)
        self.has_loaded = True
        self.api._remember(latest)  # what another client has saved is the base now
        self.step, self.latest, self.revision = found.step, found.checkpoint_id, latest.checkpoint_revision
        self.state = found.state
        return state

    async def at(self, step: int) -> S:
        return self._read((await self.api.load(self.thread_id, step=step)).checkpoint)

    async def save(self, state: S, metadata: Mapping[str, str], ttl: timedelta | float | None) -> Saved:
        plain = to_plain(state)
        if not isinstance(plain, dict):
            raise TypeError(f"a state is a dict, a dataclass or a model, not of type {type(state).__name__}")
        check_comes_back(self.kind, state, plain)
        return await self._put(_layout.write(plain, self.codec, self.state), metadata, ttl)

    async def append(self, key: str, items: tuple[object, ...]) -> Saved:
        if not self.step and not self.has_loaded:  # once: an append that is repeated must not find what it has stored
            await self.load()
        grown = VersionedState()
        grown.CopyFrom(self.state)
        _layout.append(grown, key, [to_plain(item) for item in items], self.codec)
        return await self._put(grown, {}, None)

    async def history(self) -> AsyncGenerator[Version, None]:
        async for listed in self.api.list_checkpoints(self.thread_id, namespace="", view=View.HEADER):
            found = listed.checkpoint
            yield Version(found.step, listed.saved_at, listed.state_bytes, dict(found.metadata))

    async def fork(self, thread_id: str, step: int | None) -> "Core[S]":
        checkpoint_id = "" if step is None else _id(step)
        await self.api.copy_session(self.thread_id, thread_id, checkpoint_id=checkpoint_id)
        other = Core(self.api, thread_id, self.kind, self.codec)
        await other.load()
        return other

    async def rewind(self, step: int) -> S:
        await self.api.rewind(self.thread_id, _id(step), lease_token=self.lease_token)
        state = await self.load()
        assert state is not None, "the checkpoint that was rewound to is there"
        return state

    async def _put(self, state: VersionedState, metadata: Mapping[str, str], ttl: timedelta | float | None) -> Saved:
        step = self.step + 1
        checkpoint = Checkpoint(
            session_id=self.thread_id,
            step=step,
            parent_id=_id(self.step) if self.step else "",
            state=state,
            header=_layout.PLAIN_STATE,
            metadata=metadata,
        )
        saved: Saved = await (self.save_with or self.api.save)(
            checkpoint, expected_latest=self.latest, expected_revision=self.revision, ttl=ttl
        )
        self.step, self.latest, self.revision, self.state = step, saved.checkpoint_id, saved.revision, state
        return saved

    def _read(self, checkpoint: Checkpoint) -> S:
        if checkpoint.header.type != _layout.PLAIN_STATE.type:
            raise ValueError(
                f"checkpoint {checkpoint.checkpoint_id!r} of session {self.thread_id!r} holds no plain state; load it "
                "with the client's load_latest or load"
            )
        if checkpoint.header.data != _layout.PLAIN_STATE.data:
            raise ValueError(
                f"checkpoint {checkpoint.checkpoint_id!r} of session {self.thread_id!r} is a plain state of layout "
                f"{checkpoint.header.data.decode(errors='replace')!r}, and this client reads layout "
                f"{_layout.PLAIN_STATE.data.decode()!r}: update the client"
            )
        state: S = from_plain(self.kind, _layout.read(checkpoint.state, self.codec))
        return state


class AsyncThread(Generic[S]):
    """As `Thread`, for asyncio."""

    def __init__(self, core: Core[S]) -> None:
        self._core = core

    @property
    def thread_id(self) -> str:
        """The session's id."""
        return self._core.thread_id

    @property
    def step(self) -> int:
        """Of the state that this object loaded or saved last; 0: none."""
        return self._core.step

    async def load(self) -> S | None:
        """As `Thread.load`."""
        return await self._core.load()

    async def save(
        self, state: S, *, metadata: Mapping[str, str] | None = None, ttl: timedelta | float | None = None
    ) -> Saved:
        """As `Thread.save`."""
        return await self._core.save(state, metadata or {}, ttl)

    async def append(self, key: str, *items: object) -> Saved:
        """As `Thread.append`."""
        return await self._core.append(key, items)

    async def at(self, step: int) -> S:
        """As `Thread.at`."""
        return await self._core.at(step)

    def history(self) -> AsyncGenerator[Version, None]:
        """As `Thread.history`."""
        return self._core.history()

    async def fork(self, thread_id: str, *, step: int | None = None) -> "AsyncThread[S]":
        """As `Thread.fork`."""
        return AsyncThread(await self._core.fork(thread_id, step))

    async def rewind(self, step: int) -> S:
        """As `Thread.rewind`."""
        return await self._core.rewind(step)

    @asynccontextmanager
    async def lease(self, *, ttl: timedelta | float = 30.0, wait: float = 0.0) -> AsyncIterator["AsyncThread[S]"]:
        """As `Thread.lease`; the statement's body is cancelled when the lease is lost."""
        session = AsyncSession(self._core.api, self.thread_id)
        async with session.runner(ttl=ttl, wait=wait) as runner:
            self._core.save_with, self._core.lease_token = runner.save, runner.lease_token
            try:
                yield self
            finally:
                self._core.save_with, self._core.lease_token = None, 0


class Thread(Generic[S]):
    """A session that holds one plain state: a dict, a dataclass, a pydantic model or a TypedDict.

    Every save adds a version. It succeeds only if nobody else has saved since this object loaded or saved last. Lists
    are stored item by item and dicts key by key, so a save costs what changed. One thread at a time may use an object.

        thread = client.thread("order-42")
        state = thread.load() or {"messages": []}
        state["messages"].append({"role": "user", "content": "hello"})
        thread.save(state)
    """

    def __init__(self, core: Core[S]) -> None:
        self._core = core

    @property
    def thread_id(self) -> str:
        """The session's id."""
        return self._core.thread_id

    @property
    def step(self) -> int:
        """Of the state that this object loaded or saved last; 0: none."""
        return self._core.step

    def load(self) -> S | None:
        """The latest state, which is the caller's to change. None: the thread has none.

        Raises ValueError for a session that was not saved as plain state, and where the state does not fit the type.
        Raises DataLoss and what any call may raise.
        """
        return run(self._core.load())

    def save(
        self, state: S, *, metadata: Mapping[str, str] | None = None, ttl: timedelta | float | None = None
    ) -> Saved:
        """Store a state as the next version; when this returns, it is durable.

        metadata: key to JSON text, for lists to filter by.
        ttl: the thread ends this long after its last save; a number means seconds. None leaves it as it is.

        Raises TypeError and ValueError, with the path, for what would not come back equal: tuples, bytes, NaN, keys
        that are no text. Raises ExpectedLatestMismatch where another has saved meanwhile (load, change that state, save
        again), LeaseLost, TooLarge and what any call may raise. After an error that leaves open whether the state was
        stored, such as DeadlineExceeded, save the same state again.
        """
        return run(self._core.save(state, metadata or {}, ttl))

    def append(self, key: str, *items: object) -> Saved:
        """Add items to a list of the latest state, and save that as the next version.

        Loads the state first if this object has not. Raises TypeError where `key` holds no list, and what `save` does.

            thread.append("messages", {"role": "user", "content": "hello"})
        """
        return run(self._core.append(key, items))

    def at(self, step: int) -> S:
        """The state of an earlier step. Raises NotFound, and what `load` does."""
        return run(self._core.at(step))

    def history(self) -> Iterator[Version]:
        """The versions, newest first, without their states."""
        return iterate(self._core.history())

    def fork(self, thread_id: str, *, step: int | None = None) -> "Thread[S]":
        """Copy the thread, up to a step or to its latest one, into a new thread.

        Raises AlreadyExists, NotFound and what any call may raise.
        """
        return Thread(run(self._core.fork(thread_id, step)))

    def rewind(self, step: int) -> S:
        """Delete all that came after a step, and load that. Raises NotFound and what any call may raise."""
        return run(self._core.rewind(step))

    @contextmanager
    def lease(self, *, ttl: timedelta | float = 30.0, wait: float = 0.0) -> Iterator["Thread[S]"]:
        """The right to save, in a `with` statement: others' saves fail meanwhile. It is renewed in the background.

        ttl: how long the lease outlives this process, 1 second or more; a number means seconds.
        wait: how long to wait while another holds it, in seconds. Raises LeaseHeld after that.

            with thread.lease(wait=10):
                state = thread.load()
        """
        with Session(self._core.api, self.thread_id).runner(ttl=ttl, wait=wait) as runner:
            self._core.save_with, self._core.lease_token = _awaitable(runner.save), runner.lease_token
            try:
                yield self
            finally:
                self._core.save_with, self._core.lease_token = None, 0


def _awaitable(save: Callable[..., Saved]) -> Save:
    async def save_now(*arguments: Any, **options: Any) -> Saved:
        return save(*arguments, **options)

    return save_now


def _id(step: int) -> str:
    """The id that the server gives to a checkpoint of this step."""
    return f"{step:020d}"
