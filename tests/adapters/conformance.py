"""Runs LangGraph's conformance suite, and a graph, with whatever LangGraph is installed here.

python -m tests.adapters.conformance TARGET
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.report import CapabilityReport
from langgraph.types import Command

from lockstitch.adapters.langgraph import LockstitchSaver
from tests.adapters.graphs import answers, crowd


async def check(target: str) -> CapabilityReport:
    """The report of the whole suite."""

    @checkpointer_test(name=f"LockstitchSaver on {target}")
    async def saver() -> AsyncIterator[LockstitchSaver]:
        async with LockstitchSaver(target) as saver:
            yield saver

    return await validate(saver)


def run_graph(target: str, serde: Any) -> list[str]:
    """What the tasks of a graph have said in the end, after an interrupt in each of their subgraphs."""
    thread: RunnableConfig = {"configurable": {"thread_id": f"thread-{uuid4()}"}}
    with LockstitchSaver(target, serde=serde) as saver:
        graph = crowd(saver)
        graph.invoke({"log": []}, thread)
        resume: Command[Any] = answers(graph, thread)
        said: list[str] = graph.invoke(resume, thread)["log"]
        return said


def main(target: str) -> None:
    report = asyncio.run(check(target))
    outcome = {
        "versions": [version("langgraph"), version("langgraph-checkpoint")],
        "passed": {name: result.tests_passed for name, result in report.results.items()},
        "failures": {name: result.failures for name, result in report.results.items() if result.failures},
        "said": [run_graph(target, serde) for serde in (None, "json")],
    }
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
