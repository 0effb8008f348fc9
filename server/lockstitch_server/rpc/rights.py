"""Which right each method needs, as data."""

from collections.abc import Mapping
from functools import cache

from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.auth import Right

CHECKPOINTS = "lockstitch.v1.CheckpointService"
SESSIONS = "lockstitch.v1.SessionService"

RIGHTS: Mapping[str, Right] = {
    # What a runner does: it goes on from what is there, and adds to it.
    f"{CHECKPOINTS}.Save": Right.WRITE,
    f"{CHECKPOINTS}.SaveStream": Right.WRITE,
    f"{CHECKPOINTS}.SaveWrites": Right.WRITE,
    f"{SESSIONS}.UpdateSession": Right.WRITE,
    f"{SESSIONS}.CopySession": Right.WRITE,
    f"{SESSIONS}.AcquireLease": Right.WRITE,
    f"{SESSIONS}.RenewLease": Right.WRITE,
    f"{SESSIONS}.ReleaseLease": Right.WRITE,
    # What shows something and changes nothing.
    f"{CHECKPOINTS}.LoadLatest": Right.READ,
    f"{CHECKPOINTS}.Load": Right.READ,
    f"{CHECKPOINTS}.LoadLatestStream": Right.READ,
    f"{CHECKPOINTS}.ListSessions": Right.READ,
    f"{CHECKPOINTS}.ListCheckpoints": Right.READ,
    f"{CHECKPOINTS}.WalkAncestors": Right.READ,
    f"{SESSIONS}.GetSession": Right.READ,
    f"{SESSIONS}.WatchSession": Right.READ,
    # What takes away for good, many at a time, or from others.
    f"{SESSIONS}.DeleteSessions": Right.ADMIN,
    f"{SESSIONS}.DeleteCheckpoints": Right.ADMIN,
    f"{SESSIONS}.PruneSessions": Right.ADMIN,
    f"{SESSIONS}.BreakLease": Right.ADMIN,
}
"""By the method's full name. A method that is not here cannot be served."""


@cache
def right_of(method: MethodDescriptor) -> Right:
    """The right that a caller of a method needs."""
    return RIGHTS[method.full_name]
