"""Selects parts of a checkpoint, and joins them into a Checkpoint message."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from lockstitch_server.core.format.checkpoint import timestamp
from lockstitch_server.core.format.parts import CUSTOM, part_size
from lockstitch_server.core.format.rows import CheckpointRow
from lockstitch_server.core.ids import digest
from lockstitch_server.core.wire import encode
from lockstitch_server.records.v1.record_pb2 import PART_KIND_EXTRA, PART_KIND_MESSAGES, Manifest, Part, PartKind

FINGERPRINT_BYTES = 8


class Selection(NamedTuple):
    """The parts of a checkpoint that a call asks for."""

    state: bool = True
    channels: frozenset[str] = frozenset()
    """Names of parts: "messages", "errors", "extra", "extra/<key>", "custom", "custom/<name>". Empty: all."""
    writes: bool = True
    channel_sizes: bool = False


class ChannelSize(NamedTuple):
    """Size of one part. Equal fingerprints within a session mean equal content."""

    channel: str
    size: int
    fingerprint: bytes


ALL = Selection()


def selected(manifest: Manifest, selection: Selection) -> Manifest:
    """The manifest with the selected parts only."""
    if not selection.state:
        return Manifest()
    if not selection.channels:
        return manifest
    wanted = _matcher(selection.channels)
    out = Manifest(shell=manifest.shell)
    if wanted("messages") and manifest.HasField("messages"):
        out.messages = manifest.messages
    if wanted("errors") and manifest.HasField("errors"):
        out.errors = manifest.errors
    if any(name == "extra" or name.startswith("extra/") for name in selection.channels) and manifest.HasField("extra"):
        out.extra = manifest.extra
    out.parts.extend(part for part in manifest.parts if wanted(*_names(part.kind, part.key)))
    return out


def channel_sizes(manifest: Manifest) -> list[ChannelSize]:
    """The size of every part, without reading its bytes."""
    return [
        ChannelSize(_names(part.kind, part.key)[-1], part_size(part), _fingerprint(part)) for part in manifest.parts
    ]


def join_checkpoint(session_id: str, row: CheckpointRow, state: Sequence[bytes] | None) -> bytes:
    """A serialized Checkpoint from its row and the pieces of its serialized state. Fails with DATA_LOSS."""
    record = row.decoded()
    return b"".join(
        (
            encode.text(1, session_id),
            encode.text(2, row.namespace),
            encode.text(3, row.checkpoint_id),
            encode.text(4, row.parent_id),
            encode.unsigned(5, row.step),
            *(encode.nested(6, state) if state is not None else ()),
            encode.delimited(10, timestamp(row.saved_at)) if record.server_time else b"",
            record.header,
        )
    )


def _matcher(channels: frozenset[str]) -> Callable[..., bool]:
    return lambda *names: any(name in channels for name in names)


def _names(kind: "PartKind.ValueType", key: str) -> tuple[str, ...]:
    if kind == PART_KIND_EXTRA:
        return ("extra", f"extra/{key}")
    if kind in CUSTOM:
        return ("custom", f"custom/{key}")
    return ("messages",) if kind == PART_KIND_MESSAGES else ("errors",)


def _fingerprint(part: Part) -> bytes:
    """A log is append-only, so its number and a length name the content."""
    place = f"{part.kind} {part.log} {part.length} ".encode()
    return digest(place + part.inline)[:FINGERPRINT_BYTES]
