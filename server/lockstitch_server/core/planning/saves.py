"""Plans a Save: is it a repetition, may it be made, where do its bytes go."""

from collections.abc import Sequence

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.checkpoint import DraftState
from lockstitch_server.core.format.compression import pack
from lockstitch_server.core.format.manifest import Manifest, ManifestPart, Record, Skeleton, encode
from lockstitch_server.core.format.rows import CheckpointRow, NewWrite
from lockstitch_server.core.planning.changes import SessionChanges
from lockstitch_server.core.planning.delta import merge_parts
from lockstitch_server.core.planning.limits import PlanSettings, check_parts, check_size
from lockstitch_server.core.planning.operations import DraftDelta, Outcome, Save, Saved
from lockstitch_server.core.planning.placement import PartIndex, Placement, holds, index, materialize
from lockstitch_server.core.planning.state_delta import merge_skeleton
from lockstitch_server.core.planning.writes import new_writes, stored_size
from lockstitch_server.core.sessions.leases import check_lease

NO_STATE = Manifest(Skeleton(b"", None, None, None), ())
"""What a delta is applied to if its base has no state."""


def plan_save(save: Save, session: SessionChanges, settings: PlanSettings, now: int) -> Saved:
    """Add a checkpoint to the changes of a session, unless it is there already.

    Fails with LEASE_LOST, EXPECTED_LATEST_MISMATCH, UNKNOWN_BASE, BASE_CHANGED, DELTA_MISMATCH, INVALID_FIELD and
    TOO_LARGE.
    """
    try:
        return _planned(save, session, settings, now)
    except Failure as failure:
        if failure.reason is Reason.DATA_LOSS and isinstance(save.state, DraftDelta):
            raise _unknown_base(save.state) from failure
        raise


def _planned(save: Save, session: SessionChanges, settings: PlanSettings, now: int) -> Saved:
    existing = session.checkpoint(save.namespace, save.checkpoint_id)
    writes = new_writes(save, session) if save.writes else []
    draft = save.state
    if existing is not None:
        if _is_repetition(save, existing, session):
            return _unchanged(save, existing, writes, session, settings, now)
        if isinstance(draft, DraftDelta):
            draft = _full(save, draft, session)
        if _is_same(save, draft, existing, session):
            return _unchanged(save, existing, writes, session, settings, now)
    _check_preconditions(save, session)
    base = _base(save, save.state, session) if isinstance(save.state, DraftDelta) else None
    placement = Placement(session)
    manifest = _placed(save, draft, base, existing, placement, session)
    if manifest is not None:
        check_parts(manifest.parts, settings)
    size = len(save.header) + (manifest.state_size if manifest is not None else 0)
    check_size(save, size, writes, session, settings)

    # From here on nothing asks or fails.
    revision = _touch(save, session, now)
    placement.store()
    row = _row(save, manifest, base, revision)
    session.put_checkpoint(row, save.terms, existing)
    for write in writes:
        session.put_write(write)
    outcome = Outcome.CREATED if existing is None else Outcome.REPLACED
    return Saved(row.checkpoint_id, revision, outcome, row.saved_at)


def _touch(save: Save, session: SessionChanges, now: int) -> int:
    if save.ttl is not None:
        session.row.ttl = save.ttl
    return session.touch(now)


def _row(save: Save, manifest: Manifest | None, base: CheckpointRow | None, revision: int) -> CheckpointRow:
    delta = save.state if isinstance(save.state, DraftDelta) else None
    record = Record(
        save.header,
        manifest,
        delta.digest if delta is not None else b"",
        base.revision if base is not None else 0,
        save.server_time,
        save.trace_id,
    )
    row = CheckpointRow(
        save.key, save.namespace, save.checkpoint_id, save.parent_id, save.step, revision, pack(encode(record))
    )
    row.crc = row.checksum()
    row.remember_parsed(record)
    return row


# Repetitions


def _is_repetition(save: Save, existing: CheckpointRow, session: SessionChanges) -> bool:
    """Whether the save is the delta that wrote the existing checkpoint, on a base that has not been replaced since."""
    record, delta = existing.parsed(), save.state
    if not isinstance(delta, DraftDelta) or record is None or record.request_digest != delta.digest:
        return False
    if delta.base_id == save.checkpoint_id:
        # The save has replaced its base. A request that names the revision of the new base is another save.
        return delta.base_revision in (0, record.base_revision)
    base = session.checkpoint(save.namespace, delta.base_id)
    return base is None or base.revision == record.base_revision


def _is_same(save: Save, draft: DraftState | None, existing: CheckpointRow, session: SessionChanges) -> bool:
    """Whether a full save brings exactly what the existing checkpoint holds."""
    record = existing.parsed()
    if record is None or (existing.parent_id, existing.step) != (save.parent_id, save.step):
        return False
    if (record.header, record.server_time) != (save.header, save.server_time):
        return False
    if draft is None or record.manifest is None:
        return draft is None and record.manifest is None
    skeleton, parts = record.manifest
    if skeleton != draft.skeleton or len(parts) != len(draft.parts):
        return False
    old_parts = index(parts)
    for part in draft.parts:
        old = old_parts.get(part.name)
        if old is None or old.shell != part.shell or not holds(old, part.data, session):
            return False
    return True


def _unchanged(
    save: Save,
    existing: CheckpointRow,
    writes: Sequence[NewWrite],
    session: SessionChanges,
    settings: PlanSettings,
    now: int,
) -> Saved:
    if writes:
        _check_preconditions(save, session)
        check_size(save, stored_size(existing), writes, session, settings)
        _touch(save, session, now)
        for write in writes:
            session.put_write(write)
    elif save.lease_token == session.row.lease:  # without the lease a repetition succeeds too, and changes nothing
        session.extend_expiry(save.ttl, now)
    return Saved(existing.checkpoint_id, existing.revision, Outcome.UNCHANGED, existing.saved_at)


# State


def _placed(
    save: Save,
    draft: DraftState | DraftDelta | None,
    base: CheckpointRow | None,
    existing: CheckpointRow | None,
    placement: Placement,
    session: SessionChanges,
) -> Manifest | None:
    """The manifest of the new state; None if there is no state."""
    if draft is None:
        return None
    if isinstance(draft, DraftDelta):
        skeleton, parts = _manifest_of(base)
        placement.place_edits(merge_parts(parts, draft))
        return Manifest(merge_skeleton(skeleton, draft), placement.parts)
    placement.place_all(draft.parts, _comparable(save, existing, session))
    return Manifest(draft.skeleton, placement.parts)


def _comparable(save: Save, existing: CheckpointRow | None, session: SessionChanges) -> list[PartIndex]:
    """The parts that a full save is compared with: of its parent, else of the checkpoint below it, else of the latest;
    and of the checkpoint that it replaces."""
    base = session.checkpoint(save.namespace, save.parent_id) if save.parent_id else None
    base = base or session.below(save.namespace, save.checkpoint_id) or session.latest(save.namespace)
    records = [row.parsed() for row in (base, existing) if row is not None]
    return [index(record.manifest.parts) for record in records if record is not None and record.manifest]


def _full(save: Save, delta: DraftDelta, session: SessionChanges) -> DraftState:
    """A delta as the full save that it stands for."""
    skeleton, parts = _manifest_of(_base(save, delta, session))
    return DraftState(merge_skeleton(skeleton, delta), materialize(merge_parts(parts, delta), session))


def _base(save: Save, delta: DraftDelta, session: SessionChanges) -> CheckpointRow:
    base = session.checkpoint(save.namespace, delta.base_id)
    if base is None or base.parsed() is None:
        raise _unknown_base(delta)
    if delta.base_revision not in (0, base.revision):
        raise Failure(
            Reason.BASE_CHANGED,
            f"base_checkpoint_id: {delta.base_id!r} has been replaced since revision {delta.base_revision}; "
            "send the full state",
            base_checkpoint_id=delta.base_id,
        )
    return base


def _manifest_of(row: CheckpointRow | None) -> tuple[Skeleton, Sequence[ManifestPart]]:
    record = row.parsed() if row is not None else None
    return record.manifest or NO_STATE if record is not None else NO_STATE


def _unknown_base(delta: DraftDelta) -> Failure:
    return Failure(
        Reason.UNKNOWN_BASE,
        f"base_checkpoint_id: there is no checkpoint {delta.base_id!r} to apply the delta to; send the full state",
        base_checkpoint_id=delta.base_id,
    )


# Preconditions


def _check_preconditions(save: Save, session: SessionChanges) -> None:
    check_lease(session.row, save.lease_token)
    expected = save.expected
    if expected is None:
        return
    latest = session.latest(save.namespace)
    if expected.is_met_by(latest.checkpoint_id, latest.step) if latest else expected.kind == "none":
        return
    there = f"it is {latest.checkpoint_id!r}, step {latest.step}" if latest else "there is none"
    metadata = {"latest_checkpoint_id": latest.checkpoint_id, "latest_step": latest.step} if latest else {}
    raise Failure(
        Reason.EXPECTED_LATEST_MISMATCH, f"expected_latest: the latest checkpoint is another; {there}", **metadata
    )
