"""What a client can do, written once: coroutines over a transport, which each client runs in its own way."""

# ruff: noqa: ASYNC109 - a timeout here is the deadline that gRPC sends to the server

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch import _rpcs, _saving, _streams
from lockstitch._answers import (
    ancestor,
    checkpoints_page,
    latest,
    latest_of,
    loaded,
    saved,
    saved_writes,
    sessions_page,
)
from lockstitch._calls import Caller
from lockstitch._convert import to_node, to_timestamp
from lockstitch._draft import conditions
from lockstitch._memory import Memory
from lockstitch._paging import AsyncPager
from lockstitch._save_ids import SaveIds
from lockstitch._session_api import SessionApi
from lockstitch._types import (
    Ancestor,
    Latest,
    LatestOf,
    ListedCheckpoint,
    Loaded,
    NoCheckpoint,
    Page,
    Saved,
    SavedWrites,
    SessionOrder,
    View,
)
from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint, NodeKind, PendingWrite

T = TypeVar("T")
Answer = TypeVar("Answer")
Query = TypeVar("Query", pb.ListSessionsRequest, pb.ListCheckpointsRequest)

SESSIONS_PER_CALL = 1000


class Api(SessionApi):
    """The calls. Every `timeout` is in seconds; None means the client's."""

    def __init__(self, caller: Caller, memory: Memory | None, timeout: float) -> None:
        super().__init__(caller, timeout)
        self._memory = memory
        self._ids = SaveIds()

    def _with_own_ids(self) -> "Api":
        """The same calls. Their saves are retries of each other only, and of no other save of this client."""
        return Api(self._caller, self._memory, self._timeout)

    async def save(
        self,
        checkpoint: Checkpoint,
        *,
        expected_latest: str | int | NoCheckpoint | None = None,
        expected_revision: int = 0,
        writes: Iterable[PendingWrite] = (),
        ttl: timedelta | float | None = None,
        lease_token: int = 0,
        timeout: float | None = None,
    ) -> Saved:
        """Store a checkpoint; when this returns, it is durable.

        The checkpoint is never changed. Leave it as it is until then, too: a save that has to wait for many others
        copies it only when its turn comes. Where the client remembers the session's last save, only what changed since
        is sent. Saving the same content again changes nothing.

        checkpoint: an empty `checkpoint_id` becomes the step as 20 digits.
        expected_latest: what the latest checkpoint of (session, namespace) must be before this save: a checkpoint_id, a
            step, or `NONE` for no checkpoint yet.
        expected_revision: the revision of that checkpoint (`Saved.revision`, `Latest.checkpoint_revision`): after a
            rewind, another one may have its id. 0: any.
        writes: pending writes of this checkpoint, stored with it.
        ttl: the session ends this long after its last save, 1 second or more; a number means seconds. None leaves the
            session's setting as it is.
        lease_token: fencing token of the lease under which the caller writes; 0 for none.

        Saves of one client to one session are sent in the order of the calls. A save whose outcome is not known, as
        after DeadlineExceeded, never overwrites a save of the same checkpoint that this client was asked for later.
        Saving the same again is a retry of it.

        Raises InvalidArgument (NotJson), ExpectedLatestMismatch, Superseded, LeaseLost, TooLarge, Unavailable,
        DeadlineExceeded and the other LockstitchErrors that any call may raise.
        """
        given = conditions(expected_latest, expected_revision, writes, ttl, lease_token)
        made = _saving.save(self._caller, self._memory, self._ids, checkpoint, given, self._deadline(timeout))
        return saved(await made)

    async def save_writes(
        self,
        session_id: str,
        checkpoint_id: str,
        writes: Iterable[PendingWrite],
        *,
        namespace: str = "",
        lease_token: int = 0,
        timeout: float | None = None,
    ) -> SavedWrites:
        """Store pending writes of a checkpoint, all of them or none. The checkpoint need not exist yet.

        checkpoint_id: the checkpoint from which the writes' step started.
        writes: at least one. Under an index of 0 and above the first write stays; below 0, a later one replaces it.
        lease_token: as in `save`.

        Raises InvalidArgument, LeaseLost, TooLarge and what any call may raise.
        """
        request = pb.SaveWritesRequest(
            session_id=session_id,
            namespace=namespace,
            checkpoint_id=checkpoint_id,
            writes=writes,
            lease_token=lease_token,
        )
        return saved_writes(await self._caller.call(_rpcs.SAVE_WRITES, request, self._deadline(timeout)))

    async def load_latest(
        self,
        session_id: str,
        namespace: str = "",
        *,
        view: View = View.FULL,
        channels: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Latest:
        """Load the latest checkpoint, the one with the greatest id, and its pending writes.

        No such session is no error: then `checkpoint` is None.

        channels: parts of the state to load, as for `walk_ancestors`; none means all.

        Raises InvalidArgument, DataLoss and what any call may raise.

            client.load_latest("order-42", channels=["errors"]).checkpoint  # without messages
        """
        request = _latest_request(session_id, namespace, view, channels)
        return latest(await self._caller.call(_rpcs.LOAD_LATEST, request, self._deadline(timeout)))

    def _remember(self, loaded: Latest) -> None:
        """Have the next save of this session send what changed since this checkpoint."""
        if loaded.checkpoint is not None:
            _saving.remember(self._memory, loaded.checkpoint, loaded.checkpoint_revision)

    async def load(
        self,
        session_id: str,
        *,
        checkpoint_id: str | None = None,
        step: int | None = None,
        namespace: str = "",
        view: View = View.FULL,
        channels: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Loaded:
        """Load one checkpoint and its pending writes.

        checkpoint_id, step: which one; give exactly one of them. Where several checkpoints have the step, the one with
            the greatest id.
        channels: parts of the state to load, as for `walk_ancestors`; none means all.

        Raises NotFound, InvalidArgument, DataLoss and what any call may raise; TypeError unless one of them is given.
        """
        if (checkpoint_id is None) == (step is None):
            raise TypeError("load() takes either checkpoint_id or step")
        request = pb.LoadRequest(
            session_id=session_id,
            namespace=namespace,
            view=pb.CheckpointView.ValueType(view),
            channels=channels,
        )
        if checkpoint_id is not None:
            request.checkpoint_id = checkpoint_id
        if step is not None:
            request.step = step
        return loaded(await self._caller.call(_rpcs.LOAD, request, self._deadline(timeout)))

    async def load_latest_many(
        self,
        sessions: Iterable[str | tuple[str, str]],
        *,
        view: View = View.FULL,
        channels: Sequence[str] = (),
        timeout: float | None = None,
    ) -> AsyncGenerator[LatestOf, None]:
        """Load the latest checkpoints of many sessions, one answer each, in any order: for a fleet that restarts.

        sessions: session ids, or pairs of session id and namespace.
        channels: parts of the state to load, as for `walk_ancestors`; none means all.
        timeout: how long to wait without progress, in seconds; a stream that breaks off is continued.

        An error of one session is in its answer (`result()` raises it). Raises InvalidArgument and what any call
        may raise.
        """
        pairs = [(entry, "") if isinstance(entry, str) else entry for entry in sessions]
        for start in range(0, len(pairs), SESSIONS_PER_CALL):
            requests = [_latest_request(*pair, view, channels) for pair in pairs[start : start + SESSIONS_PER_CALL]]
            answers = _streams.load_latest_many(self._caller, requests, self._seconds(timeout))
            async with aclosing(answers):
                async for request, answer in answers:
                    yield latest_of(request, answer)

    async def walk_ancestors(
        self,
        session_id: str,
        checkpoint_id: str = "",
        *,
        namespace: str = "",
        view: View = View.FULL,
        channels: Sequence[str] = (),
        include_writes: bool = False,
        write_channels: Sequence[str] = (),
        limit: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[Ancestor, None]:
        """Go back along parent_id, nearest ancestor first, without the checkpoint itself.

        checkpoint_id: where to start; "" is the latest.
        channels: which parts of the state to give: "messages", "errors", "extra", "extra/<key>", "custom",
            "custom/<name>"; none means all.
        include_writes, write_channels: whether to give pending writes, and those of which channels; none means all.
        limit: the maximum number of ancestors; 0 means all.
        timeout: how long to wait without progress, in seconds; a stream that breaks off is continued.

        Raises NotFound, InvalidArgument, DataLoss and what any call may raise.
        """
        request = pb.WalkAncestorsRequest(
            session_id=session_id,
            namespace=namespace,
            checkpoint_id=checkpoint_id,
            view=pb.CheckpointView.ValueType(view),
            channels=channels,
            include_writes=include_writes,
            write_channels=write_channels,
            limit=limit,
        )
        answers = _streams.walk_ancestors(self._caller, request, self._seconds(timeout))
        async with aclosing(answers):
            async for answer in answers:
                yield ancestor(answer)

    def list_sessions(
        self,
        *,
        session_id_prefix: str = "",
        labels: Mapping[str, str] | None = None,
        updated_since: datetime | Timestamp | None = None,
        updated_before: datetime | Timestamp | None = None,
        order_by: SessionOrder = SessionOrder.UPDATED_AT,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPager[pb.SessionSummary]:
        """List sessions that have at least one checkpoint; the filters given must all match.

        session_id_prefix: how their ids begin.
        labels: labels that they have.
        updated_since, updated_before: when they changed last: then or later, and before then. A datetime needs a zone.
        page_size: how many to fetch at a time, up to 1000; 0 means 50.
        page_token: where to go on; see `AsyncPager.pages`.
        timeout: seconds for each page.

        Iterating raises InvalidArgument (InvalidPageToken) and what any call may raise.
        """
        query = pb.ListSessionsRequest(
            page_size=page_size,
            session_id_prefix=session_id_prefix,
            labels=labels,
            updated_since=to_timestamp(updated_since),
            updated_before=to_timestamp(updated_before),
            order_by=pb.SessionOrder.ValueType(order_by),
        )
        return self._pager(_rpcs.LIST_SESSIONS, query, sessions_page, page_token, timeout)

    def list_checkpoints(
        self,
        session_id: str = "",
        *,
        namespace: str | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        ran_node: NodeKind | str | None = None,
        skipped_node: NodeKind | str | None = None,
        before_checkpoint_id: str = "",
        metadata: Mapping[str, str] | None = None,
        include_total: bool = False,
        include_writes: bool = False,
        include_channel_sizes: bool = False,
        channels: Sequence[str] = (),
        write_channels: Sequence[str] = (),
        view: View = View.FULL,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPager[ListedCheckpoint]:
        """List checkpoints, newest first; the filters given must all match.

        session_id: only this session's; "" means those of all sessions.
        namespace: only this namespace's; "" is the root, None means those of all namespaces.
        min_step, max_step: bounds of the step, both included.
        ran_node, skipped_node: a node that ran or was skipped; a string is the name of a user's node.
        before_checkpoint_id: only ids below this one; needs session_id.
        metadata: entries that they have, each a key and its JSON text, compared as JSON values.
        include_total: whether to count all that match (`Page.total_size`), which costs a pass over them.
        include_writes: whether to give pending writes.
        include_channel_sizes: whether to give the size of every channel (`ListedCheckpoint.channels`).
        channels: which parts of the state to give, as in `walk_ancestors`; none means all.
        write_channels: pending writes of which channels to give, with include_writes; none means all.
        page_size, page_token: how many to fetch at a time (up to 1000; 0: 50), and where to go on: `AsyncPager.pages`.
        timeout: seconds for each page.

        Iterating raises InvalidArgument (InvalidPageToken) and what any call may raise. Damaged checkpoints do not stop
        it: DataLoss is raised after the last item. `Page.damaged` names them, with the error of each.
        """
        query = pb.ListCheckpointsRequest(
            page_size=page_size,
            session_id=session_id,
            namespace=namespace,
            min_step=min_step,
            max_step=max_step,
            ran_node=to_node(ran_node),
            skipped_node=to_node(skipped_node),
            before_checkpoint_id=before_checkpoint_id,
            metadata=metadata,
            include_total=include_total,
            include_writes=include_writes,
            include_channel_sizes=include_channel_sizes,
            channels=channels,
            write_channels=write_channels,
            view=pb.CheckpointView.ValueType(view),
            skip_damaged=True,
        )
        return self._pager(_rpcs.LIST_CHECKPOINTS, query, checkpoints_page, page_token, timeout)

    def _pager(
        self,
        rpc: _rpcs.Rpc[Message, Answer],
        query: Query,
        to_page: Callable[[Answer], Page[T]],
        page_token: str,
        timeout: float | None,
    ) -> AsyncPager[T]:
        async def fetch(token: str) -> Page[T]:
            request = type(query)(page_token=token)
            request.MergeFrom(query)
            return to_page(await self._caller.call(rpc, request, self._deadline(timeout)))

        return AsyncPager(fetch, page_token)

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the server says that it is ready to work, for `timeout` seconds, not for `connect_timeout`.

        Raises NoConnection if there is no server until then, DeadlineExceeded if there is one that does not get ready.
        """
        await self._caller.wait_ready(self._deadline(timeout))


def _latest_request(session_id: str, namespace: str, view: View, channels: Sequence[str]) -> pb.LoadLatestRequest:
    return pb.LoadLatestRequest(
        session_id=session_id, namespace=namespace, view=pb.CheckpointView.ValueType(view), channels=channels
    )
