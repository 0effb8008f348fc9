"""What a protocol does: reads messages, writes messages, ends the response."""

from typing import Protocol

from lockstitch_server.rpc.transport.http.status import CallStatus


class Wire(Protocol):
    """One request in one protocol. Messages that are read are protobuf, and may be packed with gzip."""

    async def read(self) -> bytes | None:
        """The next message; None at the end.

        Fails with TOO_LARGE, RATE_LIMITED, INVALID_FIELD, or as the call's end says.
        """
        ...

    async def write(self, message: bytes, *, last: bool) -> None:
        """Send a message, which is in the protocol's format; with `last`, the call has ended well with it."""
        ...

    async def end(self, status: CallStatus) -> None:
        """End the response, unless the last message has."""
        ...
