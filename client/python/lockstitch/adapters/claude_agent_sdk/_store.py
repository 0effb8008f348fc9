"""The session store: the SDK's interface over appenders."""

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import claude_agent_sdk
from claude_agent_sdk import SessionStore

from lockstitch._api import Api
from lockstitch._appending import Appender, Fold, Values
from lockstitch._client import DEFAULT_TARGET, AsyncClient
from lockstitch._types import Retention, SessionOrder, View
from lockstitch.adapters._appenders import Appenders
from lockstitch.adapters._connections import Closing, connections
from lockstitch.adapters._items import from_item, to_item
from lockstitch.adapters.claude_agent_sdk import _layout as layout
from lockstitch.v1.checkpoint_pb2 import StateDelta, TypedBlob, VersionedState

if TYPE_CHECKING:
    from claude_agent_sdk import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
    )

PAGE_SIZE = 1000
FOLD = getattr(claude_agent_sdk, "fold_session_summary", None)
"""The SDK's summary of entries. Its oldest releases have none."""


class LockstitchSessionStore(Closing, SessionStore):
    """The transcripts of the SDK's sessions, on a Lockstitch server.

    `append` sends and stores the new entries and nothing else, and returns when they are durable. Any number of
    processes may append to one session at the same time. If `append` has failed and left open whether the entries were
    stored, call it again with the same entries, as the SDK does: they are stored once. `load` gives each entry that has
    a `uuid` once.

    server: its address, as for `lockstitch.AsyncClient`; or an AsyncClient, which its owner closes.
    prefix: how the ids of the sessions on the server begin.
    ttl: a session ends this long after its last entry, 1 second or more; a number means seconds. None: it stays.
    tombstone: for how long a deleted session refuses entries, so that one which still runs does not bring it back; a
        number means seconds. None: as long as the server says, an hour by default.
    options: anything else that `lockstitch.AsyncClient` takes, such as `credentials` and `key`.

    Methods raise the `LockstitchError`s that the client raises.

        options = ClaudeAgentOptions(session_store=LockstitchSessionStore("127.0.0.1:50051"))
    """

    def __init__(
        self,
        server: str | AsyncClient = DEFAULT_TARGET,
        *,
        prefix: str = "claude/",
        ttl: timedelta | float | None = None,
        tombstone: timedelta | float | None = None,
        **options: Any,
    ) -> None:
        self._prefix = prefix
        self._ttl = ttl
        self._tombstone = tombstone
        self._connections = connections(server, options)
        self._appenders = Appenders(self._appender)

    async def append(self, key: "SessionKey", entries: "list[SessionStoreEntry]") -> None:
        """Store entries after those that the transcript has. Raises TypeError for an entry that JSON does not have."""
        if not entries:
            return
        session_id, namespace = layout.session_name(self._prefix, key), layout.namespace(key)
        items = [to_item(entry) for entry in entries]
        appender = self._appenders.get(self._api(), session_id, namespace)
        await appender.append(layout.ENTRIES, items, None if namespace else _fold(key, entries))

    async def load(self, key: "SessionKey") -> "list[SessionStoreEntry] | None":
        """The entries of a transcript, oldest first. None: there is none."""
        session_id, namespace = layout.session_name(self._prefix, key), layout.namespace(key)
        channels = [layout.channel(layout.ENTRIES)]
        found = (await self._api().load_latest(session_id, namespace, channels=channels)).checkpoint
        if found is None or layout.ENTRIES not in found.state.custom:
            return None
        return _without_repetitions(map(from_item, found.state.custom[layout.ENTRIES].list.items))

    async def list_sessions(self, project_key: str) -> "list[SessionStoreListEntry]":
        """The sessions of a project that have a main transcript, with the times of their last changes."""
        return [
            {"session_id": sdk_id, "mtime": mtime}
            async for sdk_id, mtime in _listed(self._api(), self._prefix, project_key)
        ]

    async def list_session_summaries(self, project_key: str) -> "list[SessionSummaryEntry]":
        """The SDK's summaries of these sessions. A summary that is damaged is left out: the SDK loads its session."""
        api = self._api()
        mtimes = {sdk_id: mtime async for sdk_id, mtime in _listed(api, self._prefix, project_key)}
        ids = [layout.session_name(self._prefix, {"project_key": project_key, "session_id": each}) for each in mtimes]
        summaries: list[SessionSummaryEntry] = []
        async for answer in api.load_latest_many(ids, channels=[layout.channel(layout.SUMMARY)]):
            found = answer.result().checkpoint if answer.error is None else None
            if found is not None and layout.SUMMARY in found.state.custom:
                sdk_id = layout.sdk_session_id(self._prefix, project_key, answer.session_id)
                data = from_item(found.state.custom[layout.SUMMARY].blob)
                summaries.append({"session_id": sdk_id, "mtime": mtimes[sdk_id], "data": data})
        return summaries

    async def delete(self, key: "SessionKey") -> None:
        """Delete a session with all its transcripts; with a subpath, that transcript alone."""
        session_id, namespace = layout.session_name(self._prefix, key), layout.namespace(key)
        api = self._api()
        if namespace:
            await self._delete_transcript(api, session_id, namespace)
            return
        await api.delete_sessions([session_id], tombstone=self._tombstone)
        for appender in self._appenders.of_session(api, session_id):
            await appender.forget()

    async def list_subkeys(self, key: "SessionListSubkeysKey") -> list[str]:
        """The subpaths of a session that have a transcript, oldest first."""
        session_id = layout.session_name(self._prefix, key)
        api = self._api()
        index = await self._appenders.get(api, session_id, layout.INDEX).load([layout.channel(layout.SUBPATHS)])
        subpaths = _subpaths(index)
        names = [(session_id, layout.namespace({"subpath": subpath})) for subpath in subpaths]
        there = set[str]()
        async for answer in api.load_latest_many(names, view=View.HEADER):
            found = answer.result().checkpoint
            if found is not None and found.header != layout.DELETED:
                there.add(answer.namespace)
        return [subpath for subpath, (_, namespace) in zip(subpaths, names, strict=True) if namespace in there]

    async def _register(self, api: Api, session_id: str, subpath: str) -> None:
        """Have a subpath in the list of its session before it has its first entry."""

        def add(state: VersionedState) -> StateDelta | None:
            if subpath in _subpaths(state):
                return None
            delta = StateDelta()
            delta.custom[layout.SUBPATHS].append.items.append(to_item(subpath))
            return delta

        await self._appenders.get(api, session_id, layout.INDEX).change([layout.channel(layout.SUBPATHS)], add)

    async def _delete_transcript(self, api: Api, session_id: str, namespace: str) -> None:
        def empty(state: VersionedState) -> StateDelta | None:
            return StateDelta(removed_custom=[layout.ENTRIES]) if layout.ENTRIES in state.custom else None

        appender = self._appenders.get(api, session_id, namespace)
        await appender.change([layout.channel(layout.ENTRIES)], empty, header=layout.DELETED)
        await api.prune_sessions([session_id], retention=Retention(keep_last=1))

    def _api(self) -> Api:
        return self._connections.asynchronous()

    def _appender(self, api: Api, session_id: str, namespace: str) -> Appender:
        subpath = layout.subpath(namespace)
        return Appender(
            api,
            session_id,
            namespace,
            header=layout.TRANSCRIPT,
            values=() if namespace or FOLD is None else (layout.SUMMARY,),
            begin=partial(self._register, api, session_id, subpath) if subpath else None,
            ttl=self._ttl,
        )


async def _listed(api: Api, prefix: str, project_key: str) -> AsyncIterator[tuple[str, int]]:
    """The SDK's ids and the times of change, in milliseconds since the epoch, of sessions with a main transcript."""
    found = api.list_sessions(
        session_id_prefix=layout.project_prefix(prefix, project_key),
        order_by=SessionOrder.SESSION_ID,
        page_size=PAGE_SIZE,
    )
    async for session in found:
        if session.latest_checkpoint_id or session.HasField("error"):
            yield layout.sdk_session_id(prefix, project_key, session.session_id), session.updated_at.ToMilliseconds()


def _fold(key: "SessionKey", entries: "list[SessionStoreEntry]") -> Fold | None:
    """How entries change the summary of their session. None: this release of the SDK has no summaries."""
    if FOLD is None:
        return None

    def fold(values: Values) -> dict[str, TypedBlob]:
        before = values.get(layout.SUMMARY)
        previous = before and {"session_id": key["session_id"], "mtime": 0, "data": from_item(before)}
        summary = to_item(FOLD(previous, key, entries)["data"])
        return {} if summary == before else {layout.SUMMARY: summary}

    return fold


def _subpaths(state: VersionedState) -> list[str]:
    listed = state.custom[layout.SUBPATHS].list.items if layout.SUBPATHS in state.custom else ()
    return [from_item(item) for item in listed]


def _without_repetitions(entries: "Iterable[SessionStoreEntry]") -> "list[SessionStoreEntry]":
    """The first of all entries with the same uuid, and those without one."""
    seen, kept = set[str](), list[Any]()
    for entry in entries:
        uuid = entry.get("uuid")
        if uuid is None or uuid not in seen:
            kept.append(entry)
        if uuid is not None:
            seen.add(uuid)
    return kept
