"""Rules about a message as a whole. Each raises the violation of the message, or returns."""

from collections.abc import Mapping
from typing import Any

from lockstitch_server.config import Limits
from lockstitch_server.validation.explain import refuse_json
from lockstitch_server.validation.violation import Violation

MAX_CAUSES = 90
"""Causes below a WeaveError. Protobuf parsers read messages that are nested at most 100 deep."""


def causes(error: Any, limits: Limits) -> None:
    """A WeaveError has few enough causes for parsers, and the details of each are JSON text."""
    depth, cause = 0, error
    while cause.HasField("cause"):
        cause, depth = cause.cause, depth + 1
        try:
            if cause.details:
                refuse_json(cause.details)
        except Violation as violation:
            raise violation.under("details").under("cause") from None
    if depth > MAX_CAUSES:
        raise Violation(f"has {depth} causes; the limit is {MAX_CAUSES}: leave out the innermost", MAX_CAUSES)


def save(request: Any, limits: Limits) -> None:
    """A save has either a state or a delta on a base."""
    has_delta = request.HasField("delta")
    if has_delta and request.checkpoint.HasField("state"):
        raise Violation("is set together with checkpoint.state; send one of the two", path="delta")
    if has_delta and not request.base_checkpoint_id:
        raise Violation("is empty; name the checkpoint that delta starts from", path="base_checkpoint_id")
    if not has_delta and (request.base_checkpoint_id or request.base_revision):
        path = "base_checkpoint_id" if request.base_checkpoint_id else "base_revision"
        raise Violation("is set without delta; leave it out, or send a delta", path=path)


def expected_latest(value: Any, limits: Limits) -> None:
    """Only a checkpoint has a revision."""
    if value.revision and value.none:
        raise Violation("is set together with none; leave it out", path="revision")


def delta(value: Any, limits: Limits) -> None:
    """A delta does not both change and remove a part, and has few enough parts."""
    _disjoint(value.removed_custom, "removed_custom", value.custom, "custom")
    _disjoint(value.extra.remove, "extra.remove", value.extra.set, "extra.set")
    _parts(len(value.extra.set) + len(value.custom), limits)


def state(value: Any, limits: Limits) -> None:
    """A state has few enough parts."""
    _parts(len(value.extra.entries) + len(value.custom), limits)


def metadata(value: Any, limits: Limits) -> None:
    """Metadata entries are short together: the server parses their JSON to search by it."""
    _short_together(value.metadata, "metadata", limits)


def entries(value: Any, limits: Limits) -> None:
    """The same for the entries of a filter."""
    _short_together(value.entries, "entries", limits)


def list_checkpoints(request: Any, limits: Limits) -> None:
    """A checkpoint id is unique within a session only."""
    if request.before_checkpoint_id and not request.session_id:
        raise Violation("is set without session_id; set session_id too", path="before_checkpoint_id")


def update_session(request: Any, limits: Limits) -> None:
    """An update does not both set and remove the same thing."""
    _disjoint(request.remove_labels, "remove_labels", request.set_labels, "set_labels")
    for name in ("ttl", "retention"):
        if request.HasField(name) and getattr(request, f"clear_{name}"):
            raise Violation(f"is true while {name} is set; send one of the two", path=f"clear_{name}")


def delete_checkpoints(request: Any, limits: Limits) -> None:
    """A rewind is of one session."""
    if request.WhichOneof("which") == "after" and not request.session_id:
        raise Violation("is empty while after is set; name the session to rewind", path="session_id")


def copy_session(request: Any, limits: Limits) -> None:
    """A copy has a session id of its own."""
    if request.target_session_id == request.source_session_id:
        raise Violation("is the same as source_session_id; choose another id", path="target_session_id")


def _disjoint(removed: Any, removed_name: str, kept: Any, kept_name: str) -> None:
    for name in removed:
        if name in kept:
            raise Violation(f"names {name!r}, which {kept_name} names too; send it in one of them", path=removed_name)


def _short_together(texts: Mapping[str, str], path: str, limits: Limits) -> None:
    size = sum(len(name.encode()) + len(text.encode()) for name, text in texts.items()) if texts else 0
    most = limits.max_metadata_bytes
    if size > most:
        problem = f"has {size} bytes; the limit is {most} bytes (limits.max_metadata_bytes): send less"
        raise Violation(problem, most, path=path)


def _parts(count: int, limits: Limits) -> None:
    most = limits.max_parts
    if count > most:
        problem = f"has {count} extra entries and custom channels; the limit is {most} (limits.max_parts): send fewer"
        raise Violation(problem, most)
