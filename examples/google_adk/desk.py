"""A support desk on Google's Agent Development Kit. Its session lives on a Lockstitch server.

    python desk.py TARGET "where is my parcel?" [--slow]

The agent works in three steps, and each is an event of the session. It continues after the last step that was stored,
by any process. It needs no model: a real agent would call one where this one sleeps.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.runners import Runner
from google.genai import types

from lockstitch.adapters.google_adk import LockstitchSessionService

APP, USER, SESSION = "desk", "ada", "case-1"
STEPS = {"look_up": "order 4711 was lost", "draft": "refund 12.50", "act": "refunded"}
DRAFT_SECONDS = 30.0
"""How long a model takes to write; long enough to be killed in."""


def content(text: str, role: str) -> types.Content:
    return types.Content(role=role, parts=[types.Part(text=text)])


class Desk(BaseAgent):
    async def _run_async_impl(self, ctx: InvocationContext) -> AsyncGenerator[Event, None]:
        for step, result in STEPS.items():
            done = ctx.session.state.get("done", [])
            if step in done:
                continue
            print(f"{step}: begins", flush=True)
            await asyncio.sleep(DRAFT_SECONDS if step == "draft" and "--slow" in sys.argv else 0)
            changes = {"done": [*done, step], "user:last_result": result}
            yield Event(
                author=self.name,
                invocation_id=ctx.invocation_id,
                content=content(result, "model"),
                actions=EventActions(state_delta=changes),
            )


async def main(target: str, text: str, *_: str) -> None:
    async with LockstitchSessionService(target) as service:
        known = await service.get_session(app_name=APP, user_id=USER, session_id=SESSION)
        if known is None:
            await service.create_session(app_name=APP, user_id=USER, session_id=SESSION)
        runner = Runner(app_name=APP, agent=Desk(name="desk"), session_service=service)
        async for event in runner.run_async(user_id=USER, session_id=SESSION, new_message=content(text, "user")):
            if event.content and event.content.parts:
                print(f"event: {event.content.parts[0].text}", flush=True)
        session = await service.get_session(app_name=APP, user_id=USER, session_id=SESSION)
        assert session is not None, "it was made above"
        print(f"{len(session.events)} events; {session.state['user:last_result']}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
