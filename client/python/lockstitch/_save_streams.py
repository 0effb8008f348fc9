"""All the streams of saves of a client."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lockstitch._channel import RetryPolicy
from lockstitch._stream_worker import StreamWorker
from lockstitch.v1.checkpoint_service_pb2 import SaveResponse

if TYPE_CHECKING:
    from lockstitch._save_stream import Call

STREAMS = 4
"""A message costs gRPC thread switches, which several streams share: one alone takes a third more work than four."""
AVOID_SECONDS = 300.0
"""How long no stream is tried after it has turned out that there are none."""


class SaveStreams:
    """Saves over a few streams, those of one session always over the same, in their order.

    open_stream, save_alone: how to make calls.
    hear: is called when a response comes.
    retry: how saves are repeated; None: not at all.
    """

    def __init__(
        self,
        open_stream: "Callable[[], Awaitable[Call]]",
        save_alone: Callable[[bytes, float], Awaitable[SaveResponse]],
        hear: Callable[[], None],
        retry: RetryPolicy | None,
    ) -> None:
        self.open_stream = open_stream
        self.save_alone = save_alone
        self.hear = hear
        self.streams_work = False
        self._avoid_until = 0.0
        self._save_streams = [StreamWorker(self, retry) for _ in range(STREAMS)]
        self._sessions: dict[str, int] = {}
        """How many saves of each session wait for their answers."""

    def has(self, session_id: str) -> bool:
        """Whether a save of this session is under way here."""
        return session_id in self._sessions

    def are_open(self) -> bool:
        """Whether saves may come."""
        return not self._avoid_until or asyncio.get_running_loop().time() > self._avoid_until

    async def save(self, request: bytes, session_id: str, seconds: float) -> SaveResponse:
        """The answer to a serialized SaveRequest. Raises LockstitchError, DeadlineExceeded at the timeout."""
        self._sessions[session_id] = self._sessions.get(session_id, 0) + 1
        try:
            return await self._save_streams[hash(session_id) % STREAMS].save(request, session_id, seconds)
        finally:
            self._sessions[session_id] -= 1
            if not self._sessions[session_id]:
                del self._sessions[session_id]

    def avoid_streams(self) -> None:
        """There are no streams here."""
        self._avoid_until = asyncio.get_running_loop().time() + AVOID_SECONDS

    def restart(self) -> None:
        """Give up all streams, and send what has no response over new ones."""
        for worker in self._save_streams:
            worker.restart()

    async def close(self) -> None:
        """Fail whatever waits with Cancelled."""
        await asyncio.gather(*(worker.close() for worker in self._save_streams))
