"""A support desk as a workflow of Microsoft's Agent Framework. Its checkpoints live on a Lockstitch server.

python desk.py TARGET CASE ask "where is my parcel?"    begin; ends when a person is asked
python desk.py TARGET CASE resume                       continue from the latest checkpoint, of any process
python desk.py TARGET CASE answer yes                   continue with a person's answer
"""

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

from agent_framework import Executor, Workflow, WorkflowBuilder, WorkflowContext, handler, response_handler

from lockstitch.adapters.agent_framework import LockstitchCheckpointStorage

DRAFT_SECONDS = 30.0
"""How long a model takes to write; long enough to be killed in."""


@dataclass
class Approval:
    """The question to a person."""

    draft: str


def say(text: str) -> None:
    print(text, flush=True)


class LookUp(Executor):
    @handler
    async def look_up(self, question: str, ctx: WorkflowContext[str]) -> None:
        say(f"look_up: {question}")
        ctx.set_state("notes", [question, "order 4711 was lost on its way"])
        await ctx.send_message("order 4711 was lost on its way")


class Draft(Executor):
    @handler
    async def draft(self, facts: str, ctx: WorkflowContext[str]) -> None:
        say("draft: begins")
        await asyncio.sleep(DRAFT_SECONDS if "--slow" in sys.argv else 0)
        say("draft: done")
        ctx.set_state("notes", [*ctx.get_state("notes"), "refund 12.50"])
        await ctx.send_message("refund 12.50")


class Ask(Executor):
    @handler
    async def ask(self, draft: str, ctx: WorkflowContext[str]) -> None:
        await ctx.request_info(Approval(draft), str)

    @response_handler
    async def answered(self, question: Approval, answer: str, ctx: WorkflowContext[None, str]) -> None:
        say(f"ask: a person says {answer} to {question.draft}")
        await ctx.yield_output(" | ".join([*ctx.get_state("notes"), answer]))


def desk(storage: LockstitchCheckpointStorage) -> Workflow:
    """The workflow, whose checkpoints the storage keeps."""
    look_up, draft, ask = LookUp("look_up"), Draft("draft"), Ask("ask")
    builder = WorkflowBuilder(name="desk", start_executor=look_up, checkpoint_storage=storage)
    return builder.add_edge(look_up, draft).add_edge(draft, ask).build()


async def main(target: str, case: str, command: str, text: str = "", *_: str) -> None:
    allowed = [f"{Approval.__module__}:Approval"]
    async with LockstitchCheckpointStorage(case, target, allowed_checkpoint_types=allowed) as storage:
        workflow = desk(storage)
        result: Any
        if command == "ask":
            result = await workflow.run(text)
        else:
            latest = await storage.get_latest(workflow_name="desk")
            assert latest is not None, "nobody has asked anything"
            answers = dict.fromkeys(latest.pending_request_info_events, text) if text else None
            result = await workflow.run(checkpoint_id=latest.checkpoint_id, responses=answers)
        for event in result.get_request_info_events():
            say(f"asks: {event.data.draft}")
        for output in result.get_outputs():
            say(f"output: {output}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
