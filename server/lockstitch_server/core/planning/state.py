"""Places the parts of a save's state: they stay where they are, are appended to logs, or begin new logs.

A full save brings all bytes of its parts, which are compared with those of earlier checkpoints. A delta says what to
append to the parts of its base, which is not compared.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from blake3 import blake3

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.manifest import Manifest, ManifestPart, Skeleton, inline_part, logged_part
from lockstitch_server.core.format.parts import CUSTOM, INLINE_BYTES, LISTS, DraftPart, PartName
from lockstitch_server.core.format.rows import CheckpointRow
from lockstitch_server.core.ids import DIGEST_BYTES, digest
from lockstitch_server.core.planning.facts import EMPTY, Known, Unread
from lockstitch_server.core.planning.operations import CustomDelta, DraftDelta, Save
from lockstitch_server.core.wire.encode import MOST_IN_A_BYTE, VARINT, tag, unsigned
from lockstitch_server.records.v1.record_pb2 import (
    PART_KIND_CUSTOM_BLOB,
    PART_KIND_ERRORS,
    PART_KIND_EXTRA,
    PART_KIND_MESSAGES,
    PartKind,
)

MESSAGES: PartName = (PART_KIND_MESSAGES, "")
ERRORS: PartName = (PART_KIND_ERRORS, "")
NO_MANIFEST = Manifest(Skeleton(b"", None, None, None), ())
"""The manifest of a base without a state."""
VERSION = tag(1, VARINT)
"""Of a channel's version."""

PartIndex = Mapping[PartName, ManifestPart]
_Versioned = TypeVar("_Versioned", pb.MessagesChannel, pb.ErrorsChannel, pb.ExtrasChannel)


class NewState(NamedTuple):
    """A state, and the bytes that must be stored for it."""

    manifest: Manifest | None
    """None: the checkpoint has no state."""
    appended: Mapping[int, bytes]
    """By log. Numbers above the session's last log are new logs."""


def new_state(save: Save, known: Known) -> NewState:
    """The state of a save. Fails with UNKNOWN_BASE, BASE_CHANGED and DELTA_MISMATCH. Raises Unread."""
    draft = save.state
    if draft is None:
        return NewState(None, EMPTY)
    placement = _Placement(known)
    if isinstance(draft, DraftDelta):
        manifest = _manifest_of(_base(draft, known)) or NO_MANIFEST
        skeleton, edits = _merged_skeleton(manifest.skeleton, draft), _merged(manifest.parts, draft)
        if known.existing is None:
            placement.edit(edits)
        else:
            placement.place(placement.materialized(edits))
        if placement.is_damaged:
            raise _unknown_base(draft)
    else:
        skeleton = draft.skeleton
        placement.place(draft.parts)
    return NewState(Manifest(skeleton, placement.finish()), placement.appended)


def may_be_same(save: Save, existing: CheckpointRow, known: Known) -> bool:
    """Whether a save may have the state of an existing checkpoint, judged by names, shells and lengths of parts.

    Reads no bytes of parts. Fails with UNKNOWN_BASE, BASE_CHANGED and DELTA_MISMATCH.
    """
    draft, stored = save.state, _manifest_of(existing)
    if draft is None or stored is None:
        return draft is None and stored is None
    if isinstance(draft, DraftDelta):
        manifest = _manifest_of(_base(draft, known)) or NO_MANIFEST
        skeleton = _merged_skeleton(manifest.skeleton, draft)
        outline = {(edit.name, edit.shell, edit.length) for edit in _merged(manifest.parts, draft)}
    else:
        skeleton = draft.skeleton
        outline = {(part.name, part.shell, len(part.data)) for part in draft.parts}
    return skeleton == stored.skeleton and outline == {
        ((part.kind, part.key), part.shell, _length(part)) for part in stored.parts
    }


def _length(part: ManifestPart) -> int:
    return part.length or len(part.inline)


def _base(delta: DraftDelta, known: Known) -> CheckpointRow:
    base = known.base
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


def _unknown_base(delta: DraftDelta) -> Failure:
    return Failure(
        Reason.UNKNOWN_BASE,
        f"base_checkpoint_id: there is no checkpoint {delta.base_id!r} to apply the delta to; send the full state",
        base_checkpoint_id=delta.base_id,
    )


def _manifest_of(row: CheckpointRow | None) -> Manifest | None:
    record = row.parsed() if row is not None else None
    return record.manifest if record is not None else None


def _index(parts: Iterable[ManifestPart]) -> PartIndex:
    """Parts by name."""
    return {(part.kind, part.key): part for part in parts}


# Deltas


class Edit(NamedTuple):
    """A part of the new state: the old part, or `put` in its place, then `appended`."""

    name: PartName
    shell: bytes = b""
    old: ManifestPart | None = None
    put: bytes | None = None
    appended: bytes = b""

    @property
    def length(self) -> int:
        """Of the new part, in bytes."""
        before = len(self.put) if self.put is not None else _length(self.old) if self.old is not None else 0
        return before + len(self.appended)


def _merged(base: Iterable[ManifestPart], delta: DraftDelta) -> list[Edit]:
    """An edit for each part of the new state, by name. Fails with DELTA_MISMATCH."""
    edits: dict[PartName, Edit] = {}
    for part in base:
        name = (part.kind, part.key)
        edits[name] = Edit(name, part.shell, part)
    if delta.messages is not None:
        _append(edits, MESSAGES, delta.messages.appended)
    if delta.errors is not None:
        _append(edits, ERRORS, delta.errors.appended)
    if delta.extra is not None:
        for key in delta.extra.removed:
            edits.pop((PART_KIND_EXTRA, key), None)
        for draft in delta.extra.put:
            before = edits.get(draft.name)
            edits[draft.name] = Edit(draft.name, b"", before.old if before is not None else None, draft.data)
    for custom in delta.removed_custom:
        _remove_custom(edits, custom)
    for change in delta.custom:
        _merge_custom(edits, change)
    return [edits[name] for name in sorted(edits)]


def _merge_custom(edits: dict[PartName, Edit], delta: CustomDelta) -> None:
    before = _remove_custom(edits, delta.name)
    shell = delta.part.shell if before is None else _merged_shell(before.shell, delta)
    same = before is not None and (delta.change == "version" or before.name == delta.part.name)
    if before is not None and same:
        put = delta.part.data if delta.change == "put" else None
        appended = delta.part.data if delta.change == "append" else b""
        edits[before.name] = Edit(before.name, shell, before.old, put, appended)
    elif delta.change == "append" and before is not None and before.name[0] == PART_KIND_CUSTOM_BLOB:
        raise Failure(
            Reason.DELTA_MISMATCH,
            f"delta.custom[{delta.name!r}].append: the base holds a blob under this name; send the full state",
            field="delta.custom",
        )
    else:
        edits[delta.part.name] = Edit(delta.part.name, shell, put=delta.part.data)


def _remove_custom(edits: dict[PartName, Edit], name: str) -> Edit | None:
    found = [edits.pop((kind, name)) for kind in CUSTOM if (kind, name) in edits]
    return found[0] if found else None


def _append(edits: dict[PartName, Edit], name: PartName, appended: bytes) -> None:
    before = edits.get(name)
    if before is not None:
        edits[name] = Edit(name, before.shell, before.old, appended=appended)
    elif appended:
        edits[name] = Edit(name, put=appended)


def _merged_skeleton(base: Skeleton, delta: DraftDelta) -> Skeleton:
    """The base's skeleton with the delta's versions."""
    shell, messages, extra, errors = base
    if delta.messages is not None:
        messages = _with_version(pb.MessagesChannel, messages or b"", delta.messages.version)
    if delta.extra is not None:
        extra = _with_version(pb.ExtrasChannel, extra or b"", delta.extra.version)
    if delta.errors is not None:
        errors = _with_version(pb.ErrorsChannel, errors or b"", delta.errors.version)
    return Skeleton(shell, messages, extra, errors)


def _with_version(kind: type[_Versioned], shell: bytes, version: int) -> bytes:
    """A channel without its items, with another version."""
    if _is_version_only(shell):
        return unsigned(1, version)
    channel = kind.FromString(shell)
    channel.version = version
    return channel.SerializeToString()


def _is_version_only(shell: bytes) -> bool:
    if not shell:
        return True
    last = 1
    while shell[last] > MOST_IN_A_BYTE:
        last += 1
    return shell[:1] == VERSION and last == len(shell) - 1


def _merged_shell(base: bytes, delta: CustomDelta) -> bytes:
    """The base's custom channel without its value, with the delta's version. Unknown fields stay in it."""
    channel = pb.CustomChannel.FromString(base)
    if delta.change == "put":
        channel.ClearField("list")
    channel.version = delta.version
    channel.MergeFromString(delta.part.shell)
    return channel.SerializeToString()


# Placement


class _Placement:
    """The parts of a new state, and the bytes that are appended to logs for them.

    If a fact is not read yet, it is noted in `logs` or `unread`, and placement goes on: so that all are asked for at
    once. `finish` raises Unread then.
    """

    __slots__ = ("_known", "_last_log", "appended", "is_damaged", "logs", "parts", "unread")

    def __init__(self, known: Known) -> None:
        self._known = known
        self._last_log = known.session.last_log
        self.parts: list[ManifestPart] = []
        self.appended: dict[int, bytes] = {}
        self.is_damaged = False
        """Whether bytes that a delta's result needs are damaged."""
        self.logs: list[int] = []
        self.unread: list[ManifestPart] = []

    def finish(self) -> Sequence[ManifestPart]:
        """The parts. Raises Unread."""
        if self.logs or self.unread:
            raise Unread(self.logs, self.unread)
        return self.parts

    def place(self, drafts: Iterable[DraftPart]) -> None:
        """Place parts with all their bytes, by comparing them with stored parts of the same names."""
        known = self._known
        # The existing checkpoint first: if nothing has changed, its parts stay as they are.
        rows = (known.base,) if known.existing is None else (known.existing, known.base)
        bases = [_index(manifest.parts) for row in rows if (manifest := _manifest_of(row)) is not None]
        for kind, key, data, shell in drafts:
            self._place(kind, key, data, shell, bases)

    def edit(self, edits: Iterable[Edit]) -> None:
        """Place the parts of a delta's result. Appends without comparing bytes."""
        for (kind, key), shell, old, put, appended in edits:
            if put is not None:
                bases = [{(kind, key): old}] if old is not None else []
                self._place(kind, key, put + appended if appended else put, shell, bases)
                continue
            assert old is not None
            if not appended:
                self.parts.append(old.with_shell(shell))
            elif old.log and old.log not in self.appended and self._end_of(old.log) == old.length:
                self.appended[old.log] = appended
                self.parts.append(logged_part(kind, key, old.log, old.length + len(appended), b"", shell))
            else:
                self._place(kind, key, self._copied(old) + appended, shell, [])

    def materialized(self, edits: Iterable[Edit]) -> list[DraftPart]:
        """The parts of a delta's result with all their bytes."""
        parts = []
        for name, shell, old, put, appended in edits:
            data = put if put is not None else self._copied(old) if old is not None else b""
            parts.append(DraftPart(*name, data + appended, shell))
        return parts

    def _place(
        self, kind: "PartKind.ValueType", key: str, data: bytes, shell: bytes, bases: Sequence[PartIndex]
    ) -> None:
        length = len(data)
        if length <= INLINE_BYTES:
            self.parts.append(inline_part(kind, key, data, shell))
            return
        log, found_digest, rest = 0, b"", data
        for base in bases:
            old = base.get((kind, key))
            if old is None or not old.log:
                continue
            if old.length == length or (old.length < length and kind in LISTS):
                log, found_digest, rest = self._reused(old, data)
                if log:
                    break
        if not log:
            log, found_digest = self._last_log + 1, found_digest or digest(data)
            self._last_log = log
        if rest:
            self.appended[log] = rest
        self.parts.append(logged_part(kind, key, log, length, found_digest, shell))

    def _reused(self, old: ManifestPart, data: bytes) -> tuple[int, bytes, bytes]:
        """The old part's log if the data continue it, else 0; the digest of the data; the bytes to append."""
        length = old.length
        hasher = blake3(data if length == len(data) else memoryview(data)[:length])
        beginning = hasher.digest(DIGEST_BYTES)
        is_same = old.digest == beginning if old.digest else self._data_of(old) == data[:length]
        rest = data[length:]
        found_digest = (hasher.update(rest) if rest else hasher).digest(DIGEST_BYTES)
        if not is_same or (rest and (old.log in self.appended or self._end_of(old.log) != length)):
            return 0, found_digest, data
        return old.log, found_digest, rest

    def _copied(self, old: ManifestPart) -> bytes:
        """The bytes of a part of a delta's base."""
        data = self._data_of(old)
        if data is None and old in self._known.data:
            self.is_damaged = True
        return data or b""

    def _data_of(self, part: ManifestPart) -> bytes | None:
        """The bytes of a part; None: they are damaged, or not read yet."""
        if not part.log:
            return part.inline
        if part not in self._known.data:
            self.unread.append(part)
        return self._known.data.get(part)

    def _end_of(self, log: int) -> int:
        """How many bytes a log has after the batch so far; -1: not read yet."""
        appended = len(self._known.appended.get(log, b""))
        tail = self._known.tails.get(log)
        if tail is not None:
            return tail.end + appended
        if not appended:
            self.logs.append(log)
            return -1
        return appended
