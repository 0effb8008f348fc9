"""The service: the kit's interface over the client's calls."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from google.adk.sessions.session import Session

from lockstitch import _saving
from lockstitch._api import Api
from lockstitch._appending import Appender
from lockstitch._client import DEFAULT_TARGET
from lockstitch._convert import to_duration, to_expected_latest
from lockstitch._errors import DeltaRefused, ExpectedLatestMismatch
from lockstitch._types import NONE, Latest, Retention, View
from lockstitch.adapters._connections import Closing, Connections
from lockstitch.adapters.google_adk import _codec, _keys
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite, StateDelta, TypedBlob, VersionedState
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest

try:
    from google.adk.errors import StaleSessionError
except ImportError:  # older releases raise ValueError

    class StaleSessionError(ValueError):  # type: ignore[no-redef]
        """The session has been changed by somebody else since it was loaded."""


SESSION_PARTS = 3
"""Of the key of a session: its app, its user and its own id. That of a user's state has two."""
Shared = tuple[_codec.Values, _codec.Values]
"""The state of a user, and that of its app."""
SHARED = TypedBlob(type=_codec.HEADER)
SHARED_CHANNELS = ("custom",)
SHARED_RETENTION = Retention(keep_last=1)
STALE = "The session has been modified in storage since it was loaded: load it again before you append more events."


class LockstitchSessionService(Closing, BaseSessionService):
    """Keeps sessions of Google's Agent Development Kit on a Lockstitch server: events, and state in its three scopes.

    One service serves any number of runners and event loops. Use it in `async with`, or call `close` at the end.

    target: where the server is, as for `lockstitch.AsyncClient`.
    ttl: a session expires this long after its last event, 1 second or more; a number means seconds. None: the
        session's setting stays as it is. The state of users and apps does not expire.
    options: anything else that `lockstitch.AsyncClient` takes, such as `credentials`, `metadata` and `timeout`.

    An event that is appended to a session which somebody else has changed since it was loaded raises StaleSessionError
    (a ValueError), and changes nothing. Methods also raise the `LockstitchError`s that the client raises.

        service = LockstitchSessionService("127.0.0.1:50051")
        runner = Runner(app_name="desk", agent=agent, session_service=service)
    """

    def __init__(self, target: str = DEFAULT_TARGET, *, ttl: timedelta | float | None = None, **options: Any) -> None:
        self._connections = Connections(target, options)
        self._ttl = ttl
        self._locks: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str], asyncio.Lock] = WeakValueDictionary()

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Begin a session. Raises AlreadyExistsError."""
        own_id = (session_id or "").strip() or str(uuid4())
        key, scopes = _keys.key(app_name, user_id, own_id), _codec.Scopes.of(state)
        checkpoint = _codec.first_checkpoint(key, scopes.session, time.time())
        try:
            saved = await self._api.save(checkpoint, expected_latest=NONE, writes=_writes(scopes), ttl=self._ttl)
        except ExpectedLatestMismatch:
            raise AlreadyExistsError(f"Session with id {own_id} already exists.") from None
        await self._share(app_name, user_id, scopes, saved.revision)
        shared = await self._shared(app_name, user_id)
        return _codec.session(checkpoint, _marker(saved.checkpoint_id, saved.revision), shared, [])

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """A session with its events, oldest first, and its merged state; None: there is none."""
        channels = _codec.STATE_CHANNELS if config and config.num_recent_events == 0 else _codec.ALL_CHANNELS
        found = await self._load(_keys.key(app_name, user_id, session_id.strip()), channels)
        if found.checkpoint is None:
            return None
        await self._share_again(app_name, user_id, found)
        events = _selected(_codec.events(found.checkpoint.state), config)
        return _codec.session(found.checkpoint, _marker_of(found), await self._shared(app_name, user_id), events)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """The sessions of a user, or of all users, without their events: the last updated one comes last."""
        prefix = _keys.below(app_name) if user_id is None else _keys.below(app_name, user_id)
        listed = [item.session_id async for item in self._api.list_sessions(session_id_prefix=prefix)]
        parts = [_keys.parts(key) for key in listed]
        shared = await self._shared_by(app_name, {each[1] for each in parts})
        sessions = [key for key, each in zip(listed, parts, strict=True) if len(each) == SESSION_PARTS]
        found = []
        async for answer in self._api.load_latest_many(sessions, channels=_codec.STATE_CHANNELS):
            latest = answer.result()
            if latest.checkpoint is not None:  # it was not deleted in between
                user = _keys.parts(answer.session_id)[1]
                found.append(_codec.session(latest.checkpoint, _marker_of(latest), shared[user], []))
        found.sort(key=lambda session: (session.last_update_time, session.user_id, session.id))
        return ListSessionsResponse(sessions=found)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session with its events. The state of its user and its app stays."""
        await self._api.delete_sessions([_keys.key(app_name, user_id, session_id.strip())], tombstone=0)

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """The state of a user, with keys without `user:`."""
        return dict((await self._shared(app_name, user_id))[0])

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append an event to a session; when this returns, it is durable.

        Raises StaleSessionError if the session was changed since it was loaded, SessionNotFoundError.
        """
        if event.partial or any(known == event for known in session.events if known.id == event.id):
            return event
        key = _keys.key(session.app_name, session.user_id, session.id)
        async with self._lock(key):
            marker = await self._store(session, event, key)
            event = await super().append_event(session=session, event=event)
            session.last_update_time = event.timestamp
            session._storage_update_marker = marker
            return event

    @property
    def _api(self) -> Api:
        return self._connections.asynchronous()

    def _lock(self, key: str) -> asyncio.Lock:
        """Appends to one session of this process wait for each other: branches of an agent share a `Session`."""
        return self._locks.setdefault((asyncio.get_running_loop(), key), asyncio.Lock())

    async def _store(self, session: Session, event: Event, key: str) -> str:
        """Store an event on top of the state that a session was loaded with. Returns its new marker."""
        base_id, revision = await self._base(session, key)
        scopes = _codec.Scopes.of(event.actions.state_delta)
        request = SaveRequest(
            checkpoint=Checkpoint(
                session_id=key, step=int(base_id) + 1, parent_id=base_id, header=_codec.header(event.timestamp)
            ),
            expected_latest=to_expected_latest(base_id),
            base_checkpoint_id=base_id,
            base_revision=revision,
            delta=_codec.event_delta(event, scopes.session),
            writes=_writes(scopes),
            ttl=to_duration(self._ttl),
        )
        api = self._api
        try:
            saved = await _saving.send(api._caller, request, api._deadline(None))
        except (ExpectedLatestMismatch, DeltaRefused):
            await self._check_current(key, base_id, revision)
            raise
        await self._share(session.app_name, session.user_id, scopes, saved.revision)
        return _marker(saved.checkpoint_id, saved.revision)

    async def _base(self, session: Session, key: str) -> tuple[str, int]:
        """The checkpoint that a session was loaded from, and its revision."""
        checkpoint_id, _, revision = (session._storage_update_marker or "").partition("@")
        if checkpoint_id.isdecimal() and revision.isdecimal():
            return checkpoint_id, int(revision)
        latest = await self._load(key, _codec.ALL_CHANNELS)  # it was made from JSON, say
        if latest.checkpoint is None:
            raise SessionNotFoundError(f"Session {session.id} not found.")
        stored = _codec.events(latest.checkpoint.state)
        if [event.id for event in stored[-1:]] != [event.id for event in session.events[-1:]]:
            raise StaleSessionError(STALE)
        await self._share_again(session.app_name, session.user_id, latest)
        return latest.checkpoint.checkpoint_id, latest.checkpoint_revision

    async def _check_current(self, key: str, checkpoint_id: str, revision: int) -> None:
        """Raises SessionNotFoundError, StaleSessionError."""
        latest = await self._api.load_latest(key, view=View.HEADER)
        if latest.checkpoint is None:
            raise SessionNotFoundError(f"Session {_keys.parts(key)[-1]} not found.")
        if (latest.checkpoint.checkpoint_id, latest.checkpoint_revision) != (checkpoint_id, revision):
            raise StaleSessionError(STALE)

    async def _load(self, key: str, channels: Sequence[str]) -> Latest:
        return await self._api.load_latest(key, channels=channels)

    async def _shared(self, app_name: str, user_id: str) -> Shared:
        return (await self._shared_by(app_name, {user_id}))[user_id]

    async def _shared_by(self, app_name: str, user_ids: set[str]) -> dict[str, Shared]:
        """For each user, their state and that of the app."""
        app = _keys.key(app_name)
        users = {_keys.key(app_name, user_id): user_id for user_id in user_ids}
        states: dict[str, dict[str, object]] = {}
        async for answer in self._api.load_latest_many([app, *users], channels=SHARED_CHANNELS):
            checkpoint = answer.result().checkpoint
            states[answer.session_id] = _codec.shared_values(checkpoint.state) if checkpoint else {}
        return {user_id: (states[key], states[app]) for key, user_id in users.items()}

    async def _share(self, app_name: str, user_id: str, scopes: _codec.Scopes, revision: int) -> None:
        """Change the state of an app, and that of a user. revision: of the event that brings the changes."""
        for key, values in ((_keys.key(app_name), scopes.app), (_keys.key(app_name, user_id), scopes.user)):
            if values:
                await self._change_shared(key, values, revision)

    async def _share_again(self, app_name: str, user_id: str, latest: Latest) -> None:
        """Make the changes of shared state that the last event brought, if its process was killed before it did.

        Earlier events need no look: a caller that appends has loaded the session, or has made these changes.
        """
        if (scopes := _codec.shared_changes(latest.pending_writes)) is not None:
            await self._share(app_name, user_id, scopes, latest.checkpoint_revision)

    async def _change_shared(self, key: str, values: _codec.Values, revision: int) -> None:
        begins = False

        def change(state: VersionedState) -> StateDelta | None:
            nonlocal begins
            begins = not state.custom
            return _codec.shared_delta(state, values, revision)

        await Appender(self._api, key, header=SHARED).change(SHARED_CHANNELS, change)
        if begins:  # old versions of it are of no use
            await self._api.update_session(key, retention=Retention(keep_last=1))


def _writes(scopes: _codec.Scopes) -> Sequence[PendingWrite]:
    return (_codec.shared_write(scopes),) if scopes.app or scopes.user else ()


def _marker(checkpoint_id: str, revision: int) -> str:
    """What a session carries to say what it was loaded from."""
    return f"{checkpoint_id}@{revision}"


def _marker_of(latest: Latest) -> str:
    assert latest.checkpoint is not None, "the caller has checked it"
    return _marker(latest.checkpoint.checkpoint_id, latest.checkpoint_revision)


def _selected(events: list[Event], config: GetSessionConfig | None) -> list[Event]:
    """The events that a config asks for."""
    if config is None:
        return events
    if config.num_recent_events is not None:
        events = events[-config.num_recent_events :] if config.num_recent_events > 0 else []
    if config.after_timestamp is not None:
        events = [event for event in events if event.timestamp >= config.after_timestamp]
    return events
