"""One prompt to an agent, whose conversation is on a Lockstitch server. Any process can continue it.

python worker.py TARGET SESSION "where is my parcel?"

The model is a stand-in that needs no key and no network: it answers with the number of prompts in the conversation.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from agents import (
    Agent,
    Model,
    ModelResponse,
    Runner,
    TResponseInputItem,
    Usage,
    set_tracing_disabled,
)
from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from lockstitch.adapters.openai_agents import LockstitchSession

SLOW_SECONDS = 30.0


def say(text: str) -> None:
    print(text, flush=True)


class OfflineModel(Model):
    """Counts prompts. It takes long over a prompt with "slowly"."""

    async def get_response(
        self, system_instructions: str | None, input: str | list[TResponseInputItem], *arguments: Any, **options: Any
    ) -> ModelResponse:
        prompts = [item for item in input if isinstance(item, dict) and item.get("role") == "user"]
        if "slowly" in str(prompts[-1]):
            say("thinks")
            await asyncio.sleep(SLOW_SECONDS)
        text = ResponseOutputText(type="output_text", text=f"this is prompt {len(prompts)}", annotations=[])
        message = ResponseOutputMessage(
            id=f"message-{len(prompts)}", type="message", role="assistant", status="completed", content=[text]
        )
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *arguments: Any, **options: Any) -> AsyncIterator[TResponseStreamEvent]:
        raise NotImplementedError("this model does not stream")


async def main(target: str, session_id: str, prompt: str) -> None:
    set_tracing_disabled(True)
    async with LockstitchSession(session_id, target) as session:
        say(f"history: {len(await session.get_items())} items")
        result = await Runner.run(Agent(name="Clerk", model=OfflineModel()), prompt, session=session)
        say(f"assistant: {result.final_output}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
