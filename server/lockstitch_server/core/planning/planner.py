"""Plans what a batch of operations writes: a pure function of the operations and of what is known of their sessions.

For each operation, all that it needs to know is gathered, a decision is made of it, and the decision is applied to the
changes of its session. Operations of one session see what the operations before them did. If a fact is not known, the
plan asks for all facts that the batch needs; the caller reads them and plans again from the start.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.manifest import ManifestPart, Record
from lockstitch_server.core.format.parts import NAMED
from lockstitch_server.core.format.rows import CheckpointRow, ExpectedVersion, NewWrite, SessionChange
from lockstitch_server.core.format.save_ids import has_save, is_superseded, with_save
from lockstitch_server.core.planning.changes import Decision, SessionChanges
from lockstitch_server.core.planning.facts import (
    Facts,
    Known,
    Missing,
    NotKnown,
    SessionFacts,
    Sizes,
    Unread,
    WriteName,
)
from lockstitch_server.core.planning.operations import (
    DraftDelta,
    Expected,
    Operation,
    Outcome,
    PlanSettings,
    Result,
    Save,
)
from lockstitch_server.core.planning.state import NewState, may_be_same, new_state
from lockstitch_server.core.sessions.leases import check_not_deleted, lease_refusal


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes of a batch, and the results of its operations."""

    expected: list[ExpectedVersion]
    """The versions of the sessions that the plan is made for."""
    changes: list[SessionChange]
    results: list[Result | Failure]
    sessions: dict[bytes, SessionFacts]
    """The facts about the sessions after the changes."""


def plan(operations: Sequence[Operation], facts: Facts, settings: PlanSettings, now: int) -> Plan | Missing:
    """Plan a batch. An operation that fails changes nothing, and its neighbours go on.

    now: the database's time in ns, about which facts that come from the cache may be wrong.
    """
    missing = Missing()
    sessions: dict[bytes, SessionChanges] = {}
    results: list[Result | Failure] = []
    for operation in operations:
        if operation.key not in facts:
            missing.sessions.add(operation.key)
            continue
        try:
            session = sessions.get(operation.key)
            if session is None:
                session = sessions[operation.key] = SessionChanges(facts[operation.key], operation, missing, now)
            decision = _decided(operation, session, session.known(operation), settings)
            results.append(session.apply(operation, decision, now))
        except Failure as failure:
            results.append(failure)
        except NotKnown:  # the operations that follow are planned all the same, for what they ask
            pass
    return missing if missing else _finished(sessions, results, settings)


def _decided(operation: Operation, session: SessionChanges, known: Known, settings: PlanSettings) -> Decision:
    while True:
        try:
            return decide(operation, known, settings)
        except Unread as unread:
            known = session.read(operation, known, unread)


def _finished(sessions: dict[bytes, SessionChanges], results: list[Result | Failure], settings: PlanSettings) -> Plan:
    changes: list[SessionChange] = []
    known: dict[bytes, SessionFacts] = {}
    for key, session in sessions.items():
        change, facts = session.finish(settings.row_sizes)
        if change is not None:
            changes.append(change)
        if facts is not None:
            known[key] = facts
    return Plan([session.expected for session in sessions.values()], changes, results, known)


def decide(operation: Operation, known: Known, settings: PlanSettings) -> Decision:
    """What an operation does to its session.

    Fails with SESSION_DELETED, LEASE_LOST, EXPECTED_LATEST_MISMATCH, SUPERSEDED, UNKNOWN_BASE, BASE_CHANGED,
    DELTA_MISMATCH, INVALID_FIELD and TOO_LARGE. Raises Unread.
    """
    check_not_deleted(known.session)
    refusal = lease_refusal(known.session, operation.lease_token)
    writes = _new_writes(operation, known) if operation.writes else []
    if isinstance(operation, Save):
        if refusal is None and operation.expected is not None:
            refusal = _unexpected_latest(operation.expected, known.latest)
        return _decide_save(operation, known, writes, refusal, settings)
    if writes:
        if refusal is not None:
            raise refusal
        _check_size(operation, _stored_size(known.existing), known, writes, settings)
    return Decision(writes=writes)


def _decide_save(
    save: Save, known: Known, writes: Sequence[NewWrite], refusal: Failure | None, settings: PlanSettings
) -> Decision:
    """Decide a save. One that repeats the existing checkpoint changes nothing but its pending writes.

    refusal: why the session must not be changed.
    """
    existing = known.existing
    if refusal is not None and not (existing is not None and _may_be_retry(save, existing)):
        raise refusal
    refusal = refusal or _superseded(save, existing)
    if existing is not None and _is_repetition(save, existing, known):
        return _unchanged(save, existing, known, writes, settings, refusal)
    if existing is not None and refusal is not None and not may_be_same(save, existing, known):
        raise refusal  # without reading the state: programs that append to one list come here often
    state = new_state(save, known)
    if existing is not None and _is_same(save, state, existing):
        return _unchanged(save, existing, known, writes, settings, refusal)
    if refusal is not None:
        raise refusal
    record = _record(save, state, known.base, existing)
    _check_parts(state, settings)
    _check_size(save, _record_size(record), known, writes, settings)
    outcome = Outcome.CREATED if existing is None else Outcome.REPLACED
    return Decision(outcome, existing, record, state.appended, writes)


def _record(save: Save, state: NewState, base: CheckpointRow | None, existing: CheckpointRow | None) -> Record:
    delta = save.state if isinstance(save.state, DraftDelta) else None
    return Record(
        save.header,
        state.manifest,
        delta.digest if delta is not None else b"",
        base.revision if delta is not None and base is not None else 0,
        save.server_time,
        save.trace_id,
        with_save(_save_ids(existing), save.save_id),
    )


# Repetitions


def _save_ids(row: CheckpointRow | None) -> bytes:
    """The save ids of a checkpoint; none if it does not exist, or is damaged."""
    record = row.parsed() if row is not None else None
    return record.save_ids if record is not None else b""


def _may_be_retry(save: Save, existing: CheckpointRow) -> bool:
    """Whether a save may be the one that made the existing checkpoint, judged by its id; one without an id may be."""
    return save.save_id is None or has_save(_save_ids(existing), save.save_id)


def _superseded(save: Save, existing: CheckpointRow | None) -> Failure | None:
    """The failure of a save that arrives after a later save of the same client."""
    ids = _save_ids(existing) if save.save_id is not None else b""
    if save.save_id is None or not ids or not is_superseded(ids, save.save_id):
        return None
    return Failure(
        Reason.SUPERSEDED,
        f"save_id: checkpoint {save.checkpoint_id!r} has a later save; load it",
        checkpoint_id=save.checkpoint_id,
    )


def _is_repetition(save: Save, existing: CheckpointRow, known: Known) -> bool:
    """Whether the save is the delta that wrote the existing checkpoint, on a base that has not been replaced since."""
    record, delta, base = existing.parsed(), save.state, known.base
    if not isinstance(delta, DraftDelta) or record is None or record.request_digest != delta.digest:
        return False
    if delta.base_revision not in (0, record.base_revision):
        return False  # the same changes, to another content of the base
    if delta.base_id == save.checkpoint_id:
        # It has replaced its base. The same changes to whatever is there are another save's, unless they have its id.
        return delta.base_revision != 0 or _may_be_retry(save, existing)
    return base is None or base.revision == record.base_revision


def _is_same(save: Save, state: NewState, existing: CheckpointRow) -> bool:
    """Whether a save has exactly the content of the existing checkpoint."""
    record, new = existing.parsed(), state.manifest
    if record is None or (existing.parent_id, existing.step) != (save.parent_id, save.step):
        return False
    if (record.header, record.server_time) != (save.header, save.server_time):
        return False
    old = record.manifest
    if new is None or old is None:
        return new is old
    if state.appended or new.skeleton != old.skeleton or len(new.parts) != len(old.parts):
        return False
    return set(map(_without_digest, new.parts)) == set(map(_without_digest, old.parts))


def _without_digest(part: ManifestPart) -> tuple[object, ...]:
    """A part without its digest, which may not be known."""
    return part.kind, part.key, part.log, part.length, part.inline, part.shell


def _unchanged(
    save: Save,
    existing: CheckpointRow,
    known: Known,
    writes: Sequence[NewWrite],
    settings: PlanSettings,
    refusal: Failure | None,
) -> Decision:
    if writes and refusal is not None:
        raise refusal
    if writes:
        _check_size(save, _stored_size(existing), known, writes, settings)
    # Without the lease a repetition succeeds too, and changes nothing.
    extends_expiry = not writes and save.lease_token == known.session.lease
    record = _adopted(save, existing) if refusal is None else None
    return Decision(Outcome.UNCHANGED, existing, record, writes=writes, extends_expiry=extends_expiry)


def _adopted(save: Save, existing: CheckpointRow) -> Record | None:
    """The record of a checkpoint with the id of a further save of the same content; None if it has the id.

    Earlier saves of this writer may still arrive. They must not replace the content that this save confirms.
    """
    record = existing.parsed()
    if record is None or save.save_id is None or has_save(record.save_ids, save.save_id):
        return None
    return record._replace(save_ids=with_save(record.save_ids, save.save_id))


# Conditions


def _unexpected_latest(expected: Expected, latest: CheckpointRow | None) -> Failure | None:
    """The failure of a save that expects another latest checkpoint."""
    if expected.is_met_by(latest.checkpoint_id, latest.step, latest.revision) if latest else expected.kind == "none":
        return None
    there = f"it is {latest.checkpoint_id!r}, step {latest.step}" if latest else "there is none"
    if latest and expected.revision:
        there += f", of revision {latest.revision}"
    metadata = {"latest_checkpoint_id": latest.checkpoint_id, "latest_step": latest.step} if latest else {}
    return Failure(
        Reason.EXPECTED_LATEST_MISMATCH, f"expected_latest: the latest checkpoint is another; {there}", **metadata
    )


def _check_parts(state: NewState, settings: PlanSettings) -> None:
    """Fails with INVALID_FIELD."""
    parts = state.manifest.parts if state.manifest is not None else ()
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


def _check_size(
    operation: Operation, size: int, known: Known, writes: Sequence[NewWrite], settings: PlanSettings
) -> None:
    """size: of the checkpoint without its pending writes. writes: those to add. Fails with TOO_LARGE."""
    total = size
    if writes or known.write_sizes:
        total += _size_of(known.write_sizes, writes)
    if total > settings.max_bytes and known.write_sizes:
        total = size + _size_of(_intact_sizes(known), writes)
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
    """The bytes of a checkpoint's pending writes, with new ones."""
    sizes = {name: write.size for name, write in stored.items()}
    sizes |= {(write.task_id, write.task_index): len(write.message) for write in writes}
    return sum(sizes.values())


def _intact_sizes(known: Known) -> Sizes:
    """Sizes of pending writes. A damaged one counts as the bytes of its row: its own size may be damaged too."""
    if known.messages is None:
        raise Unread
    messages = known.messages
    return {
        name: write if name in messages else write._replace(size=write.stored)
        for name, write in known.write_sizes.items()
    }


def _stored_size(row: CheckpointRow | None) -> int:
    """The bytes of a stored checkpoint; 0 if it does not exist, or is damaged."""
    record = row.parsed() if row is not None else None
    return _record_size(record) if record is not None else 0


def _record_size(record: Record) -> int:
    return len(record.header) + (record.manifest.state_size if record.manifest is not None else 0)


# Pending writes


def _new_writes(operation: Operation, known: Known) -> list[NewWrite]:
    """The writes of an operation that are new, or replace stored ones."""
    named: dict[WriteName, NewWrite] = {}
    for write in operation.writes:
        name = (write.task_id, write.task_index)
        if write.task_index < 0 or name not in named:
            named[name] = write
    stored = known.write_sizes
    return [
        write
        for name, write in named.items()
        if name not in stored or (write.task_index < 0 and not _is_stored(name, write, known))
    ]


def _is_stored(name: WriteName, write: NewWrite, known: Known) -> bool:
    """Whether exactly this pending write is stored."""
    if known.messages is None:
        raise Unread
    return known.messages.get(name) == write.message
