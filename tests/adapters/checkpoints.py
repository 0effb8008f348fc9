"""Checkpoints as LangGraph makes them, made by hand."""

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata, empty_checkpoint


def config(thread_id: str, checkpoint_id: str | None = None, namespace: str = "") -> RunnableConfig:
    named = {"thread_id": thread_id, "checkpoint_ns": namespace}
    return {"configurable": named if checkpoint_id is None else {**named, "checkpoint_id": checkpoint_id}}


def checkpoint(
    values: dict[str, Any], versions: dict[str, Any] | None = None, checkpoint_id: str | None = None
) -> Checkpoint:
    made = empty_checkpoint()
    made["channel_values"] = values
    made["channel_versions"] = versions if versions is not None else dict.fromkeys(values, 1)
    if checkpoint_id is not None:
        made["id"] = checkpoint_id
    return made


def metadata(step: int = 0, **more: Any) -> CheckpointMetadata:
    entries: Any = {"source": "loop", "step": step, "parents": {}, **more}
    made: CheckpointMetadata = entries
    return made
