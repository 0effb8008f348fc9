"""From what is handy in Python to what the contract's messages hold."""

from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch._types import NONE, NoCheckpoint, Retention
from lockstitch._values import node
from lockstitch.v1.checkpoint_pb2 import NodeKind
from lockstitch.v1.checkpoint_service_pb2 import ExpectedLatest
from lockstitch.v1.session_service_pb2 import RetentionPolicy


def to_duration(ttl: timedelta | float | None) -> Duration | None:
    """A span of time; a number means seconds."""
    if ttl is None:
        return None
    result = Duration()
    result.FromTimedelta(ttl if isinstance(ttl, timedelta) else timedelta(seconds=ttl))
    return result


def to_retention(retention: Retention | None) -> RetentionPolicy | None:
    """Which checkpoints stay."""
    if retention is None:
        return None
    return RetentionPolicy(keep_last=retention.keep_last, max_age=to_duration(retention.max_age))


def to_timestamp(when: datetime | Timestamp | None) -> Timestamp | None:
    """A point in time. Raises ValueError for a datetime without a time zone."""
    if when is None or isinstance(when, Timestamp):
        return when
    if when.tzinfo is None:
        raise ValueError("a datetime without a time zone can mean many moments: give it one, such as datetime.UTC")
    result = Timestamp()
    result.FromDatetime(when)
    return result


def to_node(value: NodeKind | str | None) -> NodeKind | None:
    """A node; a string is the name of a user's node."""
    return node(value) if isinstance(value, str) else value


def to_expected_latest(value: str | int | NoCheckpoint | None, revision: int = 0) -> ExpectedLatest | None:
    """A condition on the latest checkpoint: its id or its step, and its revision (0: any), or that there is none.

    None: no condition.
    """
    if value is None and not revision:
        return None
    if value is None:
        raise TypeError("expected_revision is given without expected_latest: name the checkpoint, too")
    if value is NONE:
        return ExpectedLatest(none=True, revision=revision)
    if isinstance(value, str):
        return ExpectedLatest(checkpoint_id=value, revision=revision)
    if isinstance(value, bool):
        raise TypeError("expected_latest is a checkpoint_id, a step or lockstitch.NONE, not a bool")
    return ExpectedLatest(step=value, revision=revision)
