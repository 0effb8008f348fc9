"""A graph of LangGraph's, run turn by turn on a saver: a question, and an answer to it."""

import os
from time import perf_counter, process_time
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from benchmarks.driver.growth import Figures, turns
from benchmarks.driver.job import Job
from benchmarks.driver.savers import opened
from benchmarks.stored import stored_bytes


class Conversation(TypedDict):
    """The graph's state."""

    messages: Annotated[list[AnyMessage], add_messages]


async def conversation(job: Job) -> Figures:
    """So many turns of one thread: how long they take, and what they take in the store."""
    said = list(turns("graph", job.turns[-1]))
    async with opened(job.target) as saver:
        before = await _stored(job)
        graph, thread = _graph(saver, iter(said)), {"configurable": {"thread_id": f"graph-{os.getpid()}"}}
        begin, cpu = perf_counter(), process_time()
        for text in said:
            await graph.ainvoke({"messages": [HumanMessage(text[: len(text) // 2])]}, thread)
        took = {"wall": perf_counter() - begin, "own_cpu": process_time() - cpu}
        latest = await saver.aget_tuple(thread)
        messages = latest.checkpoint["channel_values"]["messages"]
        assert len(messages) == 2 * len(said), "the saver does not have what it has acknowledged"
        steps = len([item async for item in saver.alist(thread)])
    payload = sum(len(saver.serde.dumps_typed(message)[1]) for message in messages)
    return {**took, "stored": await _stored(job), "empty": before, "payload": payload, "steps": steps}


def _graph(saver: Any, answers: Any) -> Any:
    def answer(state: Conversation) -> dict[str, Any]:
        text = next(answers)
        return {"messages": [AIMessage(text[len(text) // 2 :])]}

    builder = StateGraph(Conversation)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    return builder.compile(checkpointer=saver)


async def _stored(job: Job) -> int:
    return await (stored_bytes(job.url) if job.url else stored_bytes(job.target, "public"))
