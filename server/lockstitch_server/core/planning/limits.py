"""Limits of a checkpoint with its pending writes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.known_writes import Sizes
from lockstitch_server.core.format.manifest import ManifestPart
from lockstitch_server.core.format.parts import NAMED, RowSizes
from lockstitch_server.core.format.rows import NewWrite
from lockstitch_server.core.planning.changes import SessionChanges
from lockstitch_server.core.planning.operations import Operation, Save


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What a plan must obey."""

    row_sizes: RowSizes
    """How logs are cut into rows."""
    max_bytes: int
    """Maximum size of a checkpoint with its pending writes, so that a response can carry it."""
    max_parts: int
    """Maximum extra entries and custom channels of a state, so that it can be sent in full as well as by deltas."""


def check_parts(parts: Sequence[ManifestPart], settings: PlanSettings) -> None:
    """Fails with INVALID_FIELD."""
    limit = settings.max_parts
    if len(parts) <= limit:
        return
    count = sum(part.kind in NAMED for part in parts)
    if count > limit:
        raise Failure(
            Reason.INVALID_FIELD,
            f"delta: the state would have {count} extra entries and custom channels; the limit is {limit}",
            field="delta",
            limit=limit,
        )


def check_size(
    operation: Operation, size: int, writes: Sequence[NewWrite], session: SessionChanges, settings: PlanSettings
) -> None:
    """size: of the checkpoint without its pending writes. writes: those to add. Fails with TOO_LARGE."""
    name = (operation.namespace, operation.checkpoint_id)
    total, has_writes = size, session.has_writes
    if writes or has_writes:
        total += _size_of(session.write_sizes(*name), writes)
    if total > settings.max_bytes and has_writes:
        total = size + _size_of(session.intact_write_sizes(*name), writes)
    if total > settings.max_bytes:
        field = "checkpoint" if isinstance(operation, Save) else "writes"
        raise Failure(
            Reason.TOO_LARGE,
            f"{field}: the checkpoint with its pending writes would have {total} bytes; "
            f"the limit is {settings.max_bytes} bytes (max_message_bytes)",
            field=field,
            limit=settings.max_bytes,
            size=total,
        )


def _size_of(stored: Sizes, writes: Iterable[NewWrite]) -> int:
    """How many bytes the pending writes of a checkpoint have once these are added."""
    if not stored and not writes:
        return 0
    sizes = {name: write.size for name, write in stored.items()}
    sizes |= {(write.task_id, write.task_index): len(write.message) for write in writes}
    return sum(sizes.values())
