"""Appends events to a session until its standard input ends, then prints what was acknowledged and what is stored.

python -m tests.adapters.writer_google_adk TARGET
"""

import asyncio
import json
import sys
from typing import Any

from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions

from lockstitch.adapters.google_adk import LockstitchSessionService

KEY: dict[str, Any] = {"app_name": "app", "user_id": "ada", "session_id": "s"}


async def main(target: str) -> None:
    async with LockstitchSessionService(target, timeout=120) as service:
        session = await service.create_session(**KEY)
        print("begun", flush=True)
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        while not ended.done():
            number = len(session.events)
            event = Event(author="desk", actions=EventActions(state_delta={"n": number, "user:n": number}))
            await service.append_event(session, event)
        stored = await service.get_session(**KEY)
        assert stored is not None
        both = [[event.id for event in each.events] for each in (session, stored)]
        print(json.dumps({"acknowledged": both[0], "stored": both[1], "state": stored.state}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
