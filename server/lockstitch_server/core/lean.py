"""The plan of the most frequent save: a new latest checkpoint of a session that is known, and nothing special.

It comes out exactly as in `plan`, without awaits, messages and copies. What is anything else is left to `plan`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from blake3 import blake3

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch_server.core import content, stored
from lockstitch_server.core.checkpoint import DraftState
from lockstitch_server.core.delta import Edit, merge_parts, with_version
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.heads import Heads
from lockstitch_server.core.ids import DIGEST_BYTES
from lockstitch_server.core.operations import DraftDelta, Operation, Outcome, Save, Saved
from lockstitch_server.core.packing import pack
from lockstitch_server.core.parts import INLINE_BYTES, LISTS, NO_TAIL, Tail
from lockstitch_server.core.plan import Plan, PlanSettings
from lockstitch_server.core.records import Basis, CheckpointChange, CheckpointRow, Head, SessionChange
from lockstitch_server.core.stored import Shells, Stored, StoredPart, inline_part, logged_part
from lockstitch_server.core.view import grow_log
from lockstitch_server.core.written import NOTHING
from lockstitch_server.records.v1.record_pb2 import PartKind


class Lean(NamedTuple):
    """What a save does, what its caller is told, and what is known of the session then."""

    basis: Basis
    change: SessionChange
    saved: Saved
    head: Head


class Unusual(Exception):
    """This takes a look into the store, or fails."""


def plan_lean_ones(
    operations: Sequence[Operation], heads: Heads, settings: PlanSettings, now: int
) -> list[Lean | None]:
    """Plan those operations of a batch that are such saves, each the only one of its session; None for the others."""
    counts = Counter([operation.key for operation in operations])
    plans: list[Lean | None] = []
    for operation in operations:
        lean = None
        if counts[operation.key] == 1 and isinstance(operation, Save):
            head = heads.get(operation.key)
            lean = plan_lean(operation, head, settings, now) if head is not None else None
        plans.append(lean)
    return plans


def with_lean_ones(plan: Plan, lean: Sequence[Lean | None]) -> Plan:
    """A plan for all of a batch out of one for some of it, and those for the rest."""
    done = [one for one in lean if one is not None]
    results = iter(plan.results)
    return Plan(
        [*plan.basis, *[one.basis for one in done]],
        [*plan.changes, *[one.change for one in done]],
        [one.saved if one is not None else next(results) for one in lean],
        plan.heads | {one.change.row.key: one.head for one in done},
    )


def plan_lean(save: Save, head: Head, settings: PlanSettings, now: int) -> Lean | None:
    """Plan a save by itself; None where it is for `plan`."""
    latest = head.latest.get(save.namespace)
    if latest is None or not _is_usual(save, head, latest, now):
        return None
    base = latest.state()
    if base is None:
        return None
    try:
        placer = _Placer(head)
        state = _state(save, latest, base, placer)
        _check(save, state, settings)
    except (Unusual, Failure):
        return None
    return _planned(save, head, latest, state, placer, settings, now)


def _is_usual(save: Save, head: Head, latest: CheckpointRow, now: int) -> bool:
    row = head.row
    return not (
        save.checkpoint_id <= latest.checkpoint_id
        or save.writes
        or (save.expected is not None and not save.expected.is_met_by(latest.checkpoint_id, latest.step))
        or save.lease_token != row.lease
        or save.ttl is not None
        or (row.write_bytes and head.written.of(save.namespace, save.checkpoint_id) != NOTHING)
        or row.expired(now)
    )


def _state(save: Save, latest: CheckpointRow, base: Stored, placer: "_Placer") -> Stored:
    """The new state. Raises Unusual, Failure."""
    draft = save.state
    if isinstance(draft, DraftDelta):
        if draft.base_id != latest.checkpoint_id or draft.base_revision not in (0, latest.revision):
            raise Unusual
        for edit in merge_parts(base.parts, draft):
            placer.edit(edit)
        return _merged(base, draft, placer.parts)
    if not isinstance(draft, DraftState) or (save.parent_id and save.parent_id < latest.checkpoint_id):
        raise Unusual
    olds = {(part.kind, part.key): part for part in base.parts}
    for kind, key, data, shell in draft.parts:
        placer.place(kind, key, data, shell, olds.get((kind, key)))
    return Stored(draft.shells, placer.parts)


def _merged(base: Stored, delta: DraftDelta, parts: list[StoredPart]) -> Stored:
    shell, messages, extra, errors = base.shells
    if delta.messages is not None:
        messages = with_version(pb.MessagesChannel, messages or b"", delta.messages.version)
    if delta.extra is not None:
        extra = with_version(pb.ExtrasChannel, extra or b"", delta.extra.version)
    if delta.errors is not None:
        errors = with_version(pb.ErrorsChannel, errors or b"", delta.errors.version)
    return Stored(Shells(shell, messages, extra, errors), parts)


class _Placer:
    """Decides where the bytes of a state go, as `placement` does. Its methods raise Unusual."""

    __slots__ = ("_tails", "appends", "last_log", "parts", "size")

    def __init__(self, head: Head) -> None:
        self._tails = head.tails
        self.last_log = head.row.last_log
        self.parts: list[StoredPart] = []
        self.appends: dict[int, tuple[Tail, bytes]] = {}
        """By log: its last row so far, and what is added to it."""

    def place(self, kind: "PartKind.ValueType", key: str, data: bytes, shell: bytes, old: StoredPart | None) -> None:
        """Place a part whose bytes are all there."""
        length = len(data)
        if length <= INLINE_BYTES:
            self.parts.append(inline_part(kind, key, data, shell))
            return
        log, digest, rest = 0, b"", data
        if old is not None and old.log and (old.length == length or (old.length < length and kind in LISTS)):
            log, digest, rest = self._reused(old, data)
        if not log:
            digest, log = digest or blake3(data).digest(DIGEST_BYTES), self._new_log(data)
        elif rest:
            self._append(log, rest)
        self.parts.append(logged_part(kind, key, log, length, digest, shell))

    def edit(self, edit: Edit[StoredPart]) -> None:
        """Place a part of a delta."""
        (kind, key), shell, old, put, appended = edit
        if put is not None:
            self.place(kind, key, put + appended if appended else put, shell, old)
            return
        assert old is not None
        if not appended:
            self.parts.append(old if old.shell == shell else _with_shell(old, shell))
        elif not old.log:
            self.place(kind, key, old.inline + appended, shell, None)
        elif self._tail(old.log).end != old.length:
            raise Unusual
        else:
            self._append(old.log, appended)
            self.parts.append(logged_part(kind, key, old.log, old.length + len(appended), b"", shell))

    def _reused(self, old: StoredPart, data: bytes) -> tuple[int, bytes, bytes]:
        """The log, where its old bytes are a beginning of the new ones; the digest of these; what is to be added."""
        if not old.digest:
            raise Unusual
        length = old.length
        hasher = blake3(data if length == len(data) else memoryview(data)[:length])
        same = hasher.digest(DIGEST_BYTES) == old.digest
        rest = data[length:]
        digest = (hasher.update(rest) if rest else hasher).digest(DIGEST_BYTES)
        if not same or (rest and self._tail(old.log).end != length):
            return 0, digest, data
        return old.log, digest, rest

    def _new_log(self, data: bytes) -> int:
        self.last_log += 1
        self.appends[self.last_log] = NO_TAIL, data
        return self.last_log

    def _append(self, log: int, data: bytes) -> None:
        if log in self.appends:
            raise Unusual
        self.appends[log] = self._tail(log), data

    def _tail(self, log: int) -> Tail:
        tail = self._tails.get(log)
        if tail is None:
            raise Unusual
        return tail


def _with_shell(part: StoredPart, shell: bytes) -> StoredPart:
    if part.log:
        return logged_part(part.kind, part.key, part.log, part.length, part.digest, shell)
    return inline_part(part.kind, part.key, part.inline, shell)


def _check(save: Save, state: Stored, settings: PlanSettings) -> None:
    """Raises Unusual where the state is too large, or may be."""
    size = len(save.header) + state.shell_size
    for part in state.parts:
        size += len(part.key) + len(part.shell) + (part.length or len(part.inline))
    if size > settings.max_bytes or len(state.parts) > settings.max_parts:
        raise Unusual


def _planned(
    save: Save, head: Head, latest: CheckpointRow, state: Stored, placer: _Placer, settings: PlanSettings, now: int
) -> Lean:
    session = head.row.copy()
    revision = session.touch(now)
    row = _row(save, latest, state, revision)
    session.last_log = placer.last_log
    session.checkpoint_count += 1
    named = content.with_name(session.content, row.namespace, row.checkpoint_id)
    session.content = content.with_latest(named, row.namespace, content.Latest(row.crc, 0))
    session.stored_bytes += len(row.record) + sum([len(data) for _, data in placer.appends.values()])
    change = SessionChange(
        session, False, False, {(row.namespace, row.checkpoint_id): CheckpointChange(row, save.terms, True)}
    )
    grown = {log: grow_log(change, log, *append, settings.row_sizes) for log, append in placer.appends.items()}
    rows = {**head.latest, save.namespace: row}
    logs = _appendable(rows.values())
    tails = {log: tail for log, tail in {**head.tails, **grown}.items() if log in logs}
    before = head.row
    return Lean(
        Basis(before.key, before.revision, before.expire_at, before.lease),
        change,
        Saved(row.checkpoint_id, revision, Outcome.CREATED, row.saved_at),
        Head(session, rows, tails, head.written),
    )


def _row(save: Save, latest: CheckpointRow, state: Stored, revision: int) -> CheckpointRow:
    delta = save.state if isinstance(save.state, DraftDelta) else None
    record = stored.record(
        save.header,
        state,
        delta.digest if delta else b"",
        latest.revision if delta else 0,
        save.trace_id,
        server_time=save.server_time,
    )
    row = CheckpointRow(save.key, save.namespace, save.checkpoint_id, save.parent_id, save.step, revision, pack(record))
    row.crc = row.checksum()
    row.remember_state(state)
    return row


def _appendable(rows: Iterable[CheckpointRow | None]) -> set[int]:
    """The logs that a later save may append to."""
    states = [row.state() for row in rows if row is not None]
    return {part.log for state in states if state is not None for part in state.parts if part.kind in LISTS}
