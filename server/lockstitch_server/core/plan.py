"""Decides what a batch of operations writes. Operations of one session see what those before them did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lockstitch_server.core.checkpoint import DraftState
from lockstitch_server.core.delta import merge
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.leases import check_lease, check_not_deleted
from lockstitch_server.core.operations import (
    DraftDelta,
    Operation,
    Outcome,
    Result,
    Save,
    Saved,
    SaveWrites,
    WritesSaved,
)
from lockstitch_server.core.packing import pack
from lockstitch_server.core.parts import NAMED, RowSizes
from lockstitch_server.core.placement import Placement, commit, holds, index, materialize, place, place_edit
from lockstitch_server.core.records import Basis, CheckpointRow, Head, NewWrite, SessionChange
from lockstitch_server.core.stored import shells_of
from lockstitch_server.core.view import SessionView, shell_size, state_size
from lockstitch_server.records.v1.record_pb2 import CheckpointRecord, Manifest


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What a plan has to keep to."""

    row_sizes: RowSizes
    """How logs are cut into rows."""
    max_bytes: int
    """Most bytes in a checkpoint with its pending writes, so that an answer can carry it."""
    max_parts: int
    """Most extra entries and custom channels in a state, so that it can be sent whole as well as by deltas."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch does to the store, and what each of its operations is told."""

    basis: list[Basis]
    """The sessions that it is about, as they must be."""
    changes: list[SessionChange]
    results: list[Result | Failure]
    heads: dict[bytes, Head]
    """What is known of the sessions once the changes have been made."""


async def plan_batch(
    operations: Sequence[Operation], views: Mapping[bytes, SessionView], settings: PlanSettings, now: int
) -> Plan:
    """Plan a batch. An operation that fails changes nothing and is told why; its neighbours go on."""
    results: list[Result | Failure] = []
    for operation in operations:
        try:
            results.append(await _plan(operation, views[operation.key], settings, now))
        except Failure as failure:
            results.append(failure)
    changes = [view.change(settings.row_sizes) for view in views.values() if view.changed]
    heads = {key: head for key, view in views.items() if (head := view.head()) is not None}
    return Plan([view.basis for view in views.values()], changes, results, heads)


async def _plan(operation: Operation, view: SessionView, settings: PlanSettings, now: int) -> Result:
    check_not_deleted(view.row)
    if not isinstance(operation, Save):
        return await _plan_writes(operation, view, settings, now)
    try:
        return await _plan_save(operation, view, settings, now)
    except Failure as failure:
        if failure.reason is Reason.DATA_LOSS and isinstance(operation.state, DraftDelta):
            raise _unknown(operation.state) from failure
        raise


async def _plan_save(save: Save, view: SessionView, settings: PlanSettings, now: int) -> Saved:
    existing = await view.checkpoint(save.namespace, save.checkpoint_id)
    writes = await _new_writes(save, view) if save.writes else []
    draft = save.state
    if existing is not None:
        if await _is_repetition(save, existing, view):
            return await _unchanged(save, existing, writes, view, settings, now)
        if isinstance(draft, DraftDelta):
            draft = await _full(save, draft, view)
        if await _is_same(save, draft, existing, view):
            return await _unchanged(save, existing, writes, view, settings, now)
    await _check_preconditions(save, view)
    record = CheckpointRecord(header=save.header, server_time=save.server_time, trace_id=save.trace_id)
    placements = await _fill(record, save, draft, existing, view)
    _check_parts(placements, settings)
    size = len(save.header) + shell_size(record.manifest) + sum(_placed_size(placed) for placed in placements)
    await _check_size(save, size, writes, view, settings)

    # From here on nothing reads or fails.
    revision = _touch(save, view, now)
    if placements:  # even an empty list would make a manifest present
        record.manifest.parts.extend(commit(placements, view))
    row = _row(save, record, revision)
    view.put_checkpoint(row, save.terms, existing)
    for write in writes:
        view.put_write(write)
    return Saved(row.checkpoint_id, revision, Outcome.REPLACED if existing else Outcome.CREATED, row.saved_at)


async def _plan_writes(save: SaveWrites, view: SessionView, settings: PlanSettings, now: int) -> WritesSaved:
    writes = await _new_writes(save, view)
    if not writes:
        return WritesSaved(view.row.revision, 0)
    check_lease(view.row, save.lease_token)
    existing = await view.checkpoint(save.namespace, save.checkpoint_id)
    await _check_size(save, _stored_size(existing), writes, view, settings)
    revision = _touch(save, view, now)
    for write in writes:
        view.put_write(write)
    return WritesSaved(revision, len(writes))


def _touch(operation: Operation, view: SessionView, now: int) -> int:
    if isinstance(operation, Save) and operation.ttl is not None:
        view.row.ttl = operation.ttl
    return view.touch(now)


# Repetitions


async def _is_repetition(save: Save, existing: CheckpointRow, view: SessionView) -> bool:
    """Whether a delta is the one that wrote what is there, on a base that has not been replaced since."""
    record, delta = _readable(existing), save.state
    if not isinstance(delta, DraftDelta) or record is None or record.request_digest != delta.digest:
        return False
    if delta.base_id == save.checkpoint_id:  # it has replaced its base: only who knows the new one means it anew
        return delta.base_revision in (0, record.base_revision)
    base = await view.checkpoint(save.namespace, delta.base_id)
    return base is None or base.revision == record.base_revision


async def _is_same(save: Save, draft: DraftState | None, existing: CheckpointRow, view: SessionView) -> bool:
    """Whether a full save brings exactly what is there."""
    record = _readable(existing)
    if record is None or (existing.parent_id, existing.step) != (save.parent_id, save.step):
        return False
    if (record.header, record.server_time) != (save.header, save.server_time):
        return False
    if draft is None or not record.HasField("manifest"):
        return draft is None and not record.HasField("manifest")
    shells = Manifest()
    shells.CopyFrom(record.manifest)
    shells.ClearField("parts")
    if shells != draft.manifest() or len(record.manifest.parts) != len(draft.parts):
        return False
    old_parts = index(record.manifest)
    for part in draft.parts:
        old = old_parts.get(part.name)
        if old is None or old.shell != part.shell or not await holds(old, part.data, view):
            return False
    return True


async def _unchanged(
    save: Save,
    existing: CheckpointRow,
    writes: Sequence[NewWrite],
    view: SessionView,
    settings: PlanSettings,
    now: int,
) -> Saved:
    if writes:
        await _check_preconditions(save, view)
        await _check_size(save, _stored_size(existing), writes, view, settings)
        _touch(save, view, now)
        for write in writes:
            view.put_write(write)
    elif save.lease_token == view.row.lease:  # a repetition succeeds for all, and changes nothing for those who may not
        view.slide(save.ttl, now)
    return Saved(existing.checkpoint_id, existing.revision, Outcome.UNCHANGED, existing.saved_at)


def _readable(row: CheckpointRow) -> CheckpointRecord | None:
    """A row's record; None where it is damaged, since that must not stand in the way of a new save."""
    try:
        return row.decoded()
    except Failure:
        return None


# State


async def _fill(
    record: CheckpointRecord,
    save: Save,
    draft: DraftState | DraftDelta | None,
    existing: CheckpointRow | None,
    view: SessionView,
) -> list[Placement]:
    """Complete a record but for its parts, which are returned."""
    if isinstance(save.state, DraftDelta):
        record.request_digest = save.state.digest
        record.base_revision = (await _base(save, save.state, view)).revision
    if isinstance(draft, DraftDelta):
        manifest, edits = merge(await _base_manifest(save, draft, view), draft)
        record.manifest.CopyFrom(manifest)
        return [await place_edit(edit, view) for edit in edits]
    if draft is None:
        return []
    record.manifest.CopyFrom(draft.manifest())
    bases = [index(manifest) for manifest in await _comparable(save, existing, view)]
    return [await place(part, bases, view) for part in draft.parts]


async def _comparable(save: Save, existing: CheckpointRow | None, view: SessionView) -> list[Manifest]:
    """What a full save is compared with: its parent, else the one before it, else the latest; and what it replaces."""
    base = await view.checkpoint(save.namespace, save.parent_id) if save.parent_id else None
    base = base or await view.below(save.namespace, save.checkpoint_id) or await view.below(save.namespace, None)
    records = [_readable(row) for row in (base, existing) if row is not None]
    return [record.manifest for record in records if record is not None]


async def _full(save: Save, delta: DraftDelta, view: SessionView) -> DraftState:
    """A delta as the full save that it stands for."""
    manifest, edits = merge(await _base_manifest(save, delta, view), delta)
    return DraftState(shells_of(manifest), await materialize(edits, view))


async def _base(save: Save, delta: DraftDelta, view: SessionView) -> CheckpointRow:
    base = await view.checkpoint(save.namespace, delta.base_id)
    if base is None or _readable(base) is None:
        raise _unknown(delta)
    if delta.base_revision not in (0, base.revision):
        raise Failure(
            Reason.BASE_CHANGED,
            f"base_checkpoint_id: {delta.base_id!r} has been replaced since revision {delta.base_revision}; "
            "send the full state",
            base_checkpoint_id=delta.base_id,
        )
    return base


def _unknown(delta: DraftDelta) -> Failure:
    return Failure(
        Reason.UNKNOWN_BASE,
        f"base_checkpoint_id: there is no checkpoint {delta.base_id!r} to apply the delta to; send the full state",
        base_checkpoint_id=delta.base_id,
    )


async def _base_manifest(save: Save, delta: DraftDelta, view: SessionView) -> Manifest:
    return (await _base(save, delta, view)).decoded().manifest


def _row(save: Save, record: CheckpointRecord, revision: int) -> CheckpointRow:
    row = CheckpointRow(
        save.key,
        save.namespace,
        save.checkpoint_id,
        save.parent_id,
        save.step,
        revision,
        pack(record.SerializeToString()),
    )
    row.crc = row.checksum()
    row.remember(record)
    return row


# Writes


async def _new_writes(save: Operation, view: SessionView) -> list[NewWrite]:
    """The writes that are not there yet, or replace what is there."""
    wanted: dict[tuple[str, int], NewWrite] = {}
    for write in save.writes:
        name = (write.task_id, write.task_index)
        if write.task_index < 0 or name not in wanted:
            wanted[name] = write
    stored = await view.write_sizes(save.namespace, save.checkpoint_id)
    return [
        write
        for name, write in wanted.items()
        if name not in stored or (write.task_index < 0 and not await view.holds_write(write))
    ]


# Checks


async def _check_preconditions(save: Save, view: SessionView) -> None:
    check_lease(view.row, save.lease_token)
    expected = save.expected
    if expected is None:
        return
    latest = await view.below(save.namespace, None)
    if expected.is_met_by(latest.checkpoint_id, latest.step) if latest else expected.kind == "none":
        return
    there = f"it is {latest.checkpoint_id!r}, step {latest.step}" if latest else "there is none"
    metadata = {"latest_checkpoint_id": latest.checkpoint_id, "latest_step": latest.step} if latest else {}
    raise Failure(
        Reason.EXPECTED_LATEST_MISMATCH, f"expected_latest: the latest checkpoint is another; {there}", **metadata
    )


async def _check_size(
    operation: Operation, size: int, writes: Sequence[NewWrite], view: SessionView, settings: PlanSettings
) -> None:
    total = size + await _size_of_writes(operation, writes, view)
    if total > settings.max_bytes and view.has_writes:
        await view.check_write_sizes(operation.namespace, operation.checkpoint_id)
        total = size + await _size_of_writes(operation, writes, view)
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


async def _size_of_writes(operation: Operation, writes: Sequence[NewWrite], view: SessionView) -> int:
    """How many bytes the pending writes of a checkpoint have once these are there."""
    if not writes and not view.has_writes:
        return 0
    stored = await view.write_sizes(operation.namespace, operation.checkpoint_id)
    sizes = {name: write.size for name, write in stored.items()}
    sizes |= {(write.task_id, write.task_index): len(write.message) for write in writes}
    return sum(sizes.values())


def _check_parts(placements: Sequence[Placement], settings: PlanSettings) -> None:
    limit = settings.max_parts
    if len(placements) <= limit:
        return
    count = sum(placed.part.kind in NAMED for placed in placements)
    if count > limit:
        raise Failure(
            Reason.INVALID_FIELD,
            f"delta: the state would have {count} extra entries and custom channels; the limit is {limit}",
            field="delta",
            limit=limit,
        )


def _placed_size(placed: Placement) -> int:
    part = placed.part
    return len(part.key) + len(part.shell) + (part.length or len(part.inline))


def _stored_size(row: CheckpointRow | None) -> int:
    record = _readable(row) if row is not None else None
    return len(record.header) + state_size(record.manifest) if record is not None else 0
