"""A support desk as a graph: look the order up, draft a refund, ask a person, act. State lives on a Lockstitch server.

python desk.py TARGET THREAD ask "where is my parcel?"    begin; ends when a person is asked
python desk.py TARGET THREAD answer yes                   go on with a person's answer
python desk.py TARGET THREAD resume                       go on from the last checkpoint, whoever made it
"""

import operator
import sys
import time
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from lockstitch.adapters.langgraph import LockstitchSaver

DRAFT_SECONDS = 30.0
"""How long a model takes to write; long enough to die in."""


class Case(TypedDict, total=False):
    question: str
    notes: Annotated[list[str], operator.add]
    approved: bool


def say(text: str) -> None:
    print(text, flush=True)


def look_up(state: Case) -> Case:
    say(f"look_up: {state['question']}")
    return {"notes": ["order 4711 was lost on its way"]}


def draft(state: Case) -> Case:
    say("draft: begins")
    if len(state["notes"]) == 1 and "--slow" in sys.argv:
        time.sleep(DRAFT_SECONDS)
    say("draft: done")
    return {"notes": ["refund 12.50"]}


def ask(state: Case) -> Case:
    answer = interrupt({"approve": state["notes"][-1]})
    say(f"ask: a person says {answer}")
    return {"approved": answer == "yes"}


def act(state: Case) -> Case:
    done = "refunded" if state["approved"] else "sent an apology"
    say(f"act: {done}")
    return {"notes": [done]}


def desk(saver: BaseCheckpointSaver[Any]) -> Any:
    """The graph, whose threads the saver keeps."""
    builder = StateGraph(Case)
    builder.add_node("look_up", look_up)
    builder.add_node("draft", draft)
    builder.add_node("ask", ask)
    builder.add_node("act", act)
    builder.add_edge(START, "look_up")
    builder.add_edge("look_up", "draft")
    builder.add_edge("draft", "ask")
    builder.add_edge("ask", "act")
    return builder.compile(checkpointer=saver)


def main(target: str, thread_id: str, command: str, text: str = "", *_: str) -> None:
    thread: RunnableConfig = {"configurable": {"thread_id": thread_id}}
    with LockstitchSaver(target) as saver:
        given = {"ask": {"question": text}, "answer": Command(resume=text), "resume": None}[command]
        # "sync": a step begins when the one before is durable.
        result = desk(saver).invoke(given, thread, durability="sync")
    for question in result.get("__interrupt__", ()):
        say(f"asks: {question.value}")


if __name__ == "__main__":
    main(*sys.argv[1:])
