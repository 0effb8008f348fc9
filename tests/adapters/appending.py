"""Appends to one session until its input ends, each entry until the adapter has confirmed it.

python -m tests.adapters.appending claude|openai TARGET SESSION WRITER

Prints at the end how many entries it has appended. Their texts are "WRITER 0", "WRITER 1", ...
"""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import lockstitch

CALL_SECONDS = 2.0
"""Short, so that calls end without an answer while the server is away."""
PAUSE_SECONDS = 0.05

Append = Callable[[str], Awaitable[None]]
Read = Callable[[], Awaitable[list[str]]]


def adapter(kind: str, client: lockstitch.AsyncClient, session_id: str) -> tuple[Append, Read]:
    """Functions that append a text to a session, and read all texts, with one of the adapters."""
    if kind == "openai":
        from lockstitch.adapters.openai_agents import LockstitchSession

        session = LockstitchSession(session_id, client)

        async def add(text: str) -> None:
            await session.add_items([{"role": "user", "content": text}])

        async def read_items() -> list[str]:
            items: Any = await session.get_items()
            return [item["content"] for item in items]

        return add, read_items
    from lockstitch.adapters.claude_agent_sdk import LockstitchSessionStore

    store = LockstitchSessionStore(client)

    async def append(text: str) -> None:
        await store.append({"project_key": "project", "session_id": session_id}, [{"type": "user", "timestamp": text}])

    async def read_entries() -> list[str]:
        entries = await store.load({"project_key": "project", "session_id": session_id})
        return [entry["timestamp"] for entry in entries or []]

    return append, read_entries


async def main(kind: str, target: str, session_id: str, writer: str) -> None:
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    number = 0
    async with lockstitch.AsyncClient(target, timeout=CALL_SECONDS) as client:
        await client.wait_ready(timeout=60)
        append, _ = adapter(kind, client, session_id)
        while not ended.is_set():
            await until_confirmed(append, f"{writer} {number}")
            if number == 0:
                print("begins", flush=True)
            number += 1
    print(number, flush=True)


async def until_confirmed(append: Append, text: str) -> None:
    """Append a text, and again as long as that fails."""
    while True:
        try:
            return await append(text)
        except (lockstitch.Unavailable, lockstitch.DeadlineExceeded, lockstitch.Aborted):
            await asyncio.sleep(PAUSE_SECONDS)


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
