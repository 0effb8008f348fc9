"""The session: the SDK's interface over an appender."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lockstitch._api import Api
from lockstitch._appending import Appender
from lockstitch._client import DEFAULT_TARGET, AsyncClient
from lockstitch.adapters._appenders import Appenders
from lockstitch.adapters._connections import Closing, connections
from lockstitch.adapters._items import from_item, to_item
from lockstitch.plain._layout import PLAIN_STATE
from lockstitch.v1.checkpoint_pb2 import BlobList, StateDelta, TypedBlob, VersionedState

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory import SessionSettings

ITEMS = "items"
CHANNELS = (f"custom/{ITEMS}",)
MOST_APPENDERS = 16
"""One for each event loop that a session is used in."""


class LockstitchSession(Closing):
    """The history of one conversation, on a Lockstitch server.

    `add_items` sends and stores the new items and nothing else, and returns when they are durable. Any number of
    processes may add to one session at the same time. If `add_items` has failed and left open whether the items were
    stored, call it again with the same items: they are stored once.

    session_id: the session on the server, 1 to 255 bytes.
    server: its address, as for `lockstitch.AsyncClient`; or an AsyncClient, which many sessions may share. Its owner
        closes it.
    session_settings: the SDK's own, such as `SessionSettings(limit=50)`.
    ttl: the session ends this long after its last change, 1 second or more; a number means seconds. None: it stays.
    tombstone: for how long a cleared session cannot be begun again; a number means seconds. 0: it can at once.
    options: anything else that `lockstitch.AsyncClient` takes, such as `credentials` and `key`.

    Methods raise the `LockstitchError`s that the client raises; ValueError if the server has a session of this id
    that belongs to another program.

        session = LockstitchSession("chat-42")
        result = await Runner.run(agent, "Hello", session=session)
    """

    session_settings: "SessionSettings | None" = None

    def __init__(
        self,
        session_id: str,
        server: str | AsyncClient = DEFAULT_TARGET,
        *,
        session_settings: "SessionSettings | None" = None,
        ttl: timedelta | float | None = None,
        tombstone: timedelta | float = 0,
        **options: Any,
    ) -> None:
        self.session_id = session_id
        self.session_settings = session_settings
        self._ttl = ttl
        self._tombstone = tombstone
        self._connections = connections(server, options)
        self._appenders = Appenders(self._appender, MOST_APPENDERS)

    async def get_items(self, limit: int | None = None) -> "list[TResponseInputItem]":
        """The history, oldest item first. limit: only the newest items; None: as `session_settings` say."""
        if limit is None:
            limit = getattr(self.session_settings, "limit", None)
        if limit is not None and limit <= 0:
            return []
        items = _items(await self._own_appender().load(CHANNELS))
        return [from_item(item) for item in (items if limit is None else items[-limit:])]

    async def add_items(self, items: "list[TResponseInputItem]") -> None:
        """Append items to the history."""
        if items:
            await self._own_appender().append(ITEMS, [to_item(item) for item in items])

    async def pop_item(self) -> "TResponseInputItem | None":
        """Remove the newest item, and return it. None: there is none. Sends and stores the others again."""
        popped: TypedBlob | None = None

        def shorten(state: VersionedState) -> StateDelta | None:
            nonlocal popped
            items = _items(state)
            popped = items.pop() if items else None
            if popped is None:
                return None
            delta = StateDelta()
            delta.custom[ITEMS].list.CopyFrom(BlobList(items=items))
            return delta

        await self._own_appender().change(CHANNELS, shorten)
        return None if popped is None else from_item(popped)

    async def clear_session(self) -> None:
        """Delete the session with all that the server has of it."""
        await self._api().delete_sessions([self.session_id], tombstone=self._tombstone)
        await self._own_appender().forget()

    def _api(self) -> Api:
        return self._connections.asynchronous()

    def _own_appender(self) -> Appender:
        return self._appenders.get(self._api(), self.session_id)

    def _appender(self, api: Api, session_id: str, namespace: str) -> Appender:
        return Appender(api, session_id, namespace, header=PLAIN_STATE, ttl=self._ttl)


def _items(state: VersionedState) -> list[TypedBlob]:
    return list(state.custom[ITEMS].list.items) if ITEMS in state.custom else []
