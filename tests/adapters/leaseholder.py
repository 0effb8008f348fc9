"""Another process with a lease on a thread: runs a graph whose node waits, and says what happens to it.

python leaseholder.py TARGET THREAD TTL
"""

import sys
import time
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from lockstitch.adapters.langgraph import LeasePolicy, LockstitchSaver


class Case(TypedDict, total=False):
    who: str


def waits(state: Case) -> Case:
    print("waits", flush=True)
    sys.stdin.readline()
    time.sleep(0.1)
    return {"who": "the other process"}


def graph(saver: Any) -> Any:
    builder = StateGraph(Case)
    builder.add_node("waits", waits)
    builder.add_edge(START, "waits")
    return builder.compile(checkpointer=saver)


def main(target: str, thread_id: str, ttl: str) -> None:
    thread: RunnableConfig = {"configurable": {"thread_id": thread_id}}
    policy = LeasePolicy(ttl=float(ttl), holder="the other process")
    with LockstitchSaver(target, lease=policy) as saver:
        try:
            graph(saver).invoke({"who": "nobody"}, thread, durability="sync")
        except Exception as error:
            print(type(error).__name__, flush=True)
        else:
            print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
