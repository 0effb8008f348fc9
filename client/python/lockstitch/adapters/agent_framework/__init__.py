"""Workflows of Microsoft's Agent Framework on Lockstitch: `pip install lockstitch[agent-framework]`.

    from lockstitch.adapters.agent_framework import LockstitchCheckpointStorage

    storage = LockstitchCheckpointStorage("order-42")
    workflow = WorkflowBuilder(start_executor=start, checkpoint_storage=storage).build()

docs/agent-framework.md has the layout.
"""

from lockstitch.adapters.agent_framework._storage import LockstitchCheckpointStorage

__all__ = ["LockstitchCheckpointStorage"]
