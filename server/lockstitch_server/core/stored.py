"""The state in a record as plain tuples, and how `record.proto` writes it, by hand.

Nearly every save goes on from the one before it. To make messages of all its parts, copy and serialize them would take
half of its time.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from lockstitch_server.core.wire import VARINT, delimited, tag, unsigned, varint
from lockstitch_server.records.v1.record_pb2 import CheckpointRecord, Manifest, Part, PartKind

LOG = tag(Part.LOG_FIELD_NUMBER, VARINT)
LENGTH = tag(Part.LENGTH_FIELD_NUMBER, VARINT)
DIGEST, INLINE, SHELL = map(tag, (Part.DIGEST_FIELD_NUMBER, Part.INLINE_FIELD_NUMBER, Part.SHELL_FIELD_NUMBER))
PART = tag(Manifest.PARTS_FIELD_NUMBER)
MANIFEST = tag(CheckpointRecord.MANIFEST_FIELD_NUMBER)


class StoredPart(NamedTuple):
    """The fields of a Part, and how it stands in a serialized Manifest."""

    kind: "PartKind.ValueType"
    key: str
    log: int
    length: int
    digest: bytes
    inline: bytes
    shell: bytes
    wire: bytes


class Shells(NamedTuple):
    """The fields of a Manifest but for its parts; None where the state has no such channel."""

    shell: bytes
    messages: bytes | None
    extra: bytes | None
    errors: bytes | None


class Stored(NamedTuple):
    """A Manifest."""

    shells: Shells
    parts: Sequence[StoredPart]

    @property
    def shell_size(self) -> int:
        """How many bytes all shells have."""
        shell, messages, extra, errors = self.shells
        return len(shell) + len(messages or b"") + len(extra or b"") + len(errors or b"")


def inline_part(kind: "PartKind.ValueType", key: str, data: bytes, shell: bytes) -> StoredPart:
    """A part whose bytes stand in the manifest."""
    body = _name(kind, key)
    if data:
        body += INLINE + varint(len(data)) + data
    return StoredPart(kind, key, 0, 0, b"", data, shell, _in_manifest(body, shell))


def logged_part(kind: "PartKind.ValueType", key: str, log: int, length: int, digest: bytes, shell: bytes) -> StoredPart:
    """A part whose bytes lie in a log."""
    body = _name(kind, key) + LOG + varint(log) + LENGTH + varint(length)
    if digest:
        body += DIGEST + varint(len(digest)) + digest
    return StoredPart(kind, key, log, length, digest, b"", shell, _in_manifest(body, shell))


def record(
    header: bytes, state: Stored, request_digest: bytes, base_revision: int, trace_id: bytes, *, server_time: bool
) -> bytes:
    """A serialized CheckpointRecord."""
    content = manifest(state)
    return b"".join(
        (
            delimited(1, header) if header else b"",
            MANIFEST,
            varint(len(content)),
            content,
            delimited(3, request_digest) if request_digest else b"",
            unsigned(4, base_revision),
            unsigned(5, server_time),
            delimited(6, trace_id) if trace_id else b"",
        )
    )


def manifest(state: Stored) -> bytes:
    """A serialized Manifest."""
    (shell, messages, extra, errors), parts = state
    return b"".join(
        (
            delimited(1, shell) if shell else b"",
            delimited(2, messages) if messages is not None else b"",
            delimited(3, extra) if extra is not None else b"",
            delimited(4, errors) if errors is not None else b"",
            *[part.wire for part in parts],
        )
    )


def stored(message: Manifest) -> Stored | None:
    """A manifest as tuples; None where it holds what this server does not know."""
    state = Stored(shells_of(message), [*map(_stored_part, message.parts)])
    return state if manifest(state) == message.SerializeToString() else None


def shells_of(message: Manifest) -> Shells:
    """All of a manifest but its parts."""
    return Shells(
        message.shell,
        message.messages if message.HasField("messages") else None,
        message.extra if message.HasField("extra") else None,
        message.errors if message.HasField("errors") else None,
    )


def _stored_part(part: Part) -> StoredPart:
    kind, key, shell = part.kind, part.key, part.shell
    if part.log:
        return logged_part(kind, key, part.log, part.length, part.digest, shell)
    return inline_part(kind, key, part.inline, shell)


def _in_manifest(body: bytes, shell: bytes) -> bytes:
    if shell:
        body += SHELL + varint(len(shell)) + shell
    return PART + varint(len(body)) + body


@lru_cache(maxsize=4096)
def _name(kind: "PartKind.ValueType", key: str) -> bytes:
    """The first two fields of a part."""
    return unsigned(Part.KIND_FIELD_NUMBER, kind) + (delimited(Part.KEY_FIELD_NUMBER, key.encode()) if key else b"")
