"""LockstitchSessionStore: the Claude Agent SDK's `SessionStore`, on a real server."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import claude_agent_sdk as sdk
import pytest
from claude_agent_sdk import SessionKey, SessionListSubkeysKey, fold_session_summary, project_key_for_directory

from examples.claude_agent_sdk import offline_cli
from lockstitch import AsyncClient, SessionDeleted
from lockstitch.adapters.claude_agent_sdk import LockstitchSessionStore
from tests.adapters import agents_sdks, guide
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer
from tests.support.tcp_proxy import TcpProxy


@pytest.fixture
async def client(server: LockstitchServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.target) as client:
        yield client


@pytest.fixture
def store(client: AsyncClient) -> LockstitchSessionStore:
    return LockstitchSessionStore(client, prefix=f"{uuid4()}/")


@pytest.fixture
def key() -> SessionKey:
    return {"project_key": "project", "session_id": str(uuid4())}


def entries(*texts: str, **fields: Any) -> list[Any]:
    """Prompts, as the SDK has them in a transcript."""
    return [
        {"type": "user", "timestamp": "2026-11-30T00:00:00Z", "message": {"role": "user", "content": text}, **fields}
        for text in texts
    ]


def session(key: SessionKey) -> SessionListSubkeysKey:
    return {"project_key": key["project_key"], "session_id": key["session_id"]}


def subpath(key: SessionKey, name: str) -> SessionKey:
    return {"project_key": key["project_key"], "session_id": key["session_id"], "subpath": name}


@pytest.mark.parametrize("backend", ["sqlite_server", "postgres_server"])
async def test_all_contracts_of_the_sdk_hold(backend: str, request: pytest.FixtureRequest) -> None:
    server: LockstitchServer = request.getfixturevalue(backend)
    assert await agents_sdks.contracts(server.target) == 14


async def test_two_processes_send_what_they_append(
    server: LockstitchServer, store: LockstitchSessionStore, key: SessionKey
) -> None:
    await store.append(key, entries("x" * 500_000))
    with TcpProxy(server.target) as proxy:
        async with AsyncClient(proxy.target) as one, AsyncClient(proxy.target) as other:
            writers = [LockstitchSessionStore(each, prefix=store._prefix) for each in (one, other)]

            async def write(writer: LockstitchSessionStore, name: str) -> None:
                for number in range(20):
                    await writer.append(key, entries(f"{name}{number}", customTitle=f"{name}{number}"))

            await asyncio.gather(write(writers[0], "a"), write(writers[1], "b"))
        assert proxy.sent < 400_000
    loaded: Any = await store.load(key)
    texts = [entry["message"]["content"] for entry in loaded]
    for name in "ab":
        assert [text for text in texts if text[0] == name] == [f"{name}{number}" for number in range(20)]
    assert len(texts) == 41
    (summary,) = await store.list_session_summaries("project")
    assert summary["data"] == fold_session_summary(None, key, loaded)["data"]


async def test_an_entry_that_comes_twice_is_loaded_once(store: LockstitchSessionStore, key: SessionKey) -> None:
    first, second, title = *entries("a", uuid="1"), *entries("b", uuid="2"), *entries("t")
    await store.append(key, [first, title])
    await store.append(key, [first, second, title])
    assert await store.load(key) == [first, title, second, title]


async def test_any_json_is_kept(store: LockstitchSessionStore, key: SessionKey) -> None:
    odd = entries("half of a pair: \ud83e, ü, 🧵, \x00", deep={"list": [1, 2.5, None, True, {"": []}], "big": 2**70})
    await store.append(key, odd)
    assert await store.load(key) == odd


async def test_names_with_slashes_stay_apart(store: LockstitchSessionStore) -> None:
    keys: list[SessionKey] = [
        {"project_key": "a/b", "session_id": "c"},
        {"project_key": "a", "session_id": "b/c"},
        {"project_key": "a%2Fb", "session_id": "c"},
    ]
    for each in keys:
        await store.append(each, entries(str(each)))
    for each in keys:
        assert await store.load(each) == entries(str(each))
        listed = await store.list_sessions(each["project_key"])
        assert [session["session_id"] for session in listed] == [each["session_id"]]
    with pytest.raises(ValueError, match="subpath is empty"):
        await store.append({**keys[0], "subpath": ""}, entries("a"))


async def test_a_session_without_a_main_transcript_is_not_listed(
    store: LockstitchSessionStore, key: SessionKey
) -> None:
    await store.append(subpath(key, "subagents/agent-1"), entries("a"))
    assert await store.list_sessions("project") == []
    assert await store.list_session_summaries("project") == []
    assert await store.list_subkeys(session(key)) == ["subagents/agent-1"]


async def test_a_deleted_transcript_is_gone_and_can_begin_again(
    client: AsyncClient, store: LockstitchSessionStore, key: SessionKey
) -> None:
    one, two = subpath(key, "subagents/agent-1"), subpath(key, "subagents/agent-2")
    for each in (key, one, two):
        await store.append(each, entries(secrets.token_hex(10_000)))
    before = (await client.get_session(f"{store._prefix}project/{key['session_id']}")).summary.stored_bytes
    await store.delete(one)
    assert await store.list_subkeys(session(key)) == ["subagents/agent-2"]
    after = (await client.get_session(f"{store._prefix}project/{key['session_id']}")).summary.stored_bytes
    assert after < before - 9_000  # hexadecimal digits pack to half
    await store.append(one, entries("again"))
    assert await store.load(one) == entries("again")


async def test_a_deleted_session_refuses_late_entries(client: AsyncClient, key: SessionKey) -> None:
    prefix = f"{uuid4()}/"
    store, other = (LockstitchSessionStore(client, prefix=prefix) for _ in range(2))
    await other.append(key, entries("a"))
    await store.delete(key)
    for each in (store, other):
        with pytest.raises(SessionDeleted):
            await each.append(key, entries("late"))
    assert await store.load(key) is None


async def test_without_a_tombstone_it_can_begin_again(client: AsyncClient, key: SessionKey) -> None:
    store = LockstitchSessionStore(client, prefix=f"{uuid4()}/", tombstone=0)
    await store.append(key, entries("a"))
    await store.append(subpath(key, "subagents/agent-1"), entries("a"))
    await store.delete(key)
    await store.append(key, entries("b"))
    await store.append(subpath(key, "subagents/agent-1"), entries("c"))
    assert await store.load(key) == entries("b")
    assert await store.list_subkeys(session(key)) == ["subagents/agent-1"]


async def test_subagents_of_a_session_that_another_process_deleted_are_listed(
    client: AsyncClient, key: SessionKey
) -> None:
    prefix, agent = f"{uuid4()}/", subpath(key, "subagents/agent-1")
    store, other = (LockstitchSessionStore(client, prefix=prefix, tombstone=0) for _ in range(2))
    await store.append(agent, entries("a"))
    await other.delete(key)
    await store.append(agent, entries("b"))
    assert await other.list_subkeys(session(key)) == ["subagents/agent-1"]
    assert await other.load(agent) == entries("b")


async def test_the_functions_of_the_sdk_work_on_it(
    store: LockstitchSessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    session_id, project = str(uuid4()), project_key_for_directory(str(tmp_path))
    path = tmp_path / "projects" / project / f"{session_id}.jsonl"
    path.parent.mkdir(parents=True)
    lines = [
        {**entry, "uuid": str(uuid4()), "sessionId": session_id, "parentUuid": None}
        for entry in entries("Where is my parcel?")
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    for _ in range(2):  # the second time changes nothing
        await sdk.import_session_to_store(session_id, store, directory=str(tmp_path))
    assert await store.load({"project_key": project, "session_id": session_id}) == lines
    await sdk.rename_session_via_store(store, session_id, "parcels", directory=str(tmp_path))
    await sdk.tag_session_via_store(store, session_id, "open", directory=str(tmp_path))
    (listed,) = await sdk.list_sessions_from_store(store, directory=str(tmp_path))
    assert (listed.session_id, listed.custom_title, listed.tag) == (session_id, "parcels", "open")
    assert listed.first_prompt == "Where is my parcel?"
    messages = await sdk.get_session_messages_from_store(store, session_id, directory=str(tmp_path))
    assert len(messages) == 1
    fork = await sdk.fork_session_via_store(store, session_id, directory=str(tmp_path))
    await sdk.delete_session_via_store(store, session_id, directory=str(tmp_path))
    left = await sdk.list_sessions_from_store(store, directory=str(tmp_path))
    assert [each.session_id for each in left] == [fork.session_id]


def test_the_guide_runs(
    server: LockstitchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline_cli.install(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "claude-agent-sdk.md"
    guide.run(page, server.target)
    assert capsys.readouterr().out.splitlines() == guide.expected(page) == ["True", "1 session"]
