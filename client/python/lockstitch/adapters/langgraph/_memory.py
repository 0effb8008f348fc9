"""Memory across threads: LangGraph's store over sessions, one for each item."""

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)

from lockstitch._api import SESSIONS_PER_CALL, Api
from lockstitch._client import DEFAULT_TARGET
from lockstitch._errors import SessionNotFound
from lockstitch._transport import run
from lockstitch._types import SaveOutcome, SessionOrder
from lockstitch.adapters import _ids
from lockstitch.adapters._connections import Connections
from lockstitch.adapters.langgraph._matching import common_prefix, lists, selects
from lockstitch.plain import PLAIN_STATE, JsonCodec, _layout
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SessionSummary

TTL = "ttl_seconds"
"""The metadata entry that says how long an item lives after it was put or read."""
SECONDS = 60.0
"""Of a minute, in which LangGraph counts."""


class LockstitchMemory(BaseStore):
    """Keeps items of LangGraph's store, which all threads share, on a Lockstitch server. There are no vectors.

    One memory serves any number of graphs, threads and event loops. Its synchronous methods block on a connection of
    their own. Close it with `close()` or `aclose()`.

    target: where the server is, as for `lockstitch.Client`.
    prefix: how the ids of its sessions begin. An item's id is `prefix/namespace/.../key`, 255 bytes at most.
    ttl: LangGraph's settings for the expiry of items: `default_ttl` in minutes, and `refresh_on_read`.
    options: anything else that `lockstitch.Client` takes, such as `credentials`, `metadata` and `timeout`.

    Values that JSON does not give back exactly raise TypeError or ValueError, with their path. Methods also raise the
    `LockstitchError`s that the client raises.

        memory = LockstitchMemory("127.0.0.1:50051")
        memory.put(("users", "ada"), "tea", {"likes": "green"})
        graph = builder.compile(store=memory)
    """

    supports_ttl = True

    def __init__(
        self, target: str = DEFAULT_TARGET, *, prefix: str = "memory", ttl: TTLConfig | None = None, **options: Any
    ) -> None:
        self.ttl_config = ttl
        self._prefix = prefix
        self._connections = Connections(target, options)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """The results of operations: those that read see nothing of those that write."""
        return run(_Items(self._connections.blocking(), self._prefix).batch(list(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`."""
        return await _Items(self._connections.asynchronous(), self._prefix).batch(list(ops))

    def close(self) -> None:
        """Close the connection of the synchronous methods. May be repeated."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop. May be repeated."""
        await self._connections.aclose()


@dataclass(frozen=True, slots=True)
class _Items:
    """The operations over one client."""

    api: Api
    prefix: str

    async def batch(self, ops: list[Op]) -> list[Result]:
        results: list[Result] = []
        puts: dict[tuple[tuple[str, ...], str], PutOp] = {}
        for op in ops:
            if isinstance(op, GetOp):
                results.append(await self.get(op))
            elif isinstance(op, SearchOp):
                results.append(await self.search(op))
            elif isinstance(op, ListNamespacesOp):
                results.append(await self.list_namespaces(op))
            elif isinstance(op, PutOp):
                puts[op.namespace, op.key] = op
                results.append(None)
            else:
                raise TypeError(f"an operation of a store is wanted, not {type(op).__name__}")
        for op in puts.values():
            await self.put(op)
        return results

    async def get(self, op: GetOp) -> Item | None:
        session_id = self._id(op.namespace, op.key)
        checkpoint = (await self.api.load_latest(session_id)).checkpoint
        if checkpoint is None:
            return None
        try:
            summary = (await self.api.get_session(session_id)).summary
            if op.refresh_ttl:
                await self._refresh(checkpoint)
        except SessionNotFound:  # it was deleted in between
            return None
        return Item(**_fields(checkpoint, summary.created_at))

    async def put(self, op: PutOp) -> None:
        session_id = self._id(op.namespace, op.key)
        if op.value is None:
            await self.api.delete_sessions([session_id], tombstone=0)
            return
        seconds = None if op.ttl is None else op.ttl * SECONDS
        state = _layout.write(op.value, JsonCodec())
        metadata = {} if seconds is None else {TTL: json.dumps(seconds)}
        checkpoint = Checkpoint(session_id=session_id, step=1, state=state, header=PLAIN_STATE, metadata=metadata)
        saved = await self.api.save(checkpoint, ttl=seconds)
        if seconds is None and saved.outcome != SaveOutcome.CREATED:
            with suppress(SessionNotFound):
                await self.api.update_session(session_id, clear_ttl=True)

    async def search(self, op: SearchOp) -> list[SearchItem]:
        """Items below a namespace, those that changed last first."""
        found: list[SearchItem] = []
        skipped = 0
        if op.limit <= 0:
            return found
        async for summary, checkpoint in self._below(op.namespace_prefix, 0 if op.filter else op.offset + op.limit):
            item = SearchItem(**_fields(checkpoint, summary.created_at))
            if not selects(op.filter, item.value):
                continue
            if skipped < op.offset:
                skipped += 1
                continue
            if op.refresh_ttl:
                with suppress(SessionNotFound):
                    await self._refresh(checkpoint)
            found.append(item)
            if len(found) == op.limit:
                break
        return found

    async def list_namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        found = set[tuple[str, ...]]()
        below = _ids.join(self.prefix, *common_prefix(op.match_conditions)) + "/"
        listed = self.api.list_sessions(
            session_id_prefix=below, order_by=SessionOrder.SESSION_ID, page_size=SESSIONS_PER_CALL
        )
        async for summary in listed:
            namespace = _ids.split(summary.session_id)[1:-1]
            if lists(op.match_conditions, namespace):
                found.add(namespace[: op.max_depth])
        return sorted(found)[op.offset : op.offset + op.limit]

    async def _below(
        self, namespace: tuple[str, ...], enough: int
    ) -> AsyncGenerator[tuple[SessionSummary, Checkpoint], None]:
        """Items below a namespace with their sessions. enough: how many the caller needs; 0: perhaps all."""
        size = min(enough or SESSIONS_PER_CALL, SESSIONS_PER_CALL)
        listed = self.api.list_sessions(session_id_prefix=_ids.join(self.prefix, *namespace) + "/", page_size=size)
        given = set[str]()
        async for page in listed.pages():
            summaries = [each for each in page.items if each.session_id not in given]
            given |= {each.session_id for each in summaries}
            answers = self.api.load_latest_many([each.session_id for each in summaries])
            loaded = {answer.session_id: answer.result().checkpoint async for answer in answers}
            for summary in summaries:
                checkpoint = loaded[summary.session_id]
                if checkpoint is not None:  # it was not deleted in between
                    yield summary, checkpoint

    async def _refresh(self, checkpoint: Checkpoint) -> None:
        """Let an item live on from now."""
        if TTL in checkpoint.metadata:
            await self.api.update_session(checkpoint.session_id, ttl=json.loads(checkpoint.metadata[TTL]))

    def _id(self, namespace: tuple[str, ...], key: str) -> str:
        return _ids.join(self.prefix, *namespace, str(key))


def _fields(checkpoint: Checkpoint, created_at: Timestamp) -> Mapping[str, Any]:
    """The fields of an item."""
    if checkpoint.header != PLAIN_STATE:
        raise ValueError(f"session {checkpoint.session_id!r} is not an item of a memory; choose another prefix")
    _, *namespace, key = _ids.split(checkpoint.session_id)
    return {
        "namespace": tuple(namespace),
        "key": key,
        "value": _layout.read(checkpoint.state, JsonCodec()),
        "created_at": _time(created_at),
        "updated_at": _time(checkpoint.created_at),
    }


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
