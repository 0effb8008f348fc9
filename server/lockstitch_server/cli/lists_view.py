"""Lists of sessions and of checkpoints, as tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from lockstitch import ListedCheckpoint
from lockstitch.inspect import names as node_names
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SessionSummary
from lockstitch_server.cli import exact_json, format, progress_view
from lockstitch_server.cli.console import Column, table
from lockstitch_server.cli.output import printable
from lockstitch_server.cli.standing import Standing, Step
from lockstitch_server.cli.which import ID_DIGITS

STEP_ID = "{:020}"


def sessions(found: Sequence[Standing]) -> Table:
    """Sessions, one a line."""
    now = datetime.now(UTC)
    return table(
        found,
        [
            Column("SESSION", lambda it: printable(it.summary.session_id), may_be_absent=False, whole=True),
            Column("STATUS", lambda it: str(it.status.kind) if it.status else format.NOTHING, whole=True),
            Column("STEP", _latest_step, right=True, whole=True),
            Column("CHECKPOINTS", lambda it: str(it.summary.checkpoint_count), right=True, whole=True, rank=6),
            Column("SIZE", lambda it: format.size(it.summary.stored_bytes), right=True, whole=True, rank=5),
            Column("UPDATED", lambda it: format.ago(it.summary.updated_at, now), whole=True, rank=1),
            Column("NEXT", lambda it: progress_view.nodes(it.progress.next_nodes) if it.progress else "", rank=2),
            Column("DETAIL", lambda it: progress_view.short(it.status.detail) if it.status else ""),
            Column("LABELS", lambda it: pairs(it.summary.labels), rank=3),
            Column("EXPIRES", lambda it: _expires(it.summary, now), whole=True, rank=4),
            Column("ERROR", lambda it: printable(it.error)),
        ],
    )


def session_data(standing: Standing) -> dict[str, Any]:
    """What `exact_json.encode` takes."""
    return {
        **exact_json.plain(standing.summary),
        "status": progress_view.status_data(standing.status),
        "progress": progress_view.data(standing.progress),
    }


def _latest_step(standing: Standing) -> str:
    summary = standing.summary
    return str(summary.latest_step) if summary.latest_checkpoint_id else format.NOTHING


def _expires(summary: SessionSummary, now: datetime) -> str:
    return format.ago(summary.expire_at, now) if summary.HasField("expire_at") else ""


def checkpoints(found: Sequence[Step]) -> Table:
    """Checkpoints, one a line."""
    now, steps = datetime.now(UTC), _steps([it.listed for it in found])
    return table(
        found,
        [
            Column("STEP", lambda it: str(it.checkpoint.step), right=True, whole=True, may_be_absent=False),
            Column("ID", lambda it: _own_id(it.listed), whole=True),
            Column("PARENT", lambda it: _parent(it.checkpoint, steps), right=True, whole=True, rank=4),
            Column("NAMESPACE", lambda it: printable(it.checkpoint.namespace), rank=1),
            Column("CREATED", lambda it: format.ago(it.checkpoint.created_at, now), whole=True, rank=2),
            Column("STATE", lambda it: format.size(it.listed.state_bytes), right=True, whole=True, rank=6),
            Column("RAN", lambda it: progress_view.nodes(it.progress.ran_nodes)),
            Column("SKIPPED", lambda it: progress_view.nodes(node_names(it.checkpoint.skipped_nodes)), rank=5),
            Column("UPDATED", lambda it: names(it.checkpoint.updated_channels), rank=3),
            Column("NEXT", lambda it: progress_view.nodes(it.progress.next_nodes)),
            Column("STATUS", lambda it: progress_view.standing_in_the_way(it.progress)),
            Column("METADATA", lambda it: pairs(it.checkpoint.metadata), rank=7),
        ],
    )


def checkpoint_data(step: Step) -> dict[str, Any]:
    """What `exact_json.encode` takes."""
    listed = step.listed
    listed.checkpoint.ClearField("state")  # a part of it was loaded, for the progress
    found = {name: getattr(listed, name) for name in ("checkpoint", "revision", "saved_at", "state_bytes", "trace_id")}
    return {**found, "progress": progress_view.data(step.progress)}


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
    """The parent's step if that identifies it; otherwise its id."""
    parent = checkpoint.parent_id
    if (step := steps.get((checkpoint.namespace, parent))) is not None:
        return str(step)
    is_from_step = len(parent) == ID_DIGITS and parent.isascii() and parent.isdigit()
    return str(int(parent)) if is_from_step else printable(parent)


def names(of: Iterable[str]) -> str:
    """Names on one line; an empty one can be seen."""
    return ", ".join(printable(name) or '""' for name in of)


def pairs(of: Mapping[str, str]) -> str:
    """Keys and values on one line."""
    return ", ".join(f"{printable(key)}={format.line(of[key], full=False)}" for key in sorted(of))
