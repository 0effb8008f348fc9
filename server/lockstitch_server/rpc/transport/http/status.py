"""How a call ends."""

from dataclasses import dataclass

import grpc

from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.call_context import Metadata
from lockstitch_server.rpc.errors import DETAILS_KEY, AbortedCall, code_of, status_of


@dataclass(frozen=True, slots=True)
class CallStatus:
    """The end of a call. details: a serialized google.rpc.Status; empty where there is none."""

    code: grpc.StatusCode
    message: str = ""
    details: bytes = b""

    @property
    def number(self) -> int:
        """The code as gRPC has it on the wire."""
        return int(self.code.value[0])


OK = CallStatus(grpc.StatusCode.OK)


class CallAborted(AbortedCall):
    """What `abort` raises, as grpc.aio's does: handlers let it pass."""

    def __init__(self, status: CallStatus) -> None:
        super().__init__(status.code, status.message)
        self.status = status


def failed(failure: Failure) -> CallStatus:
    """The end of a call that has failed."""
    return CallStatus(code_of(failure), failure.message, status_of(failure).SerializeToString())


def aborted(code: grpc.StatusCode, message: str, metadata: Metadata) -> CallStatus:
    """The end of a call that a handler has aborted."""
    found = (value for name, value in metadata if name == DETAILS_KEY and isinstance(value, bytes))
    return CallStatus(code, message, next(found, b""))
