"""One prompt to Claude, whose transcript is on a Lockstitch server. Any process can continue the session.

python worker.py TARGET SESSION begin "where is my parcel?"
python worker.py TARGET SESSION continue "and now?"

CLAUDE names the command line, if it is not the real one.
"""

import asyncio
import os
import sys

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ResultMessage,
    SessionKey,
    TextBlock,
    project_key_for_directory,
    query,
)

from lockstitch.adapters.claude_agent_sdk import LockstitchSessionStore

POLL_SECONDS = 0.05


def say(text: str) -> None:
    print(text, flush=True)


async def stored(store: LockstitchSessionStore, key: SessionKey, text: str) -> int:
    """How many entries the server has, as soon as an entry with this text is one of them."""
    while True:
        entries = await store.load(key) or []
        if entries and text in str(entries[-1]):
            return len(entries)
        await asyncio.sleep(POLL_SECONDS)


async def main(target: str, session_id: str, command: str, prompt: str) -> None:
    key: SessionKey = {"project_key": project_key_for_directory(), "session_id": session_id}
    async with LockstitchSessionStore(target) as store:
        options = ClaudeAgentOptions(
            session_store=store,
            session_store_flush="eager",  # store each entry at once, and not only at the end of a turn
            session_id=session_id if command == "begin" else None,
            resume=session_id if command == "continue" else None,
            cli_path=os.environ.get("CLAUDE"),
        )
        async for message in query(prompt=prompt, options=options):
            if isinstance(message, AssistantMessage):
                text = "".join(block.text for block in message.content if isinstance(block, TextBlock))
                say(f"assistant: {text}")
                say(f"stored: {await stored(store, key, text)} entries")
            elif isinstance(message, ResultMessage):
                say("done")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
