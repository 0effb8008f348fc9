"""An agent for LangGraph's Agent Server, and the checkpointer that keeps its threads on a Lockstitch server.

`langgraph.json` beside this file names both. LOCKSTITCH_TARGET is the address of the Lockstitch server.
"""

import asyncio
import operator
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from lockstitch.adapters.langgraph import LockstitchSaver


class Case(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]


def look_up(state: Case) -> Case:
    return {"notes": ["order 4711 was lost"]}


async def draft(state: Case, config: RunnableConfig) -> Case:
    await asyncio.sleep(config["configurable"].get("draft_seconds", 0))  # a model takes long
    return {"notes": ["refund 12.50"]}


def ask(state: Case) -> Case:
    return {"notes": [f"a person said {interrupt({'approve': state['notes'][-1]})}"]}


builder = StateGraph(Case)
builder.add_node("look_up", look_up)
builder.add_node("draft", draft)
builder.add_node("ask", ask)
builder.add_edge(START, "look_up")
builder.add_edge("look_up", "draft")
builder.add_edge("draft", "ask")
graph = builder.compile()


@asynccontextmanager
async def checkpointer() -> AsyncIterator[LockstitchSaver]:
    """The Agent Server enters this once for each event loop."""
    async with LockstitchSaver(os.environ.get("LOCKSTITCH_TARGET", "127.0.0.1:50051")) as saver:
        yield saver
