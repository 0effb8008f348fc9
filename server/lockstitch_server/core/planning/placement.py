"""Where the bytes of a state go: they stay where they are, are appended to a log, or begin a new log."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from blake3 import blake3

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.manifest import ManifestPart, inline_part, logged_part
from lockstitch_server.core.format.parts import INLINE_BYTES, LISTS, DraftPart, PartName
from lockstitch_server.core.ids import DIGEST_BYTES, digest
from lockstitch_server.core.planning.changes import SessionChanges
from lockstitch_server.core.planning.delta import Edit
from lockstitch_server.core.planning.facts import NotKnown

if TYPE_CHECKING:
    from lockstitch_server.records.v1.record_pb2 import PartKind

PartIndex = Mapping[PartName, ManifestPart]


def index(parts: Iterable[ManifestPart]) -> PartIndex:
    """Parts by name."""
    return {(part.kind, part.key): part for part in parts}


class Placement:
    """The parts of a new state, and the bytes that must be stored for them. Changes nothing before `store`."""

    __slots__ = ("_last_log", "_session", "appended", "parts")

    def __init__(self, session: SessionChanges) -> None:
        self._session = session
        self._last_log = session.row.last_log
        self.parts: list[ManifestPart] = []
        self.appended: dict[int, bytes] = {}
        """By log: what is appended. Numbers above the session's last log are new logs."""

    def store(self) -> None:
        """Carry out what has been placed."""
        for log, data in self.appended.items():
            self._session.append(log, data)

    def place_all(self, drafts: Iterable[DraftPart], bases: Sequence[PartIndex]) -> None:
        """Place parts whose bytes are all there, by comparing them with the bases' parts of the same names.

        Asks for all that is not known of any part, then raises NotKnown.
        """
        is_unknown = False
        for kind, key, data, shell in drafts:
            try:
                self._place(kind, key, data, shell, bases)
            except NotKnown:
                is_unknown = True
        if is_unknown:
            raise NotKnown

    def place_edits(self, edits: Iterable[Edit]) -> None:
        """Place the parts of a delta's result. Asks for all that is not known of any part, then raises NotKnown."""
        is_unknown = False
        for edit in edits:
            try:
                self._edit(edit)
            except NotKnown:
                is_unknown = True
        if is_unknown:
            raise NotKnown

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

    def _edit(self, edit: Edit) -> None:
        """Place a part of a delta's result. Appends without comparing bytes."""
        (kind, key), shell, old, put, appended = edit
        if put is not None:
            bases = [{edit.name: old}] if old is not None else []
            self._place(kind, key, put + appended if appended else put, shell, bases)
            return
        assert old is not None
        if not appended:
            self.parts.append(old.with_shell(shell))
        elif old.log and self._session.end_of(old.log) == old.length and old.log not in self.appended:
            self.appended[old.log] = appended
            self.parts.append(logged_part(kind, key, old.log, old.length + len(appended), b"", shell))
        else:
            self._place(kind, key, self._session.part_data(old) + appended, shell, [])

    def _reused(self, old: ManifestPart, data: bytes) -> tuple[int, bytes, bytes]:
        """The old part's log if the data continue it, else 0; the digest of the data; the bytes to append."""
        length = old.length
        hasher = blake3(data if length == len(data) else memoryview(data)[:length])
        beginning = hasher.digest(DIGEST_BYTES)
        is_same = old.digest == beginning if old.digest else _is_beginning(old, data, beginning, self._session)
        rest = data[length:]
        found_digest = (hasher.update(rest) if rest else hasher).digest(DIGEST_BYTES)
        if not is_same or (rest and (old.log in self.appended or self._session.end_of(old.log) != length)):
            return 0, found_digest, data
        return old.log, found_digest, rest


def holds(part: ManifestPart, data: bytes, session: SessionChanges) -> bool:
    """Whether a stored part has exactly these bytes. A damaged part does not."""
    if not part.log:
        return part.inline == data
    return part.length == len(data) and _is_beginning(part, data, digest(data), session)


def materialize(edits: Iterable[Edit], session: SessionChanges) -> list[DraftPart]:
    """The parts of a delta's result with all their bytes. Asks for all that is not known, then raises NotKnown."""
    parts, is_unknown = list[DraftPart](), False
    for name, shell, old, put, appended in edits:
        try:
            data = put if put is not None else session.part_data(old) if old is not None else b""
        except NotKnown:
            is_unknown = True
        else:
            parts.append(DraftPart(*name, data + appended, shell))
    if is_unknown:
        raise NotKnown
    return parts


def _is_beginning(old: ManifestPart, data: bytes, digest_of_beginning: bytes, session: SessionChanges) -> bool:
    """Whether the data begin with the bytes of an old part, whose digest they would have."""
    if old.digest:
        return old.digest == digest_of_beginning
    try:
        return session.part_data(old) == data[: old.length]
    except Failure as failure:
        if failure.reason is not Reason.DATA_LOSS:
            raise
        return False
