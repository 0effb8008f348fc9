"""Rules about several fields of a message at once, and about texts that are JSON."""

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from lockstitch_server.config import Limits
from lockstitch_server.rpc.violation import Violation

MAX_CAUSES = 90
NANOS = 1_000_000_000
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
"""Seconds of the years 1 to 9999, which is what a Timestamp may hold."""
LONGEST_TOMBSTONE = 366 * 24 * 3600
LONGEST_TTL = 100 * 366 * 24 * 3600


CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def id_text(value: str, least: int, most: int) -> None:
    """Text of `least` to `most` bytes without control characters."""
    size = len(value) if value.isascii() else len(value.encode())
    if not least <= size <= most:
        raise Violation(f"must have {least} to {most} bytes; it has {size}", most)
    if not value.isprintable() and CONTROL.search(value):
        raise Violation("must hold no control characters")


def short_text(value: str, most: int) -> None:
    """Any text of at most `most` bytes."""
    size = len(value.encode())
    if size > most:
        raise Violation(f"must have at most {most} bytes; it has {size}", most)


def json_text(text: str) -> None:
    """JSON text, as RFC 8259 has it."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        # It refuses some texts that are JSON: escaped lone surrogates, numbers beyond a double's range.
        if not _is_json(text):
            raise Violation("must be JSON text, nested at most 1000 deep", json=True) from None


def causes(error: Any, limits: Limits) -> None:
    """A WeaveError whose causes are not too deep for parsers; their details are JSON text."""
    depth, cause = 0, error
    while cause.HasField("cause"):
        cause, depth = cause.cause, depth + 1
        try:
            json_text(cause.details or "null")
        except Violation as violation:
            raise violation.under("details").under("cause") from None
    if depth > MAX_CAUSES:
        raise Violation(f"has {depth} causes; the limit is {MAX_CAUSES}", MAX_CAUSES)


def timestamp(value: Any, limits: Limits) -> None:
    """A Timestamp that every language can hold."""
    if not (EARLIEST <= value.seconds <= LATEST and 0 <= value.nanos < NANOS):
        raise Violation("must be a time of the years 1 to 9999 with 0 to 999999999 nanos")


def ttl(value: Any, limits: Limits) -> None:
    """A Duration of a second to a hundred years."""
    if not (1 <= value.seconds <= LONGEST_TTL and 0 <= value.nanos < NANOS):
        raise Violation(f"must be 1 to {LONGEST_TTL} seconds", LONGEST_TTL)


def save(request: Any, limits: Limits) -> None:
    """Either a state or a delta on a base."""
    has_delta = request.HasField("delta")
    if has_delta and request.checkpoint.HasField("state"):
        raise Violation("must be absent where checkpoint.state is set; send one of the two", field="delta")
    if has_delta and not request.base_checkpoint_id:
        raise Violation("must name the checkpoint that delta starts from", field="base_checkpoint_id")
    if not has_delta and (request.base_checkpoint_id or request.base_revision):
        field = "base_checkpoint_id" if request.base_checkpoint_id else "base_revision"
        raise Violation("must be empty without delta", field=field)


def delta(value: Any, limits: Limits) -> None:
    """Nothing is both changed and removed, and there are not too many parts."""
    for name in value.removed_custom:
        if name in value.custom:
            raise Violation(f"names {name!r}, which is in custom too", field="removed_custom")
    for name in value.extra.remove:
        if name in value.extra.set:
            raise Violation(f"names {name!r}, which is in extra.set too", field="extra.remove")
    _parts(len(value.extra.set) + len(value.custom), limits)


def state(value: Any, limits: Limits) -> None:
    """There are not too many parts."""
    _parts(len(value.extra.entries) + len(value.custom), limits)


def metadata(value: Any, limits: Limits) -> None:
    """Metadata entries are short: their JSON is taken apart to be searched by."""
    _short(value.metadata, "metadata", limits)


def entries(value: Any, limits: Limits) -> None:
    """The same of a filter."""
    _short(value.entries, "entries", limits)


def expected(value: Any, limits: Limits) -> None:
    """`none` is true where it is chosen."""
    if value.WhichOneof("expected") == "none" and not value.none:
        raise Violation("must be true where it is set", field="none")


def page(request: Any, limits: Limits) -> None:
    """A page has no negative size."""
    if request.page_size < 0:
        raise Violation(f"must be 0 or more; it is {request.page_size}", 0, field="page_size")


def checkpoints(request: Any, limits: Limits) -> None:
    """Ids mean something within a session only."""
    page(request, limits)
    if request.before_checkpoint_id and not request.session_id:
        raise Violation("needs session_id", field="before_checkpoint_id")


def update_session(request: Any, limits: Limits) -> None:
    """Nothing is both set and taken away."""
    for name in request.remove_labels:
        if name in request.set_labels:
            raise Violation(f"names {name!r}, which is in set_labels too", field="remove_labels")
    for field in ("ttl", "retention"):
        if request.HasField(field) and getattr(request, f"clear_{field}"):
            raise Violation(f"must be false where {field} is set", field=f"clear_{field}")


def tombstone(request: Any, limits: Limits) -> None:
    """A tombstone of at most a leap year."""
    value = request.tombstone
    if not (0 <= value.seconds <= LONGEST_TOMBSTONE and 0 <= value.nanos < NANOS):
        raise Violation(f"must be 0 to {LONGEST_TOMBSTONE} seconds", LONGEST_TOMBSTONE, field="tombstone")


def delete_checkpoints(request: Any, limits: Limits) -> None:
    """A rewind is of one session."""
    if request.WhichOneof("which") == "after" and not request.session_id:
        raise Violation("must be set with after", field="session_id")


def copy_session(request: Any, limits: Limits) -> None:
    """A copy has a name of its own."""
    if request.target_session_id == request.source_session_id:
        raise Violation("must be another than source_session_id", field="target_session_id")


def heartbeat(request: Any, limits: Limits) -> None:
    """A second to an hour."""
    value = request.heartbeat
    if request.HasField("heartbeat") and not (1 <= value.seconds <= 3600 and 0 <= value.nanos < NANOS):
        raise Violation("must be 1 to 3600 seconds", 3600, field="heartbeat")


def lease_ttl(request: Any, limits: Limits) -> None:
    """Not longer than leases may last."""
    if request.HasField("ttl") and request.ttl.seconds > limits.max_lease_seconds:
        raise Violation(f"must be 1 to {limits.max_lease_seconds} seconds", limits.max_lease_seconds, field="ttl")


def lease_token(request: Any, limits: Limits) -> None:
    """Names a lease."""
    if not request.lease_token:
        raise Violation("must be set", field="lease_token")


def _short(texts: Mapping[str, str], field: str, limits: Limits) -> None:
    size = sum(len(name.encode()) + len(text.encode()) for name, text in texts.items()) if texts else 0
    most = limits.max_metadata_bytes
    if size > most:
        problem = f"has {size} bytes; the limit is {most} bytes (limits.max_metadata_bytes)"
        raise Violation(problem, most, field=field)


def _parts(count: int, limits: Limits) -> None:
    if count > limits.max_parts:
        problem = f"has {count} extra entries and custom channels; the limit is {limits.max_parts}"
        raise Violation(problem, limits.max_parts)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(name)
