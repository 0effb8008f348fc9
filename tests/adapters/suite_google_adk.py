"""Google ADK's session service: what its interface promises. pytest runs this where the kit is installed.

TARGET=127.0.0.1:50051 python -m pytest --noconftest -c /dev/null tests/adapters/suite_google_adk.py
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.session import Session
from google.genai import types

import lockstitch
import lockstitch._saving
from lockstitch.adapters.google_adk import LockstitchSessionService

TARGET = os.environ["TARGET"]
USER = "ada"


@pytest.fixture
async def service() -> AsyncIterator[LockstitchSessionService]:
    async with LockstitchSessionService(TARGET) as service:
        yield service


@pytest.fixture
def app() -> str:
    return f"app/{uuid4().hex[:8]}~"


def said(text: str, **fields: Any) -> Event:
    delta = fields.pop("delta", {})
    content = types.Content(role="user", parts=[types.Part(text=text)])
    return Event(author="user", content=content, actions=EventActions(state_delta=delta), **fields)


async def again(service: LockstitchSessionService, session: Session, **config: Any) -> Session:
    loaded = await service.get_session(
        app_name=session.app_name,
        user_id=session.user_id,
        session_id=session.id,
        config=GetSessionConfig(**config) if config else None,
    )
    assert loaded is not None
    return loaded


async def test_a_session_is_what_it_was(service: LockstitchSessionService, app: str) -> None:
    begun = await service.create_session(app_name=app, user_id=USER, state={"cart": {"spools": 2}, "temp:x": 1})
    assert begun.state == {"cart": {"spools": 2}}
    assert await again(service, begun) == begun
    event = Event(
        author="desk",
        invocation_id="i1",
        timestamp=1700000000.123,
        content=types.Content(parts=[types.Part.from_bytes(data=b"\x00\xff", mime_type="image/png")]),
        long_running_tool_ids={"t"},
        error_code="E",
        usage_metadata=types.GenerateContentResponseUsageMetadata(total_token_count=3),
        citation_metadata=types.CitationMetadata(),
        custom_metadata={"k": [1, None, "ö"]},
        actions=EventActions(state_delta={"n": 1.5}, artifact_delta={"f": 0}, escalate=True),
    )
    assert await service.append_event(begun, event) is event
    loaded = await again(service, begun)
    assert loaded == begun
    assert loaded.last_update_time == event.timestamp
    assert loaded.events == [event]


async def test_state_has_three_scopes(service: LockstitchSessionService, app: str) -> None:
    first = await service.create_session(app_name=app, user_id=USER, state={"app:a": 1, "user:u": 1, "s": 1})
    await service.append_event(first, said("x", delta={"app:a": 2, "user:v": 2, "t": 2, "temp:gone": 3}))
    assert first.state == {"app:a": 2, "user:u": 1, "user:v": 2, "s": 1, "t": 2, "temp:gone": 3}
    assert first.events[0].actions.state_delta == {"app:a": 2, "user:v": 2, "t": 2}
    loaded = await again(service, first)
    assert loaded.state == {"app:a": 2, "user:u": 1, "user:v": 2, "s": 1, "t": 2}
    assert loaded.events[0].actions.state_delta == {"app:a": 2, "user:v": 2, "t": 2}
    mine = await service.create_session(app_name=app, user_id=USER)
    assert mine.state == {"app:a": 2, "user:u": 1, "user:v": 2}
    theirs = await service.create_session(app_name=app, user_id="bob")
    assert theirs.state == {"app:a": 2}
    elsewhere = await service.create_session(app_name=f"{app}-2", user_id=USER)
    assert elsewhere.state == {}
    assert await service.get_user_state(app_name=app, user_id=USER) == {"u": 1, "v": 2}
    assert await service.get_user_state(app_name=app, user_id="nobody") == {}


async def test_sessions_of_users_are_apart(service: LockstitchSessionService, app: str) -> None:
    for number, user in enumerate((USER, "bob", USER)):
        session = await service.create_session(
            app_name=app, user_id=user, session_id=f"s{number}", state={"n": number, "user:name": user}
        )
        await service.append_event(session, said("x", timestamp=float(100 - number)))
    listed = (await service.list_sessions(app_name=app, user_id=USER)).sessions
    assert [(each.id, each.state, each.events) for each in listed] == [
        ("s2", {"n": 2, "user:name": USER}, []),
        ("s0", {"n": 0, "user:name": USER}, []),
    ]
    everybody = (await service.list_sessions(app_name=app)).sessions
    assert [(each.id, each.user_id, each.state["user:name"]) for each in everybody] == [
        ("s2", USER, USER),
        ("s1", "bob", "bob"),
        ("s0", USER, USER),
    ]
    assert (await service.list_sessions(app_name="unknown")).sessions == []
    assert await service.get_session(app_name=app, user_id="bob", session_id="s0") is None


async def test_an_id_is_given_once(service: LockstitchSessionService, app: str) -> None:
    await service.create_session(app_name=app, user_id=USER, session_id=" s ", state={"user:a": 1})
    for state in ({}, {"user:a": 2, "app:b": 2}):
        with pytest.raises(AlreadyExistsError):
            await service.create_session(app_name=app, user_id=USER, session_id="s", state=state)
    assert await service.get_user_state(app_name=app, user_id=USER) == {"a": 1}
    made = await asyncio.gather(
        *(service.create_session(app_name=app, user_id=USER, session_id="race") for _ in range(8)),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in made) == ["AlreadyExistsError"] * 7 + ["Session"]


async def test_a_deleted_session_is_gone(service: LockstitchSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id=USER, session_id="s", state={"user:a": 1})
    await service.delete_session(app_name=app, user_id=USER, session_id=" s ")
    await service.delete_session(app_name=app, user_id=USER, session_id="s")
    assert await service.get_session(app_name=app, user_id=USER, session_id="s") is None
    for delta in ({}, {"user:a": 2}):
        with pytest.raises(SessionNotFoundError):
            await service.append_event(session, said("late", delta=delta))
    assert await service.get_user_state(app_name=app, user_id=USER) == {"a": 1}
    begun = await service.create_session(app_name=app, user_id=USER, session_id="s")
    with pytest.raises(ValueError, match="modified in storage"):  # the same id and step, and another session
        await service.append_event(session, said("late"))
    assert (await again(service, begun)).events == []


async def test_a_stale_session_is_refused(service: LockstitchSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id=USER)
    stale = await again(service, session)
    await service.append_event(session, said("first", delta={"k": 1}))
    for delta in ({"k": 2}, {"user:k": 2}):
        with pytest.raises(ValueError, match="modified in storage"):
            await service.append_event(stale, said("second", delta=delta))
    assert stale.events == []
    assert stale.state == {}
    assert await again(service, session) == session
    fresh = await again(service, session)
    await service.append_event(fresh, said("second"))
    assert [event.content for event in (await again(service, session)).events] == [
        event.content for event in fresh.events
    ]


async def test_a_session_that_was_json_in_between_is_known_again(service: LockstitchSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id=USER)
    await service.append_event(session, said("first"))
    copied = Session.model_validate_json(session.model_dump_json())
    await service.append_event(copied, said("second"))
    with pytest.raises(ValueError, match="modified in storage"):
        await service.append_event(Session.model_validate_json(session.model_dump_json()), said("third"))
    assert len((await again(service, session)).events) == 2


async def test_an_event_is_stored_once(service: LockstitchSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id=USER)
    event = said("once")
    await service.append_event(session, event)
    await service.append_event(session, event.model_copy(deep=True))
    await service.append_event(session, said("part", partial=True))
    assert (await again(service, session)).events == [event]


async def test_branches_share_a_session(service: LockstitchSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id=USER)
    await asyncio.gather(*(service.append_event(session, said(str(number))) for number in range(20)))
    assert len(session.events) == 20
    assert (await again(service, session)).events == session.events


async def test_a_config_selects_events(service: LockstitchSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id=USER)
    for number in range(1, 6):
        await service.append_event(session, said(str(number), timestamp=float(number)))
    times = {
        (0, None): [],
        (3, None): [3.0, 4.0, 5.0],
        (9, None): [1.0, 2.0, 3.0, 4.0, 5.0],
        (None, 4.0): [4.0, 5.0],
        (3, 4.0): [4.0, 5.0],
        (1, 4.0): [5.0],
        (None, 9.0): [],
    }
    for (recent, after), expected in times.items():
        found = await again(service, session, num_recent_events=recent, after_timestamp=after)
        assert [event.timestamp for event in found.events] == expected
    newest = await again(service, session, num_recent_events=0)
    await service.append_event(newest, said("6"))  # it has no events, and is current
    assert len((await again(service, session)).events) == 6


async def test_what_json_cannot_hold_is_refused(service: LockstitchSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id=USER)
    for value in (float("nan"), lambda: None):
        with pytest.raises(ValueError, match="k"):
            await service.create_session(app_name=app, user_id=USER, state={"k": value})
        with pytest.raises(ValueError, match="k"):
            await service.append_event(session, said("x", delta={"k": value}))
    with pytest.raises(ValueError, match="255"):
        await service.create_session(app_name=app, user_id="u" * 300)
    assert await again(service, session) == session
    assert (await service.list_sessions(app_name=app)).sessions == [session]


async def test_foreign_sessions_are_refused(service: LockstitchSessionService) -> None:
    async with lockstitch.AsyncClient(TARGET) as client:
        await client.save(lockstitch.Checkpoint(session_id="adk/foreign/u/s"))
    with pytest.raises(ValueError, match="not one of Google ADK"):
        await service.get_session(app_name="foreign", user_id="u", session_id="s")


async def test_two_services_lose_no_event(service: LockstitchSessionService, app: str) -> None:
    """Each loads the session, appends, and does both again if it was too late."""
    session = await service.create_session(app_name=app, user_id=USER, session_id="shared")

    async def append_all(writer: LockstitchSessionService, name: str) -> None:
        for number in range(15):
            while True:
                try:
                    delta = {f"user:{name}": number}
                    await writer.append_event(await again(writer, session), said(f"{name}{number}", delta=delta))
                    break
                except ValueError:  # it was too late
                    continue

    async with LockstitchSessionService(TARGET) as other:
        await asyncio.gather(append_all(service, "a"), append_all(other, "b"))
    found = await again(service, session)
    texts = [event.content.parts[0].text for event in found.events if event.content and event.content.parts]
    assert [text for text in texts if text and text[0] == "a"] == [f"a{number}" for number in range(15)]
    assert [text for text in texts if text and text[0] == "b"] == [f"b{number}" for number in range(15)]
    assert len(texts) == 30
    assert found.state == {"user:a": 14, "user:b": 14}


async def test_shared_state_of_many_writers_is_whole(service: LockstitchSessionService, app: str) -> None:
    sessions = await asyncio.gather(
        *(service.create_session(app_name=app, user_id=USER, state={f"app:{n}": n}) for n in range(10))
    )
    await asyncio.gather(
        *(service.append_event(each, said("x", delta={f"user:{n}": n})) for n, each in enumerate(sessions))
    )
    expected = {f"{scope}:{number}": number for scope in ("app", "user") for number in range(10)}
    assert (await again(service, sessions[0])).state == expected


class Killed(Exception):
    """The process ends here."""


async def test_a_process_that_is_killed_loses_no_shared_state(
    service: LockstitchSessionService, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever loads the session next makes the changes that its last event brought, and overwrites no later ones."""
    session = await service.create_session(app_name=app, user_id=USER, state={"user:a": 0, "app:b": 0})
    other = await service.create_session(app_name=app, user_id=USER)

    async def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(LockstitchSessionService, "_change_shared", killed)
        with pytest.raises(Killed):
            await service.append_event(session, said("x", delta={"user:a": 1, "app:b": 1}))
    await service.append_event(other, said("y", delta={"user:a": 2}))
    async with LockstitchSessionService(TARGET) as successor:
        loaded = await again(successor, session)
        assert [event.actions.state_delta for event in loaded.events] == [{"user:a": 1, "app:b": 1}]
        assert loaded.state == {"user:a": 2, "app:b": 1}
        assert (await again(successor, session)).state == loaded.state
        await successor.append_event(loaded, said("z", delta={"user:a": 3}))
        assert (await again(successor, other)).state == {"user:a": 3, "app:b": 1}


async def test_a_session_that_begins_and_is_killed_has_its_shared_state(
    service: LockstitchSessionService, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(LockstitchSessionService, "_change_shared", killed)
        with pytest.raises(Killed):
            await service.create_session(app_name=app, user_id=USER, session_id="s", state={"user:a": 1})
    found = await service.get_session(app_name=app, user_id=USER, session_id="s")
    assert found is not None
    assert found.state == {"user:a": 1}


@pytest.mark.parametrize("delta", [{"k": 1}, {"k": 1, "user:u": 1, "app:a": 1}])
async def test_a_retry_after_a_lost_answer_is_not_stale(
    service: LockstitchSessionService, app: str, monkeypatch: pytest.MonkeyPatch, delta: dict[str, int]
) -> None:
    session = await service.create_session(app_name=app, user_id=USER)
    send = lockstitch._saving.send

    async def lost(*arguments: Any) -> None:
        await send(*arguments)
        raise lockstitch.Unavailable("the answer was lost")

    event = said("once", delta=delta)
    with monkeypatch.context() as patch:
        patch.setattr(lockstitch._saving, "send", lost)
        with pytest.raises(lockstitch.Unavailable):
            await service.append_event(session, event)
    assert session.events == []
    await service.append_event(session, event)
    await service.append_event(session, said("next"))
    loaded = await again(service, session)
    assert loaded == session
    assert len(loaded.events) == 2
    assert loaded.state == delta


async def test_1000_events_take_little_more_than_their_bytes(service: LockstitchSessionService, app: str) -> None:
    session = await service.create_session(app_name=app, user_id=USER)
    size = 0
    for number in range(1000):
        event = said(f"{number}: order 20 spools, and tell me when they arrive.", delta={"n": number})
        size += len(event.model_dump_json(exclude_none=True))
        await service.append_event(session, event)
    async with lockstitch.AsyncClient(TARGET) as client:
        (summary,) = [
            each async for each in client.list_sessions(session_id_prefix="adk/") if each.checkpoint_count > 999
        ]
    print("stored", summary.stored_bytes, "of", size)
    assert summary.stored_bytes <= 1.5 * size + 400 * 1000
    assert len((await again(service, session)).events) == 1000
