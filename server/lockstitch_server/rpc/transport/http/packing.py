"""How requests may be packed: with gzip or not at all. `Preparation` unpacks messages, within bounds."""

from functools import lru_cache

import grpc

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.transport.http.status import CallAborted, CallStatus
from lockstitch_server.rpc.transport.unpacking import GZIP

PLAIN, PACKED = 0, 1
"""Flags of an envelope."""
ENCODINGS = b"identity,gzip"
IDENTITY = "identity"


class Packing:
    """The encoding that requests name. header: where they do."""

    __slots__ = ("_header", "_name")

    def __init__(self, header: str, name: str) -> None:
        self._header = header
        self._name = name

    def check(self, data: bytes, *, is_packed: bool) -> None:
        """Fails for a message that cannot be unpacked, and for all that a request sends in an unknown encoding."""
        if self._name not in (IDENTITY, "gzip"):
            raise _aborted(
                grpc.StatusCode.UNIMPLEMENTED, f"{self._header}: {self._name!r} is not supported: use gzip or identity"
            )
        if not is_packed or not data:  # nothing may be said to be packed
            return
        if self._name == IDENTITY:
            raise _aborted(
                grpc.StatusCode.INTERNAL,
                f"request: a message is marked as compressed, but {self._header} names no encoding: set it to gzip",
            )
        if not data.startswith(GZIP):
            raise Failure(Reason.INVALID_FIELD, "request: is compressed, but not as gzip has it", field="request")

    @property
    def is_named(self) -> bool:
        """Whether the whole body is packed, where a header says so for all of it."""
        return self._name != IDENTITY


@lru_cache(64)
def packing_of(header: str, value: bytes) -> Packing:
    """The encoding that the value of a header names; none where it is empty."""
    return Packing(header, value.decode("latin-1").strip().lower() or IDENTITY)


def _aborted(code: grpc.StatusCode, message: str) -> CallAborted:
    return CallAborted(CallStatus(code, message))
