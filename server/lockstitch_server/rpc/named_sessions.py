"""Which sessions a request is about, as data: where each method's request names them."""

from collections.abc import Callable, Mapping, Sequence

from google.protobuf.descriptor import Descriptor, MethodDescriptor

from lockstitch_server.core.wire_fields import at

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
}
"""By the method's name. None: a request is about all sessions of the tenant, as it is where it leaves them empty."""

LONGEST = 1024
"""Ids that are longer are nobody's; what is shown of them is cut."""


def finder(method: MethodDescriptor) -> Callable[[bytes | memoryview], list[str]]:
    """What finds the ids in a method's requests, without parsing the rest of them."""
    paths = [_numbers(method.input_type, place.split(".")) for place in PLACES[method.name]]

    def find(data: bytes | memoryview) -> list[str]:
        found = (field.data[:LONGEST] for path in paths for field in at(data, path))
        return [bytes(text).decode(errors="replace") for text in found]

    return find


def _numbers(message: Descriptor, names: Sequence[str]) -> list[int]:
    field = message.fields_by_name[names[0]]
    if len(names) == 1:
        return [field.number]
    assert field.message_type is not None
    return [field.number, *_numbers(field.message_type, names[1:])]
