"""Opaque values, decoded where that can be done."""

from lockstitch.inspect import Encoding, decode, to_json
from lockstitch.v1.checkpoint_pb2 import TypedBlob
from lockstitch_server.cli import format, pretty
from lockstitch_server.cli.exact_json import JsonText
from lockstitch_server.cli.output import printable

MAX_BYTES = 16 * 1024 * 1024
"""Larger values are not decoded."""


def brief(blob: TypedBlob, full: bool) -> str:
    """A value on one line."""
    found = decode(blob, max_bytes=MAX_BYTES)
    if found.encoding is Encoding.BYTES:
        return described(blob, found.problem)
    return format.line(found.value, full) if found.encoding is Encoding.TEXT else pretty.line(found.value, full)


def block(blob: TypedBlob, full: bool) -> str:
    """A value over several lines."""
    found = decode(blob, max_bytes=MAX_BYTES)
    if found.encoding is Encoding.BYTES:
        return described(blob, found.problem)
    if found.encoding is Encoding.JSON:
        return pretty.json_text(blob.data.decode(), full)
    return pretty.block(found.value, full)


def as_json(blob: TypedBlob) -> JsonText | None:
    """A value as JSON; None: it cannot be decoded."""
    found = decode(blob, max_bytes=MAX_BYTES)
    return None if found.encoding is Encoding.BYTES else JsonText(to_json(found.value))


def described(blob: TypedBlob, problem: str = "") -> str:
    """What can be said of a value without decoding it, and why it is not decoded."""
    note = f" ({printable(problem)})" if problem else ""
    return f"{printable(blob.type) or 'untyped'}, {format.size(len(blob.data))}{note}"
