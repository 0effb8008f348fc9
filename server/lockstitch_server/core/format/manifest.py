"""The messages of `record.proto` as plain tuples, encoded by hand.

A save that continues the one before would spend half of its time to build, copy and serialize protobuf messages.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from lockstitch_server.core.wire.encode import VARINT, delimited, tag, unsigned, varint
from lockstitch_server.records.v1 import record_pb2 as pb

LOG = tag(pb.Part.LOG_FIELD_NUMBER, VARINT)
LENGTH = tag(pb.Part.LENGTH_FIELD_NUMBER, VARINT)
DIGEST, INLINE, SHELL = map(tag, (pb.Part.DIGEST_FIELD_NUMBER, pb.Part.INLINE_FIELD_NUMBER, pb.Part.SHELL_FIELD_NUMBER))
PART = tag(pb.Manifest.PARTS_FIELD_NUMBER)
MANIFEST = tag(pb.CheckpointRecord.MANIFEST_FIELD_NUMBER)


class ManifestPart(NamedTuple):
    """The fields of a Part, and its bytes in a serialized Manifest."""

    kind: "pb.PartKind.ValueType"
    key: str
    log: int
    """0: the bytes are in `inline`."""
    length: int
    digest: bytes
    inline: bytes
    shell: bytes
    wire: bytes

    def with_shell(self, shell: bytes) -> "ManifestPart":
        """The same bytes in another shell."""
        if shell == self.shell:
            return self
        if self.log:
            return logged_part(self.kind, self.key, self.log, self.length, self.digest, shell)
        return inline_part(self.kind, self.key, self.inline, shell)

    @property
    def size(self) -> int:
        """How many bytes the part adds to a state."""
        return len(self.key) + len(self.shell) + (self.length or len(self.inline))


class Skeleton(NamedTuple):
    """The fields of a Manifest without its parts; None where the state has no such channel."""

    shell: bytes
    messages: bytes | None
    extra: bytes | None
    errors: bytes | None


class Manifest(NamedTuple):
    """The skeleton and the parts of a checkpoint's state."""

    skeleton: Skeleton
    parts: Sequence[ManifestPart]

    @property
    def skeleton_size(self) -> int:
        """How many bytes the skeleton has."""
        shell, messages, extra, errors = self.skeleton
        return len(shell) + len(messages or b"") + len(extra or b"") + len(errors or b"")

    @property
    def state_size(self) -> int:
        """How many bytes the state has."""
        size = self.skeleton_size
        for part in self.parts:
            size += len(part.key) + len(part.shell) + (part.length or len(part.inline))
        return size


class Record(NamedTuple):
    """The fields of a CheckpointRecord."""

    header: bytes
    manifest: Manifest | None
    request_digest: bytes
    base_revision: int
    server_time: bool
    trace_id: bytes
    save_ids: bytes = b""
    """See `core.format.save_ids`."""


def inline_part(kind: "pb.PartKind.ValueType", key: str, data: bytes, shell: bytes) -> ManifestPart:
    """A part whose bytes are in the manifest."""
    body = _name(kind, key)
    if data:
        body += INLINE + varint(len(data)) + data
    return ManifestPart(kind, key, 0, 0, b"", data, shell, _in_manifest(body, shell))


def logged_part(
    kind: "pb.PartKind.ValueType", key: str, log: int, length: int, digest: bytes, shell: bytes
) -> ManifestPart:
    """A part whose bytes are in a log."""
    body = _name(kind, key) + LOG + varint(log) + LENGTH + varint(length)
    if digest:
        body += DIGEST + varint(len(digest)) + digest
    return ManifestPart(kind, key, log, length, digest, b"", shell, _in_manifest(body, shell))


def encode(record: Record) -> bytes:
    """The serialized CheckpointRecord."""
    header, manifest, request_digest, base_revision, server_time, trace_id, save_ids = record
    content = encode_manifest(manifest) if manifest is not None else b""
    return b"".join(
        (
            delimited(1, header) if header else b"",
            MANIFEST + varint(len(content)) if manifest is not None else b"",
            content,
            delimited(3, request_digest) if request_digest else b"",
            unsigned(4, base_revision),
            unsigned(5, server_time),
            delimited(6, trace_id) if trace_id else b"",
            delimited(7, save_ids) if save_ids else b"",
        )
    )


def decode(message: pb.CheckpointRecord) -> Record | None:
    """The record as tuples; None where its manifest has fields that this server does not know."""
    manifest = decode_manifest(message.manifest) if message.HasField("manifest") else None
    if manifest is not None and encode_manifest(manifest) != message.manifest.SerializeToString():
        return None
    return Record(
        message.header,
        manifest,
        message.request_digest,
        message.base_revision,
        message.server_time,
        message.trace_id,
        message.save_ids,
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """The serialized Manifest."""
    (shell, messages, extra, errors), parts = manifest
    return b"".join(
        (
            delimited(1, shell) if shell else b"",
            delimited(2, messages) if messages is not None else b"",
            delimited(3, extra) if extra is not None else b"",
            delimited(4, errors) if errors is not None else b"",
            *[part.wire for part in parts],
        )
    )


def decode_manifest(message: pb.Manifest) -> Manifest:
    """The manifest as tuples, without fields that this server does not know."""
    skeleton = Skeleton(
        message.shell,
        message.messages if message.HasField("messages") else None,
        message.extra if message.HasField("extra") else None,
        message.errors if message.HasField("errors") else None,
    )
    return Manifest(skeleton, [*map(_decode_part, message.parts)])


def _decode_part(part: pb.Part) -> ManifestPart:
    kind, key, shell = part.kind, part.key, part.shell
    if part.log:
        return logged_part(kind, key, part.log, part.length, part.digest, shell)
    return inline_part(kind, key, part.inline, shell)


def _in_manifest(body: bytes, shell: bytes) -> bytes:
    if shell:
        body += SHELL + varint(len(shell)) + shell
    return PART + varint(len(body)) + body


@lru_cache(maxsize=4096)
def _name(kind: "pb.PartKind.ValueType", key: str) -> bytes:
    """The first two fields of a part."""
    return unsigned(pb.Part.KIND_FIELD_NUMBER, kind) + (
        delimited(pb.Part.KEY_FIELD_NUMBER, key.encode()) if key else b""
    )
