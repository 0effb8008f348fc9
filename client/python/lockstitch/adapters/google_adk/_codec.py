"""Sessions of the kit as checkpoints, and back.

A session has a checkpoint for each event. The list channel `events` has all events, one JSON blob each, and `extra` has
the session's own state, one entry a key. Shared state has a custom channel for each key.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from google.adk.events.event import Event
from google.adk.sessions.session import Session
from google.adk.sessions.state import State
from pydantic_core import PydanticSerializationError, to_jsonable_python

from lockstitch import _json
from lockstitch.adapters.google_adk import _keys
from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite, StateDelta, TypedBlob, VersionedState

JSON = "json"
HEADER = "lockstitch.google-adk"
"""The type of the header of such a checkpoint."""
EVENTS = "events"
SHARED, SHARED_APP, SHARED_USER = "shared", "app", "user"
STATE_CHANNELS = ("extra",)
ALL_CHANNELS = ("extra", f"custom/{EVENTS}")

Values = Mapping[str, object]


class Scopes(NamedTuple):
    """A state by its scopes, with keys without their prefixes. State that is only for one invocation is left out."""

    app: dict[str, object]
    user: dict[str, object]
    session: dict[str, object]

    @classmethod
    def of(cls, state: Values | None) -> "Scopes":
        """>>> Scopes.of({"app:a": 1, "user:b": 2, "c": 3, "temp:d": 4})
        Scopes(app={'a': 1}, user={'b': 2}, session={'c': 3})
        """
        found = cls({}, {}, {})
        for name, value in (state or {}).items():
            if name.startswith(State.APP_PREFIX):
                found.app[name.removeprefix(State.APP_PREFIX)] = value
            elif name.startswith(State.USER_PREFIX):
                found.user[name.removeprefix(State.USER_PREFIX)] = value
            elif not name.startswith(State.TEMP_PREFIX):
                found.session[name] = value
        return found


def merged(own: Values, user: Values, app: Values) -> dict[str, object]:
    """The state of a session as its agents see it."""
    prefixed_app = {State.APP_PREFIX + name: value for name, value in app.items()}
    return {**own, **prefixed_app, **{State.USER_PREFIX + name: value for name, value in user.items()}}


def text(name: str, value: object) -> str:
    """A value of a state as JSON. Raises ValueError, with its key, if JSON has no form of it."""
    try:
        return _json.text(to_jsonable_python(value), (name,))
    except (PydanticSerializationError, TypeError, ValueError) as error:
        raise ValueError(f"the state {name!r} cannot be stored as JSON: {error}") from error


def shared_values(state: VersionedState) -> dict[str, object]:
    """The values of a shared state."""
    return {name: json.loads(channel.blob.data) for name, channel in state.custom.items()}


def shared_delta(state: VersionedState, values: Values, revision: int) -> StateDelta | None:
    """What an event changes in a shared state. None: nothing, or all of it was changed already.

    revision: of the event. The version of a channel is the revision of the event that set it: the later event wins, in
    whatever order they come here, and however often.
    """
    delta, version = StateDelta(), f"{revision:020d}"
    for name, value in values.items():
        before = state.custom[name].version if name in state.custom else ""
        if len(before) != len(version) or before < version:
            delta.custom[name].version = version
            delta.custom[name].blob.CopyFrom(TypedBlob(type=JSON, data=text(name, value).encode()))
    return delta if delta.custom else None


def shared_write(scopes: Scopes) -> PendingWrite:
    """What is stored with an event so that its changes of shared state are not lost: see `shared_changes`."""
    values = {SHARED_APP: scopes.app, SHARED_USER: scopes.user}
    texts = {
        scope: {name: json.loads(text(name, value)) for name, value in each.items()} for scope, each in values.items()
    }
    data = json.dumps(texts, ensure_ascii=False).encode()
    return PendingWrite(task_id=SHARED, channel=SHARED, value=TypedBlob(type=JSON, data=data))


def shared_changes(writes: Iterable[PendingWrite]) -> Scopes | None:
    """The changes of shared state that an event brought; None: it brought none."""
    for write in writes:
        if write.task_id == SHARED:
            found = json.loads(write.value.data)
            return Scopes(found[SHARED_APP], found[SHARED_USER], {})
    return None


def own_values(state: VersionedState) -> dict[str, object]:
    """The values of a session's own state."""
    return {name: json.loads(entry) for name, entry in state.extra.entries.items()}


def event_blob(event: Event) -> TypedBlob:
    """An event, without the state that is only for this invocation. Raises ValueError if JSON has no form of it."""
    kept = {name: value for name, value in event.actions.state_delta.items() if not name.startswith(State.TEMP_PREFIX)}
    actions = event.actions.model_copy(update={"state_delta": kept})
    try:
        data = event.model_copy(update={"actions": actions}).model_dump_json(exclude_none=True)
    except PydanticSerializationError as error:
        raise ValueError(f"the event {event.id!r} cannot be stored as JSON: {error}") from error
    return TypedBlob(type=JSON, data=data.encode())


def events(state: VersionedState) -> list[Event]:
    """The events of a session, oldest first."""
    return [Event.model_validate_json(item.data) for item in state.custom[EVENTS].list.items]


def header(last_update_time: float, *, begins: bool = False) -> TypedBlob:
    """The header of a checkpoint. begins: of a new session, which then differs from any other."""
    fields: dict[str, object] = {"last_update_time": last_update_time}
    if begins:
        fields["id"] = secrets.token_hex(8)
    return TypedBlob(type=HEADER, data=json.dumps(fields).encode())


def updated_at(checkpoint: Checkpoint) -> float:
    """The last_update_time of a session. Raises ValueError for a checkpoint that is not one of the kit."""
    if checkpoint.header.type != HEADER:
        raise ValueError(f"session {checkpoint.session_id!r} on the server is not one of Google ADK")
    found: float = json.loads(checkpoint.header.data)["last_update_time"]
    return found


def first_checkpoint(session_id: str, own: Values, now: float) -> Checkpoint:
    """The checkpoint of a new session."""
    checkpoint = Checkpoint(session_id=session_id, header=header(now, begins=True))
    checkpoint.state.custom[EVENTS].list.SetInParent()
    checkpoint.state.extra.SetInParent()
    for name, value in own.items():
        checkpoint.state.extra.entries[name] = text(name, value)
    return checkpoint


def event_delta(event: Event, own: Values) -> StateDelta:
    """What an event changes in its session."""
    delta = StateDelta()
    delta.custom[EVENTS].append.items.append(event_blob(event))
    for name, value in own.items():
        delta.extra.set[name] = text(name, value)
    return delta


def session(checkpoint: Checkpoint, marker: str, shared: tuple[Values, Values], found: Iterable[Event]) -> Session:
    """A session as the kit has it. shared: the state of its user, and that of its app."""
    app_name, user_id, session_id = _keys.parts(checkpoint.session_id)
    made = Session(
        id=session_id,
        app_name=app_name,
        user_id=user_id,
        state=merged(own_values(checkpoint.state), *shared),
        events=list(found),
        last_update_time=updated_at(checkpoint),
    )
    made._storage_update_marker = marker
    return made
