"""Checks the adapters of two agent SDKs, with whatever releases of the SDKs are installed here.

python -m tests.adapters.agents_sdks TARGET
"""

import asyncio
import json
import os
import random
import sys
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from agents import Agent, Runner, SQLiteSession, set_tracing_disabled
from claude_agent_sdk.testing import run_session_store_conformance

from lockstitch import AsyncClient
from lockstitch.adapters.claude_agent_sdk import LockstitchSessionStore
from lockstitch.adapters.openai_agents import LockstitchSession
from tests.adapters.model_server import model_server

OPERATIONS = 150


async def contracts(target: str) -> int:
    """Run the conformance suite of the Claude Agent SDK. Gives how many contracts it has checked."""
    made = 0
    async with AsyncClient(target) as client:

        def make() -> LockstitchSessionStore:
            nonlocal made
            made += 1
            return LockstitchSessionStore(client, prefix=f"{uuid4()}/")

        await run_session_store_conformance(make)
    return made - 1  # each contract has a store of its own; the first store only tells which methods there are


async def operations(target: str) -> int:
    """Do the same to a session and to one of the OpenAI Agents SDK's own. Gives how often they did the same."""
    choices, same = random.Random(5), 0
    expected: Any = SQLiteSession("oracle")
    async with LockstitchSession(f"chat-{uuid4()}", target) as session:
        for number in range(OPERATIONS):
            limit = choices.choice([None, 0, 1, 3, 100])
            items: Any = [_item(f"{number}.{index}") for index in range(choices.randrange(4))]
            match choices.choice(["add"] * 5 + ["pop"] * 2 + ["get"] * 2 + ["clear"] * (number % 40 == 0)):
                case "add":
                    answers = [await each.add_items(items) for each in (session, expected)]
                case "pop":
                    answers = [await each.pop_item() for each in (session, expected)]
                case "get":
                    answers = [await each.get_items(limit) for each in (session, expected)]
                case _:
                    answers = [await each.clear_session() for each in (session, expected)]
            same += answers[0] == answers[1] and await session.get_items() == await expected.get_items()
    return same


def _item(text: str) -> dict[str, object]:
    return {"role": "user", "content": [{"type": "input_text", "text": f"{text} ü 🧵 \ud83e"}], "extra": {"n": 1.5}}


def converse(target: str) -> list[str]:
    """What an agent says in two runs on one session, each with objects and an event loop of its own."""
    session_id = f"chat-{uuid4()}"
    set_tracing_disabled(True)
    with model_server() as url:
        os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
        return [_run(LockstitchSession(session_id, target), text) for text in ("hello", "where is my parcel?")]


def _run(session: LockstitchSession, text: str) -> str:
    async def run() -> str:
        async with session:
            said = (await Runner.run(Agent(name="Clerk"), text, session=session)).final_output
        return str(said)

    return asyncio.run(run())


def main(target: str) -> None:
    outcome = {
        "versions": [version("claude-agent-sdk"), version("openai-agents")],
        "contracts": asyncio.run(contracts(target)),
        "same": asyncio.run(operations(target)),
        "said": converse(target),
    }
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
