"""The store's times, in ns since 1970, as the contract's messages."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(ns: int) -> Timestamp:
    """A moment. ns: since 1970."""
    moment = Timestamp()
    moment.FromNanoseconds(ns)
    return moment


def duration(ns: int) -> Duration:
    """A length of time."""
    length = Duration()
    length.FromNanoseconds(ns)
    return length
