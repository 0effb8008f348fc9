"""Session stores of the Claude Agent SDK on Lockstitch: `pip install lockstitch[claude-agent-sdk]`.

    from lockstitch.adapters.claude_agent_sdk import LockstitchSessionStore

    options = ClaudeAgentOptions(session_store=LockstitchSessionStore("127.0.0.1:50051"))

docs/claude-agent-sdk.md has the layout.
"""

from lockstitch.adapters.claude_agent_sdk._store import LockstitchSessionStore

__all__ = ["LockstitchSessionStore"]
