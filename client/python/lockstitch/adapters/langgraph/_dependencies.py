"""Which ancestors a checkpoint is restored from.

Most checkpoints have no value for a DeltaChannel: an ancestor has it, and pending writes on the way change it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lockstitch.adapters.langgraph._metadata import COUNTERS

KEY = "depends_on"
"""Where a checkpoint's header keeps its dependencies."""

Dependencies = Mapping[str, str]
"""DeltaChannel to the id of the farthest ancestor that its value is restored from."""


def missing(checkpoint: Mapping[str, Any], metadata: Mapping[str, Any]) -> Sequence[str]:
    """The DeltaChannels that have been updated since the checkpoint that has their value."""
    values = checkpoint.get("channel_values", {})
    return [name for name in metadata.get(COUNTERS) or () if name not in values]


def dependencies(channels: Sequence[str], parent_id: str, parent: Dependencies) -> Dependencies:
    """The dependencies of a checkpoint. channels: as `missing` gives them. parent: the parent's dependencies."""
    return {name: parent.get(name, parent_id) for name in channels} if parent_id else {}


def farthest(found: Dependencies) -> str:
    """The one that stands farthest back, since ids grow with time; "" for none."""
    return min(found.values(), default="")
