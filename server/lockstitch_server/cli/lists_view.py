"""Lists of sessions and of checkpoints, as tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.table import Table

from lockstitch import ListedCheckpoint
from lockstitch.v1.checkpoint_pb2 import Checkpoint, NodeKind
from lockstitch.v1.checkpoint_service_pb2 import SessionSummary
from lockstitch_server.cli import words
from lockstitch_server.cli.console import Column, table
from lockstitch_server.cli.output import printable
from lockstitch_server.cli.which import ID_DIGITS

STEP_ID = "{:020}"


def sessions(found: Sequence[SessionSummary]) -> Table:
    """Sessions, one a line."""
    now = datetime.now(UTC)
    return table(
        found,
        [
            Column("SESSION", lambda it: printable(it.session_id), may_be_absent=False, whole=True),
            Column("STEP", lambda it: str(it.latest_step) if it.latest_checkpoint_id else words.NOTHING, right=True),
            Column("CHECKPOINTS", lambda it: str(it.checkpoint_count), right=True),
            Column("SIZE", lambda it: words.size(it.stored_bytes), right=True),
            Column("UPDATED", lambda it: words.ago(it.updated_at, now)),
            Column("LABELS", lambda it: pairs(it.labels)),
            Column("LEASE", lambda it: printable(it.lease_holder)),
            Column("EXPIRES", lambda it: words.ago(it.expire_at, now) if it.HasField("expire_at") else ""),
            Column("ERROR", lambda it: printable(it.error.message)),
        ],
    )


def checkpoints(found: Sequence[ListedCheckpoint]) -> Table:
    """Checkpoints, one a line."""
    now, steps = datetime.now(UTC), _steps(found)
    return table(
        found,
        [
            Column("STEP", lambda it: str(it.checkpoint.step), right=True, may_be_absent=False),
            Column("ID", _own_id, whole=True),
            Column("PARENT", lambda it: _parent(it.checkpoint, steps), right=True, whole=True),
            Column("NAMESPACE", lambda it: printable(it.checkpoint.namespace)),
            Column("CREATED", lambda it: words.ago(it.checkpoint.created_at, now)),
            Column("STATE", lambda it: words.size(it.state_bytes), right=True),
            Column("RAN", lambda it: nodes(it.checkpoint.ran_nodes)),
            Column("SKIPPED", lambda it: nodes(it.checkpoint.skipped_nodes)),
            Column("UPDATED", lambda it: names(it.checkpoint.updated_channels)),
            Column("NEXT", lambda it: nodes(it.checkpoint.frontier)),
            Column("METADATA", lambda it: pairs(it.checkpoint.metadata)),
        ],
    )


def _own_id(listed: ListedCheckpoint) -> str:
    """The id, unless it says no more than the step does."""
    checkpoint = listed.checkpoint
    said = checkpoint.checkpoint_id == STEP_ID.format(checkpoint.step)
    return "" if said else printable(checkpoint.checkpoint_id)


def _steps(found: Sequence[ListedCheckpoint]) -> Mapping[tuple[str, str], int]:
    """The steps of the checkpoints whose step no other one of their namespace has, by namespace and id."""
    times = Counter((it.checkpoint.namespace, it.checkpoint.step) for it in found)
    every = (it.checkpoint for it in found)
    return {(it.namespace, it.checkpoint_id): it.step for it in every if times[it.namespace, it.step] == 1}


def _parent(checkpoint: Checkpoint, steps: Mapping[tuple[str, str], int]) -> str:
    """The parent's step, where that tells which one it is; else its id."""
    parent = checkpoint.parent_id
    if (step := steps.get((checkpoint.namespace, parent))) is not None:
        return str(step)
    is_from_step = len(parent) == ID_DIGITS and parent.isascii() and parent.isdigit()
    return str(int(parent)) if is_from_step else printable(parent)


def nodes(of: Iterable[NodeKind]) -> str:
    """Nodes on one line."""
    return ", ".join(map(words.node_name, of))


def names(of: Iterable[str]) -> str:
    """Names on one line; an empty one can be seen."""
    return ", ".join(printable(name) or '""' for name in of)


def pairs(of: Mapping[str, str]) -> str:
    """Keys and values on one line."""
    return ", ".join(f"{printable(key)}={words.line(of[key], full=False)}" for key in sorted(of))
