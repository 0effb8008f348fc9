"""Sessions of the OpenAI Agents SDK on Lockstitch: `pip install lockstitch[openai-agents]`.

    from lockstitch.adapters.openai_agents import LockstitchSession

    result = await Runner.run(agent, "Hello", session=LockstitchSession("chat-42"))

A session has the plain state `{"items": [...]}`. docs/openai-agents.md has the details.
"""

from lockstitch.adapters.openai_agents._session import LockstitchSession

__all__ = ["LockstitchSession"]
