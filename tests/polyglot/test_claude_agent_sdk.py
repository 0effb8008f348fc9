"""Sessions of the Claude Agent SDK that Python's store and TypeScript's write in turns."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from claude_agent_sdk import SessionKey

from lockstitch.adapters.claude_agent_sdk import LockstitchSessionStore
from tests.polyglot.conftest import BY_NAME
from tests.polyglot.languages import Executables, run_command
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

PACKAGE = ROOT / "client/typescript"
ENTRIES = 15


class JsStore:
    """driver.ts, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def call(self, method: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([method, *arguments]).encode() + b"\n")
        line = await self._process.stdout.readline()
        assert line, "the driver has ended; its stderr says why"
        return json.loads(line)


@pytest.fixture(scope="module")
def driver(executables: Executables) -> str:
    executables.command(BY_NAME["typescript"])
    run_command(("npm", "run", "--silent", "build:sdk"), PACKAGE)
    return str(PACKAGE / "build/test/claude_agent_sdk/driver.js")


@pytest.fixture
async def js(driver: str, server: LockstitchServer) -> AsyncIterator[JsStore]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("node", driver, server.target, stdin=pipe, stdout=pipe)
    try:
        yield JsStore(process)
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def py(server: LockstitchServer) -> AsyncIterator[LockstitchSessionStore]:
    async with LockstitchSessionStore(server.target) as store:
        yield store


def entry(text: str) -> Any:
    message = {"role": "user", "content": text}
    stamp = "2026-11-30T00:00:00Z"
    return {"type": "user", "uuid": str(uuid4()), "timestamp": stamp, "cwd": "/srv/é", "message": message}


async def test_each_goes_on_where_the_other_has_stopped(py: LockstitchSessionStore, js: JsStore) -> None:
    project, session_id = f"team/{uuid4()}", str(uuid4())
    key: SessionKey = {"project_key": project, "session_id": session_id}
    js_key = {"projectKey": project, "sessionId": session_id}
    entries = [entry("first 🧵"), {"type": "custom-title", "customTitle": "by py", "half": "\ud83d"}, entry("second")]
    await py.append(key, entries[:2])
    assert await js.call("load", js_key) == entries[:2]
    await js.call("append", js_key, entries[2:])
    await js.call("append", js_key, entries[2:])
    assert await py.load(key) == entries

    title = {"type": "custom-title", "customTitle": "by js"}
    await js.call("append", js_key, [title])
    (summary,) = await py.list_session_summaries(project)
    assert (summary["data"]["first_prompt"], summary["data"]["custom_title"]) == ("first 🧵", "by js")
    (js_summary,) = await js.call("listSessionSummaries", project)
    assert (js_summary["data"]["firstPrompt"], js_summary["data"]["customTitle"]) == ("first 🧵", "by js")
    assert js_summary["mtime"] == summary["mtime"]
    assert await js.call("listSessions", project) == [{"sessionId": session_id, "mtime": summary["mtime"]}]

    await py.append({**key, "subpath": "subagents/py"}, [entry("of py")])
    await js.call("append", {**js_key, "subpath": "subagents/js"}, [entry("of js")])
    assert await js.call("listSubkeys", js_key) == ["subagents/py", "subagents/js"]
    await js.call("delete", {**js_key, "subpath": "subagents/py"})
    assert await py.list_subkeys({"project_key": project, "session_id": session_id}) == ["subagents/js"]
    await py.delete(key)
    assert await js.call("load", js_key) is None


async def test_both_at_once_lose_and_double_nothing(py: LockstitchSessionStore, js: JsStore) -> None:
    key: SessionKey = {"project_key": "project", "session_id": str(uuid4())}
    js_key = {"projectKey": "project", "sessionId": key["session_id"]}

    async def by_py() -> None:
        for number in range(ENTRIES):
            await py.append(key, [{"type": "note", "by": "py", "number": number}])  # type: ignore[typeddict-unknown-key]

    async def by_js() -> None:
        for number in range(ENTRIES):
            await js.call("append", js_key, [{"type": "note", "by": "js", "number": number}])

    await asyncio.gather(by_py(), by_js())
    found: Any = await py.load(key)
    for name in ("py", "js"):
        assert [each["number"] for each in found if each["by"] == name] == list(range(ENTRIES))
    assert len(found) == 2 * ENTRIES
