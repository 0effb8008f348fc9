"""Messages that clients have compressed with gzip, unpacked within bounds."""

import zlib

from lockstitch_server.core.errors import Failure, Reason

GZIP = b"\x1f\x8b"
"""How gzip begins. No protobuf message begins so: 0x1f is a tag of a wire type that does not exist."""
WITH_HEADER = 31
"""zlib's name for the format of gzip, with its largest window."""
INLINE_BYTES = 240
"""Packed messages up to this size are unpacked at once, to 242 KiB at most, since gzip packs at most 1,032 bytes into
one. Those have few fields enough. Longer ones go to a thread."""


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
