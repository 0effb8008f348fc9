"""LangGraph's threads on Lockstitch: `pip install lockstitch[langgraph]`.

    from lockstitch.adapters.langgraph import LockstitchSaver

    with LockstitchSaver("127.0.0.1:50051") as saver:
        graph = builder.compile(checkpointer=saver)

A thread is a session, `checkpoint_ns` a namespace; checkpoints keep their ids. docs/langgraph.md has the layout.
"""

from lockstitch.adapters.langgraph._json import JsonSerializer
from lockstitch.adapters.langgraph._leases import LeasePolicy
from lockstitch.adapters.langgraph._memory import LockstitchMemory
from lockstitch.adapters.langgraph._saver import LockstitchSaver

__all__ = ["JsonSerializer", "LeasePolicy", "LockstitchMemory", "LockstitchSaver"]
