"""Where the bytes of a state go: left where they are, appended to a log, or into a new one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from blake3 import blake3

from lockstitch_server.core.delta import Edit
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.ids import DIGEST_BYTES, digest
from lockstitch_server.core.parts import INLINE_BYTES, LISTS, DraftPart, PartName
from lockstitch_server.core.view import SessionView
from lockstitch_server.records.v1.record_pb2 import Manifest, Part

PartIndex = Mapping[PartName, Part]


class Placement(NamedTuple):
    """A part and the bytes of it that are not stored yet. `log` 0 and bytes to store: a new log."""

    part: Part
    store: bytes = b""


def index(manifest: Manifest) -> PartIndex:
    """The parts of a manifest by name."""
    return {(part.kind, part.key): part for part in manifest.parts}


async def place(draft: DraftPart, bases: Sequence[PartIndex], view: SessionView) -> Placement:
    """Place a part whose bytes are all there, by comparing them with what the bases have under its name."""
    kind, key, data, shell = draft
    if len(data) <= INLINE_BYTES:
        return Placement(Part(kind=kind, key=key, inline=data, shell=shell))
    part = Part(kind=kind, key=key, length=len(data), shell=shell)
    for base in bases:
        old = base.get((kind, key))
        if old is not None and old.log and (placed := await _reuse(part, data, old, view)):
            return placed
    part.digest = part.digest or digest(data)
    return Placement(part, data)


async def place_edit(edit: Edit[Part], view: SessionView) -> Placement:
    """Place a part of a delta. Appends without looking at what is there."""
    kind, key = edit.name
    if edit.put is not None:
        bases = [{edit.name: edit.old}] if edit.old is not None else []
        return await place(DraftPart(kind, key, edit.put + edit.appended, edit.shell), bases, view)
    assert edit.old is not None
    part = Part()
    part.CopyFrom(edit.old)
    part.shell = edit.shell
    if not edit.appended:
        return Placement(part)
    if not part.log or await view.end_of(part.log) != part.length:
        data = await view.part_data(part) + edit.appended
        return await place(DraftPart(kind, key, data, edit.shell), [], view)
    part.length += len(edit.appended)
    part.digest = b""
    return Placement(part, edit.appended)


async def materialize(edits: Sequence[Edit[Part]], view: SessionView) -> list[DraftPart]:
    """The parts of a delta's result with all their bytes."""
    parts = []
    for edit in edits:
        data = edit.put if edit.put is not None else await view.part_data(edit.old or Part())
        parts.append(DraftPart(*edit.name, data + edit.appended, edit.shell))
    return parts


def commit(placements: Sequence[Placement], view: SessionView) -> list[Part]:
    """Write what is not stored yet. Returns the finished parts."""
    for part, store in placements:
        if store and part.log:
            view.append(part.log, store)
        elif store:
            part.log = view.new_log(store)
    return [part for part, _ in placements]


async def holds(part: Part, data: bytes, view: SessionView) -> bool:
    """Whether a stored part has exactly these bytes. A damaged one has not."""
    if not part.log:
        return part.inline == data
    return part.length == len(data) and await _same(part, data, digest(data), view)


async def _reuse(part: Part, data: bytes, old: Part, view: SessionView) -> Placement | None:
    """Place a part in the log of an old one, if it goes on from there. Tells its digest where that costs nothing."""
    length = old.length
    if length > len(data) or (length < len(data) and part.kind not in LISTS):
        return None
    hasher = blake3(data if length == len(data) else memoryview(data)[:length])
    same = await _same(old, data, hasher.digest(DIGEST_BYTES), view)
    rest = data[length:]
    part.digest = (hasher.update(rest) if rest else hasher).digest(DIGEST_BYTES)
    if not same or (rest and await view.end_of(old.log) != length):
        return None
    part.log = old.log
    return Placement(part, rest)


async def _same(old: Part, data: bytes, digest_of_beginning: bytes, view: SessionView) -> bool:
    """Whether an old part is what the data begin with."""
    if old.digest:
        return old.digest == digest_of_beginning
    try:
        return await view.part_data(old) == data[: old.length]
    except Failure as failure:
        if failure.reason is not Reason.DATA_LOSS:
            raise
        return False
