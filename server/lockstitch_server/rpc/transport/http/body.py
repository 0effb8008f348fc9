"""The body of a request, read as it comes and only when it is asked for."""

import asyncio
import binascii
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.requests import too_large
from lockstitch_server.rpc.transport.http.arrival import Arrival, Chunks
from lockstitch_server.rpc.transport.http.asgi_types import Receive, Send
from lockstitch_server.rpc.transport.http.slices import SLICE_BYTES

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


class Body:
    """The bytes of a request.

    leave: called when the client is gone; it cancels the call. watches_client: whether to wait for that after the body.
    """

    __slots__ = ("_leave", "_receive", "_watching", "ended", "watches_client")

    def __init__(self, receive: Receive, leave: Callable[[], None]) -> None:
        self._receive = receive
        self._leave = leave
        self._watching: asyncio.Task[None] | None = None
        self.watches_client = False
        self.ended = False

    async def chunk(self) -> bytes | None:
        if self.ended:
            return None
        event = await self._receive()
        if event["type"] == "http.disconnect":
            self._leave()
            await asyncio.get_running_loop().create_future()  # until the call is cancelled
        if not event.get("more_body", False):
            self.ended = True
            if self.watches_client:
                self._watching = asyncio.create_task(self._watch())
        data: bytes = event.get("body", b"")
        return data

    def close(self) -> None:
        """The call has ended."""
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()


async def whole(body: Arrival, limit: SizeLimit) -> bytes:
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


class Base64Body:
    """A body in base64, decoded. Each of its parts may end with padding."""

    def __init__(self, body: Chunks) -> None:
        self._body = body
        self._rest = b""

    @property
    def ended(self) -> bool:
        return self._body.ended and not self._rest

    async def chunk(self) -> bytes | None:
        part = await self._body.chunk()
        if part is None:
            if self._rest:
                raise _broken("its base64 is cut off")
            return None
        text = self._rest + part
        usable = len(text) - len(text) % 4
        self._rest = text[usable:]
        try:
            return b"".join(binascii.a2b_base64(each, strict_mode=True) for each in SEGMENT.findall(text[:usable]))
        except binascii.Error as error:
            raise _broken("it is not base64") from error


class Envelopes:
    """The messages of a body, each with flags and a length before it.

    may_pause: whether messages may be far apart. One that has begun must arrive in time in any case.
    """

    def __init__(self, body: Arrival, limit: SizeLimit, *, may_pause: bool) -> None:
        self._body = body
        self._limit = limit
        self._may_pause = may_pause
        self._buffer = bytearray()

    async def next(self) -> tuple[int, bytes] | None:
        """The flags and the bytes of the next message, which the call holds then; None at the end.

        Fails with TOO_LARGE, RATE_LIMITED, INVALID_FIELD.
        """
        if self._buffer or not self._may_pause:
            self._body.start()
        if not await self._fill(PREFIX_BYTES):
            if self._buffer:
                raise _broken("it ends within the prefix of a message")
            return None
        flags, size = struct.unpack_from(">BI", self._buffer)
        self._limit.check(size)
        end = PREFIX_BYTES + size
        if not await self._fill(end):
            raise _broken(f"it ends after {len(self._buffer) - PREFIX_BYTES} of the {size} bytes of a message")
        with memoryview(self._buffer) as view:
            message = bytes(view[PREFIX_BYTES:end])
        del self._buffer[:end]
        self._body.stop()
        self._body.held.hold(size)
        return flags, message

    async def next_flags(self) -> int | None:
        """The flags of the next message, which is not read; None at the end."""
        if self._body.ended and not self._buffer:
            return None
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


async def send_enveloped(send: Send, message: bytes, after: bytes = b"", *, last: bool) -> None:
    """Send a message with its prefix, and what comes after it. Long messages are not copied. last: it ends the body."""
    if len(message) <= SLICE_BYTES:
        await send({"type": "http.response.body", "body": envelope(0, message) + after, "more_body": not last})
        return
    prefix = struct.pack(">BI", 0, len(message))
    await send({"type": "http.response.body", "body": prefix, "more_body": True})
    await send({"type": "http.response.body", "body": message, "more_body": not last or bool(after)})
    if after:
        await send({"type": "http.response.body", "body": after, "more_body": not last})


def _broken(why: str) -> Failure:
    return Failure(Reason.INVALID_FIELD, f"request: the body cannot be read: {why}", field="request")
