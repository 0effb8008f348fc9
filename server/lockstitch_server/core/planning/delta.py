"""What a delta makes of the parts of its base."""

from collections.abc import Iterable
from typing import NamedTuple

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.format.manifest import ManifestPart
from lockstitch_server.core.format.parts import CUSTOM, PartName
from lockstitch_server.core.planning.operations import CustomDelta, DraftDelta
from lockstitch_server.core.planning.state_delta import merged_shell
from lockstitch_server.records.v1.record_pb2 import PartKind

MESSAGES: PartName = (PartKind.PART_KIND_MESSAGES, "")
ERRORS: PartName = (PartKind.PART_KIND_ERRORS, "")


class Edit(NamedTuple):
    """A part of the new state: the old part, or `put` in its place, then `appended`."""

    name: PartName
    shell: bytes = b""
    old: ManifestPart | None = None
    put: bytes | None = None
    appended: bytes = b""


def merge_parts(base: Iterable[ManifestPart], delta: DraftDelta) -> list[Edit]:
    """An edit for each part of the new state, by name. Fails with DELTA_MISMATCH."""
    edits = {(part.kind, part.key): Edit((part.kind, part.key), part.shell, part) for part in base}
    if delta.messages is not None:
        _append(edits, MESSAGES, delta.messages.appended)
    if delta.errors is not None:
        _append(edits, ERRORS, delta.errors.appended)
    if delta.extra is not None:
        for key in delta.extra.removed:
            edits.pop((PartKind.PART_KIND_EXTRA, key), None)
        for part in delta.extra.put:
            edits[part.name] = Edit(part.name, old=edits[part.name].old if part.name in edits else None, put=part.data)
    for name in delta.removed_custom:
        _remove_custom(edits, name)
    for change in delta.custom:
        _merge_custom(edits, change)
    return [edits[name] for name in sorted(edits)]


def _merge_custom(edits: dict[PartName, Edit], delta: CustomDelta) -> None:
    before = _remove_custom(edits, delta.name)
    shell = delta.part.shell if before is None else merged_shell(before.shell, delta)
    same = before is not None and (delta.change == "version" or before.name == delta.part.name)
    if before is not None and same:
        put = delta.part.data if delta.change == "put" else None
        appended = delta.part.data if delta.change == "append" else b""
        edits[before.name] = Edit(before.name, shell, before.old, put, appended)
    elif delta.change == "append" and before is not None and before.name[0] == PartKind.PART_KIND_CUSTOM_BLOB:
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
