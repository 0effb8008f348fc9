"""What goes between the two processes: batches of requests one way, their answers the other way, each with its number.

A frame is its length, 8 bytes, and a value in Python's own `marshal` format: both ends are the same program.
"""

import marshal
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Sequence
from typing import Any

from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.saves import Asked

LENGTH_BYTES = 8
READY = "ready"
"""The first answer: batches may come. Any other text says why not."""
SAMPLES = -1
"""In place of a batch's number: what the process has counted so far."""
BROKEN = "broken"
"""The answer to a batch that broke the program."""


async def read_frame(reader: StreamReader) -> Any:
    """The next frame, which is not None; None at the end, which may come within one."""
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
        return marshal.loads(await reader.readexactly(length))  # noqa: S302 - the other end is this program
    except (IncompleteReadError, ConnectionError):
        return None


async def write_frame(writer: StreamWriter, value: Any) -> None:
    """Raises ConnectionError."""
    data = marshal.dumps(value)
    await write(writer, len(data).to_bytes(LENGTH_BYTES, "big"), data)


async def write(writer: StreamWriter, *data: bytes) -> None:
    """Raises ConnectionError, also where the connection is known to be lost, for which uvloop has another error."""
    if writer.is_closing():
        raise ConnectionResetError("the other end has gone")
    writer.writelines(data)
    await writer.drain()


def from_batch(batch: Sequence[Asked]) -> list[tuple[int, str, bytes, bytes, int, int]]:
    """A batch as a frame."""
    return [(int(asked.kind), *asked[1:]) for asked in batch]


def to_batch(frame: Any) -> list[Asked]:
    """A frame as a batch."""
    return [Asked(*asked) for asked in frame]


def from_answer(answer: bytes | Failure) -> Any:
    """An answer, or a failure of all, as a part of a frame."""
    if isinstance(answer, Failure):
        return (answer.reason.value, answer.message, answer.retry_after, dict(answer.metadata))
    return answer


def to_answer(part: Any) -> bytes | Failure:
    """A part of a frame as an answer."""
    if isinstance(part, bytes):
        return part
    reason, message, retry_after, metadata = part
    return Failure(Reason(reason), message, **metadata).after(retry_after)
