"""Which sessions a request is about, as data: where each method's request names them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from lockstitch_server.rpc.projection import Projection

PLACES: Mapping[str, Sequence[str]] = {
    "Save": ("checkpoint.session_id",),
    "SaveStream": ("save.checkpoint.session_id",),  # of one item
    "SaveWrites": ("session_id",),
    "LoadLatest": ("session_id",),
    "Load": ("session_id",),
    "LoadLatestStream": ("requests.session_id",),
    "ListSessions": (),
    "ListCheckpoints": ("session_id",),
    "WalkAncestors": ("session_id",),
    "GetSession": ("session_id",),
    "UpdateSession": ("session_id",),
    "DeleteSessions": ("session_ids",),
    "DeleteCheckpoints": ("session_id",),
    "CopySession": ("source_session_id", "target_session_id"),
    "PruneSessions": ("session_ids",),
    "WatchSession": ("session_id",),
    "AcquireLease": ("session_id",),
    "RenewLease": ("session_id",),
    "ReleaseLease": ("session_id",),
    "BreakLease": ("session_id",),
}
"""By the method's name. None: a request is about all sessions of the tenant, as it is where it leaves them empty."""

SUBJECT: Mapping[str, Sequence[str]] = {
    "SaveRequest": ("checkpoint.namespace", "checkpoint.step", "delta"),
    "SaveStreamRequest": (),
}
"""Further fields of a request that logs and spans show, by its type. Others: their namespace."""

LONGEST = 1024
"""Ids that are longer are nobody's; what is shown of them is cut to this many characters."""


@cache
def subject_projection(method: MethodDescriptor) -> Projection:
    """Reads the fields of a method's requests that logs, spans and the audit log show."""
    message = method.input_type
    more = SUBJECT.get(message.name, ["namespace"] if "namespace" in message.fields_by_name else [])
    return Projection(message, (*PLACES[method.name], *more))


def sessions_of(method: MethodDescriptor, request: Message) -> list[str]:
    """The ids of the sessions that a request names, in its order."""
    return [text[:LONGEST] for place in PLACES[method.name] for text in _values(request, place.split("."))]


def _values(message: Any, names: Sequence[str]) -> Iterator[str]:
    """The texts at a path, without the empty ones."""
    first, *rest = names
    value = getattr(message, first)
    for one in [value] if isinstance(value, str | Message) else value:
        if rest:
            yield from _values(one, rest)
        elif one:
            yield str(one)
