"""LockstitchSession: the OpenAI Agents SDK's `Session`, on a real server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from agents import Session, SessionSettings, set_tracing_disabled

from lockstitch import AsyncClient, Checkpoint, SessionDeleted
from lockstitch.adapters.openai_agents import LockstitchSession
from tests.adapters import agents_sdks, guide
from tests.adapters.model_server import model_server
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer


@pytest.fixture(params=["sqlite_server", "postgres_server"])
def target(request: pytest.FixtureRequest) -> str:
    server: LockstitchServer = request.getfixturevalue(request.param)
    return server.target


@pytest.fixture
async def client(server: LockstitchServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.target) as client:
        yield client


@pytest.fixture
def session(client: AsyncClient, thread_id: str) -> LockstitchSession:
    return LockstitchSession(thread_id, client)


def items(*texts: str) -> list[Any]:
    return [{"role": "user", "content": text} for text in texts]


async def test_it_does_what_the_sdks_own_session_does(target: str) -> None:
    assert await agents_sdks.operations(target) == agents_sdks.OPERATIONS


def test_an_agent_continues_a_conversation(target: str) -> None:
    assert agents_sdks.converse(target) == ["heard 1", "heard 3"]


async def test_it_is_a_session(session: LockstitchSession) -> None:
    typed: Session = session
    assert isinstance(typed, Session)
    assert await session.get_items() == []


async def test_settings_limit_what_an_agent_is_given(client: AsyncClient, thread_id: str) -> None:
    session = LockstitchSession(thread_id, client, session_settings=SessionSettings(limit=2))
    await session.add_items(items("a", "b", "c"))
    assert await session.get_items() == items("b", "c")
    assert await session.get_items(1) == items("c")
    assert await session.get_items(9) == items("a", "b", "c")


async def test_each_item_is_popped_once(client: AsyncClient, thread_id: str) -> None:
    sessions = [LockstitchSession(thread_id, client) for _ in range(2)]
    await sessions[0].add_items(items("a", "b", "c", "d"))
    popped: list[Any] = await asyncio.gather(*(session.pop_item() for session in sessions))
    assert sorted(item["content"] for item in popped) == ["c", "d"]
    await sessions[1].add_items(items("e"))
    assert await sessions[0].get_items() == items("a", "b", "e")


async def test_a_session_that_another_clears_begins_again(client: AsyncClient, thread_id: str) -> None:
    one, other = (LockstitchSession(thread_id, client) for _ in range(2))
    await one.add_items(items("a"))
    await one.add_items(items("b"))
    await other.clear_session()
    await other.add_items(items("c"))
    await one.add_items(items("d"))
    assert await one.get_items() == items("c", "d")


async def test_a_tombstone_keeps_a_cleared_session_empty(client: AsyncClient, thread_id: str) -> None:
    session = LockstitchSession(thread_id, client, tombstone=60)
    await session.add_items(items("a"))
    await session.clear_session()
    with pytest.raises(SessionDeleted):
        await session.add_items(items("b"))
    assert await session.get_items() == []


async def test_it_is_a_plain_state(client: AsyncClient, session: LockstitchSession, thread_id: str) -> None:
    await session.add_items(items("a"))
    thread = client.thread(thread_id)
    state = await thread.load()
    assert state == {"items": items("a")}
    await thread.append("items", *items("b"))
    await session.add_items(items("c"))
    assert await session.get_items() == items("a", "b", "c")


async def test_other_sessions_are_refused(client: AsyncClient, session: LockstitchSession, thread_id: str) -> None:
    await client.save(Checkpoint(session_id=thread_id, step=1))
    for call in (session.get_items, lambda: session.add_items(items("a")), session.pop_item):
        with pytest.raises(ValueError, match="belongs to another program"):
            await call()


async def test_a_session_ends_after_its_ttl(client: AsyncClient, thread_id: str) -> None:
    session = LockstitchSession(thread_id, client, ttl=3600)
    await session.add_items(items("a"))
    details = await client.get_session(thread_id)
    assert details.ttl is not None
    assert details.ttl.total_seconds() == 3600


def test_one_object_serves_several_event_loops(server: LockstitchServer) -> None:
    session = LockstitchSession(f"chat-{uuid4()}", server.target)

    async def add(text: str) -> list[Any]:
        await session.add_items(items(text))
        found = await session.get_items()
        await session.close()
        return found

    asyncio.run(add("a"))
    assert asyncio.run(add("b")) == items("a", "b")


def test_a_client_brings_its_own_options(client: AsyncClient) -> None:
    with pytest.raises(TypeError, match="timeout: options of a client"):
        LockstitchSession("chat", client, timeout=1)


def test_the_guide_runs(
    server: LockstitchServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_tracing_disabled(True)
    page = ROOT / "docs" / "openai-agents.md"
    with model_server() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        guide.run(page, server.target)
    assert capsys.readouterr().out.splitlines() == guide.expected(page) == ["4 items"]
