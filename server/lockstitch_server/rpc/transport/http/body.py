"""The body of a request, read as it comes and only when it is asked for, within bounds of time and memory."""

import asyncio
import binascii
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.requests import too_large
from lockstitch_server.rpc.transport.http.asgi_types import Event, Receive
from lockstitch_server.rpc.transport.http.client import Client
from lockstitch_server.rpc.transport.http.slices import SLICE_BYTES
from lockstitch_server.rpc.transport.http.status import CallAborted, CallStatus
from lockstitch_server.rpc.transport.prompt import until
from lockstitch_server.rpc.transport.request_memory import HeldRequest

PREFIX_BYTES = 5
"""Before each message: a byte of flags, and the length in four."""
SEGMENT = re.compile(rb"[^=]+={0,2}")
"""Text of base64 up to its padding, which may stand at the end of every part."""


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """Bytes that a message may have.

    named: the setting that says so. value: of the setting; 0: `bytes`. More is read where errors can say more then.
    """

    bytes: int
    named: str
    value: int = 0

    def check(self, size: int) -> None:
        """Fails with TOO_LARGE."""
        if size > self.bytes:
            raise too_large(size, self.value or self.bytes, self.named)


@dataclass(frozen=True, slots=True)
class Pace:
    """The time for a message: `seconds`, and one second more for each `bytes_per_second` bytes that have arrived.

    No part of it may take longer than `seconds`.
    """

    seconds: float
    bytes_per_second: int


class Body:
    """The bytes of a request. From `start` to `stop`, they must arrive in time; otherwise the call is aborted.

    client: who sends them. held: what the call holds of the memory for requests. now: the event loop's clock.
    """

    __slots__ = ("_due", "_now", "_pace", "_receive", "client", "ended", "held")

    def __init__(
        self, receive: Receive, client: Client, pace: Pace, held: HeldRequest, now: Callable[[], float]
    ) -> None:
        self._receive = receive
        self.client = client
        self._pace = pace
        self._now = now
        self._due: float | None = None
        self.held = held
        self.ended = False
        """Whether there are no more bytes."""

    def start(self) -> None:
        """A message is expected from now on."""
        if self._due is None:
            self._due = self._now() + self._pace.seconds

    def stop(self) -> None:
        """The message is complete."""
        self._due = None

    def close(self) -> None:
        """The call has ended."""
        self.held.release()
        self.client.close()

    async def chunk(self) -> bytes | None:
        """The next bytes, which may be none; None at the end."""
        if self.ended:
            return None
        event = await until(self._deadline(), self._receive(), self._too_slow)
        if event["type"] == "http.disconnect":
            self.client.leave()
            await asyncio.get_running_loop().create_future()  # until the call is cancelled
        data: bytes = event.get("body", b"")
        if self._due is not None:
            self._due += len(data) / self._pace.bytes_per_second
        if not event.get("more_body", False):
            self.ended = True
            self.client.watch(self._receive)
        return data

    def _deadline(self) -> float | None:
        """When the next bytes must be there; None: at any time."""
        return None if self._due is None else min(self._due, self._now() + self._pace.seconds)

    def _too_slow(self) -> CallAborted:
        text = (
            f"request: it did not arrive within {self._pace.seconds:g} s (http.body_seconds) and one second more for "
            f"every {self._pace.bytes_per_second} bytes (http.body_bytes_per_second), or a part of it took "
            f"{self._pace.seconds:g} s; send it faster"
        )
        return CallAborted(CallStatus(grpc.StatusCode.DEADLINE_EXCEEDED, text))


async def whole(body: Body, limit: SizeLimit) -> bytes:
    """All bytes of a body, which the call holds then. Fails with TOO_LARGE, RATE_LIMITED."""
    body.start()
    first = await body.chunk() or b""
    limit.check(len(first))
    if body.ended:
        body.held.hold(len(first))
        return first
    # Parts in a list would take many times their size if they have a byte each.
    data = bytearray(first)
    while (part := await body.chunk()) is not None:
        data += part
        limit.check(len(data))
        body.held.hold(len(data))
    return bytes(data)


def from_base64(receive: Receive) -> Receive:
    """`receive` of a body in base64, decoded. Each of its parts may end with padding."""
    rest = b""

    async def receiving() -> Event:
        nonlocal rest
        event = await receive()
        if event["type"] != "http.request":
            return event
        text = rest + event.get("body", b"")
        usable = len(text) - len(text) % 4
        rest = text[usable:]
        if rest and not event.get("more_body", False):
            raise _broken("its base64 is cut off")
        try:
            parts = [binascii.a2b_base64(each, strict_mode=True) for each in SEGMENT.findall(text[:usable])]
        except binascii.Error as error:
            raise _broken("it is not base64") from error
        return {**event, "body": b"".join(parts)}

    return receiving


class Envelopes:
    """The messages of a body, each with flags and a length before it.

    may_pause: whether messages may be far apart. One that has begun must arrive in time in any case.
    """

    def __init__(self, body: Body, limit: SizeLimit, *, may_pause: bool) -> None:
        self._body = body
        self._limit = limit
        self._may_pause = may_pause
        self._buffer = bytearray()

    @property
    def ended(self) -> bool:
        """Whether there are no more messages."""
        return self._body.ended and not self._buffer

    async def next(self) -> tuple[int, bytes] | None:
        """The flags and the bytes of the next message, which the call holds then; None at the end.

        Fails with TOO_LARGE, RATE_LIMITED, INVALID_FIELD.
        """
        buffer = self._buffer
        if buffer or not self._may_pause:
            self._body.start()
        if len(buffer) < PREFIX_BYTES and not await self._fill(PREFIX_BYTES):
            if buffer:
                raise _broken("it ends within the prefix of a message")
            return None
        flags, size = struct.unpack_from(">BI", buffer)
        self._limit.check(size)
        end = PREFIX_BYTES + size
        if len(buffer) < end and not await self._fill(end):
            raise _broken(f"it ends after {len(buffer) - PREFIX_BYTES} of the {size} bytes of a message")
        with memoryview(buffer) as view:
            message = bytes(view[PREFIX_BYTES:end])
        del buffer[:end]
        self._body.stop()
        self._body.held.hold(size)
        return flags, message

    async def next_flags(self) -> int | None:
        """The flags of the next message, which is not read; None at the end."""
        self._body.start()
        return self._buffer[0] if await self._fill(1) else None

    async def _fill(self, size: int) -> bool:
        """Read until at least `size` bytes are there. False: the body has fewer."""
        while len(self._buffer) < size:
            part = await self._body.chunk()
            if part is None:
                return False
            self._buffer += part
            if self._buffer:
                self._body.start()
                self._body.held.hold(len(self._buffer))
        return True


def envelope(flags: int, message: bytes) -> bytes:
    """A message with its prefix."""
    return struct.pack(">BI", flags, len(message)) + message


def enveloped(message: bytes | None, after: bytes = b"", *, last: bool) -> list[Event]:
    """A message with its prefix, if there is one, and what comes after it. Long messages are not copied.

    last: whether they end the body.
    """
    if message is None:
        return [body_part(after, last=last)]
    if len(message) <= SLICE_BYTES:
        return [body_part(envelope(0, message) + after, last=last)]
    prefix = struct.pack(">BI", 0, len(message))
    parts = [prefix, message, after] if after else [prefix, message]
    return [*(body_part(part, last=False) for part in parts[:-1]), body_part(parts[-1], last=last)]


def body_part(data: bytes, *, last: bool) -> Event:
    """A part of the body of a response."""
    return {"type": "http.response.body", "body": data, "more_body": not last}


def _broken(why: str) -> Failure:
    return Failure(Reason.INVALID_FIELD, f"request: the body cannot be read: {why}", field="request")
