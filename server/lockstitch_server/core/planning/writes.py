"""Plans a SaveWrites, and the pending writes that come with a Save."""

from lockstitch_server.core.format.rows import CheckpointRow, NewWrite
from lockstitch_server.core.planning.changes import SessionChanges
from lockstitch_server.core.planning.limits import PlanSettings, check_size
from lockstitch_server.core.planning.operations import Operation, SaveWrites, WritesSaved
from lockstitch_server.core.sessions.leases import check_lease


def plan_writes(save: SaveWrites, session: SessionChanges, settings: PlanSettings, now: int) -> WritesSaved:
    """Add the pending writes to the changes of a session. Fails with LEASE_LOST, TOO_LARGE."""
    writes = new_writes(save, session)
    if not writes:
        return WritesSaved(session.row.revision, 0)
    check_lease(session.row, save.lease_token)
    existing = session.checkpoint(save.namespace, save.checkpoint_id)
    check_size(save, stored_size(existing), writes, session, settings)

    # From here on nothing asks or fails.
    revision = session.touch(now)
    for write in writes:
        session.put_write(write)
    return WritesSaved(revision, len(writes))


def new_writes(operation: Operation, session: SessionChanges) -> list[NewWrite]:
    """The writes of an operation that are not there yet, or replace what is there."""
    named: dict[tuple[str, int], NewWrite] = {}
    for write in operation.writes:
        name = (write.task_id, write.task_index)
        if write.task_index < 0 or name not in named:
            named[name] = write
    stored = session.write_sizes(operation.namespace, operation.checkpoint_id)
    return [
        write
        for name, write in named.items()
        if name not in stored or (write.task_index < 0 and not session.holds_write(write))
    ]


def stored_size(row: CheckpointRow | None) -> int:
    """How many bytes a stored checkpoint has; 0 if it is not there, or damaged."""
    record = row.parsed() if row is not None else None
    if record is None:
        return 0
    return len(record.header) + (record.manifest.state_size if record.manifest is not None else 0)
