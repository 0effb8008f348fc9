"""Messages that clients have compressed with gzip, unpacked within bounds."""

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor

from lockstitch_server.core.errors import Failure, Reason

GZIP = b"\x1f\x8b"
"""How gzip begins. No protobuf message begins so: 0x1f is a tag of a wire type that does not exist."""
WITH_HEADER = 31
"""zlib's name for the format of gzip, with its largest window."""
INLINE_BYTES = 1024
"""Packed messages up to this size are unpacked at once, to 1 MiB at most. Longer ones go to a thread."""
THREADS = 2
"""How many messages are unpacked at once: they hold at most so many times the limit of memory."""


class Unpacker:
    """Unpacks messages up to a limit.

    most: bytes that a message may have, unpacked. named: the setting that says so.
    """

    def __init__(self, most: int, named: str) -> None:
        self._most = most
        self._named = named
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="lockstitch-unpack")

    async def unpack(self, data: bytes) -> bytes:
        """The message, which may not be packed at all. Fails with TOO_LARGE, INVALID_FIELD."""
        if not data.startswith(GZIP):
            return data
        if len(data) <= INLINE_BYTES:
            return unpack(data, self._most, self._named)
        return await asyncio.get_running_loop().run_in_executor(self._threads, unpack, data, self._most, self._named)


def unpack(data: bytes, most: int, named: str) -> bytes:
    """A message out of gzip. Fails with TOO_LARGE, INVALID_FIELD.

    most: bytes that it may have. named: the setting that says so.
    """
    unpacker = zlib.decompressobj(WITH_HEADER)
    try:
        message = unpacker.decompress(data, most + 1)
    except zlib.error as error:
        raise _broken() from error
    if len(message) > most:
        raise Failure(
            Reason.TOO_LARGE,
            f"request: has more than {most} bytes when unpacked; the limit is {most} bytes ({named})",
            field="request",
            limit=most,
        )
    if not unpacker.eof or unpacker.unused_data:
        raise _broken()
    return message


def _broken() -> Failure:
    return Failure(Reason.INVALID_FIELD, "request: is compressed, but not as gzip has it", field="request")
