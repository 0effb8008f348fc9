"""Lists of sessions and of checkpoints, as tables."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.table import Table

from lockstitch import ListedCheckpoint
from lockstitch.v1.checkpoint_pb2 import NodeKind
from lockstitch.v1.checkpoint_service_pb2 import SessionSummary
from lockstitch_server.cli import words
from lockstitch_server.cli.console import Column, table
from lockstitch_server.cli.output import printable

STEP_ID = "{:020}"


def sessions(found: Sequence[SessionSummary]) -> Table:
    """Sessions, one a line."""
    now = datetime.now(UTC)
    return table(
        found,
        [
            Column("SESSION", lambda it: printable(it.session_id), may_be_absent=False),
            Column("STEP", lambda it: str(it.latest_step) if it.latest_checkpoint_id else words.NOTHING, right=True),
            Column("CHECKPOINTS", lambda it: str(it.checkpoint_count), right=True),
            Column("SIZE", lambda it: words.size(it.stored_bytes), right=True),
            Column("UPDATED", lambda it: words.ago(it.updated_at, now)),
            Column("LABELS", lambda it: pairs(it.labels)),
            Column("LEASE", lambda it: printable(it.lease_holder)),
            Column("EXPIRES", lambda it: words.ago(it.expire_at, now) if it.HasField("expire_at") else ""),
        ],
    )


def checkpoints(found: Sequence[ListedCheckpoint]) -> Table:
    """Checkpoints, one a line."""
    now = datetime.now(UTC)
    return table(
        found,
        [
            Column("STEP", lambda it: str(it.checkpoint.step), right=True, may_be_absent=False),
            Column("ID", _own_id),
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


def nodes(of: Iterable[NodeKind]) -> str:
    """Nodes on one line."""
    return ", ".join(map(words.node_name, of))


def names(of: Iterable[str]) -> str:
    """Names on one line; an empty one can be seen."""
    return ", ".join(printable(name) or '""' for name in of)


def pairs(of: Mapping[str, str]) -> str:
    """Keys and values on one line."""
    return ", ".join(f"{printable(key)}={words.line(of[key], full=False)}" for key in sorted(of))
