"""Bounds the time that a message takes to arrive, and the memory it takes meanwhile."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import grpc

from lockstitch_server.rpc.transport.http.status import CallAborted, CallStatus
from lockstitch_server.rpc.transport.prompt import until
from lockstitch_server.rpc.transport.request_memory import HeldRequest


@dataclass(frozen=True, slots=True)
class Pace:
    """The time for a message: `seconds`, and one second more for each `bytes_per_second` bytes that have arrived.

    No part of it may take longer than `seconds`.
    """

    seconds: float
    bytes_per_second: int


class Chunks(Protocol):
    """Where the bytes of a body come from."""

    @property
    def ended(self) -> bool:
        """Whether there are no more bytes."""
        ...

    async def chunk(self) -> bytes | None:
        """The next bytes, which may be none; None at the end."""
        ...


class Arrival:
    """Reads the chunks of a body. From `start` to `stop`, they must arrive in time; otherwise the call is aborted.

    held: what the call holds of the memory for requests.
    """

    def __init__(self, body: Chunks, pace: Pace, held: HeldRequest) -> None:
        self.held = held
        self._body = body
        self._pace = pace
        self._due: float | None = None

    @property
    def ended(self) -> bool:
        """Whether there are no more bytes."""
        return self._body.ended

    def start(self) -> None:
        """A message is expected from now on."""
        if self._due is None:
            self._due = _now() + self._pace.seconds

    def stop(self) -> None:
        """The message is complete."""
        self._due = None

    async def chunk(self) -> bytes | None:
        """The next bytes, which may be none; None at the end."""
        if self._due is None:
            return await self._body.chunk()
        try:
            part = await until(min(self._due, _now() + self._pace.seconds), self._body.chunk())
        except TimeoutError as error:
            raise CallAborted(self._too_slow()) from error
        self._due += len(part or b"") / self._pace.bytes_per_second
        return part

    def _too_slow(self) -> CallStatus:
        return CallStatus(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"request: it did not arrive within {self._pace.seconds:g} s (http.body_seconds) and one second more for "
            f"every {self._pace.bytes_per_second} bytes (http.body_bytes_per_second), or a part of it took "
            f"{self._pace.seconds:g} s; send it faster",
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
