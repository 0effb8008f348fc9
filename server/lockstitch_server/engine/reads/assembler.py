"""Assembles checkpoints from stored bytes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.checkpoint import state_pieces
from lockstitch_server.core.format.content import latest_in, xor_of
from lockstitch_server.core.format.parts import Segment, read_pieces, state_size
from lockstitch_server.core.format.pending_writes import in_order
from lockstitch_server.core.format.rows import CheckpointRef, CheckpointRow, LogRef, NewWrite, SessionRow, WriteRow
from lockstitch_server.core.format.selection import ChannelSize, Selection, channel_sizes, join_checkpoint, selected
from lockstitch_server.records.v1.record_pb2 import Part
from lockstitch_server.storage.reading import Catalog

Segments = Mapping[LogRef, Sequence[Segment]]
Writes = Mapping[CheckpointRef, Sequence[WriteRow]]


class LoadTarget(NamedTuple):
    """A checkpoint to load, and the selected parts of it."""

    session: SessionRow
    row: CheckpointRow
    selection: Selection

    @property
    def ref(self) -> CheckpointRef:
        """The name of the checkpoint."""
        return ref_of(self.row)

    @property
    def needs_writes(self) -> bool:
        """Whether pending writes are selected, and the session has any."""
        return self.selection.writes and bool(self.session.write_bytes)


class Loaded(NamedTuple):
    """A checkpoint, assembled from stored bytes."""

    checkpoint: bytes
    """The Checkpoint message, serialized."""
    writes: Sequence[bytes]
    """PendingWrite messages, serialized, by (task_path, task_id, index)."""
    revision: int
    """The revision that the content was written in."""
    session_revision: int
    checkpoint_id: str
    saved_at: int
    state_bytes: int
    write_channels: Sequence[str]
    trace_id: bytes
    """Of the trace in which the content was written, 16 bytes; empty: none."""
    channel_sizes: Sequence[ChannelSize] = ()


async def assemble(
    targets: Sequence[LoadTarget], catalog: Catalog, known: Writes | None = None
) -> list[Loaded | Failure]:
    """Assemble checkpoints from rows, logs and pending writes, on one snapshot.

    known: pending writes that are read already.
    """
    known = known or {}
    logs = logs_of(targets)
    refs = {each.ref for each in targets if each.needs_writes and each.ref not in known}
    segments = await catalog.segments(logs) if logs else {}
    writes = await catalog.writes(sorted(refs)) if refs else {}
    return [assemble_one(each, segments, {**known, **writes}) for each in targets]


def answer_size(target: LoadTarget) -> int:
    """About how many bytes an answer will have: its pending writes may be fewer, as those of the session count."""
    try:
        record = target.row.decoded()
    except Failure:
        return 0  # reported when it is assembled
    size = len(record.header) + state_size(selected(record.manifest, target.selection))
    return size + (target.session.write_bytes if target.selection.writes else 0)


def ref_of(row: CheckpointRow) -> CheckpointRef:
    """The name of a checkpoint."""
    return CheckpointRef(row.key, row.namespace, row.checkpoint_id)


def logs_of(targets: Iterable[LoadTarget]) -> list[LogRef]:
    """The logs that hold the selected parts, sorted."""
    return sorted({ref for each in targets for ref in _logs(each.row, each.selection)})


def assemble_one(target: LoadTarget, segments: Segments, writes: Writes) -> Loaded | Failure:
    """The checkpoint, or the failure if bytes are missing or damaged."""
    session, row, selection = target

    def pieces_of(part: Part) -> Sequence[bytes]:
        return read_pieces(part, segments.get(LogRef(row.key, part.log, part.length), ()))

    try:
        session.check()
        record = row.decoded()
        has_state = selection.state and record.HasField("manifest")
        state = state_pieces(selected(record.manifest, selection), pieces_of) if has_state else None
        pending = _pending(target, writes.get(target.ref, ())) if target.needs_writes else []
        return Loaded(
            join_checkpoint(session.session_id, row, state),
            [write.message for write in pending],
            row.revision,
            session.revision,
            row.checkpoint_id,
            row.saved_at,
            state_size(record.manifest),
            [write.channel for write in pending],
            record.trace_id,
            channel_sizes(record.manifest) if selection.channel_sizes else (),
        )
    except Failure as failure:
        return failure


def _pending(target: LoadTarget, rows: Sequence[WriteRow]) -> list[NewWrite]:
    """The pending writes. Fails with DATA_LOSS, also where the session knows of others."""
    session, row, _ = target
    known = latest_in(session.content, row.namespace)
    if known is not None and known.checkpoint == row.crc and known.writes != xor_of(write.crc for write in rows):
        raise writes_lost(session.session_id, row)
    return in_order(rows)


def writes_lost(session_id: str, row: CheckpointRow) -> Failure:
    """The failure of a checkpoint whose pending writes are not those that were saved."""
    problem = f": pending writes of checkpoint {row.checkpoint_id!r} in namespace {row.namespace!r} are missing"
    return _lost(session_id, problem, namespace=row.namespace, checkpoint_id=row.checkpoint_id)


def latest_lost(session_id: str, namespace: str) -> Failure:
    """The failure of a namespace whose latest checkpoint is not the one that was saved."""
    problem = f": the latest checkpoint in namespace {namespace!r} is missing"
    return _lost(session_id, problem, namespace=namespace)


def is_latest_lost(session: SessionRow, namespace: str, row: CheckpointRow | None) -> bool:
    """Whether this, which was found as the latest checkpoint of a namespace, is another one than was saved."""
    known = latest_in(session.content, namespace)
    return known is not None and (row is None or row.crc != known.checkpoint)


def checkpoints_lost(session_id: str, expected: int, found: int) -> Failure:
    """The failure of a session whose checkpoints are not all found."""
    return _lost(session_id, f" has {expected} checkpoints, of which {found} are found")


def names_lost(session_id: str) -> Failure:
    """The failure of a session of which some checkpoints have other names."""
    return _lost(session_id, ": its checkpoints are not those that were saved")


def _lost(session_id: str, problem: str, **names: str) -> Failure:
    message = f"session {session_id!r}{problem}; `lockstitch check` names the damage"
    return Failure(Reason.DATA_LOSS, message, session_id=session_id, **names)


def _logs(row: CheckpointRow, selection: Selection) -> list[LogRef]:
    try:
        parts = selected(row.decoded().manifest, selection).parts
    except Failure:
        return []  # reported when it is assembled
    return [LogRef(row.key, part.log, part.length) for part in parts if part.log]
