"""One SaveStream call, from its beginning to its end."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from lockstitch._errors import Internal, from_rpc_error
from lockstitch._item import message_of
from lockstitch._outbox import Outbox
from lockstitch.v1.checkpoint_service_pb2 import SaveStreamResponse

if TYPE_CHECKING:
    Call = aio.StreamStreamCall[bytes, bytes]

IDLE_SECONDS = 5.0
"""A stream that nobody uses is closed after this time, or twice this time at most."""
STREAM_SECONDS = 300.0
"""How long a stream is used, so that clients that run for long spread over the servers that there are by then."""
BATCH_SAVES = 64
BATCH_BYTES = 256 * 1024
"""What goes in one message at most, unless a single save is larger."""


class SaveStream:
    """Sends what the outbox gives, and hands the answers on as they come: one or more at a time.

    `answered` is also how one knows that streams work.
    """

    def __init__(self, call: "Call", outbox: Outbox, answered: Callable[[Sequence[SaveStreamResponse]], None]) -> None:
        self._call = call
        self._outbox = outbox
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + STREAM_SECONDS
        self._more = self._loop.create_future()
        self._most = 1  # saves in a message: until the server has said that it takes batches
        self._used = False
        self._closing = False
        self._dropped = False
        self._heard = self._loop.time()

    @property
    def silence(self) -> float:
        """Seconds since the last response, or since the beginning."""
        return self._loop.time() - self._heard

    async def run(self) -> None:
        """Return when the call has ended without an error. Raises LockstitchError when it has failed."""
        writing = self._loop.create_task(self._write(), name="lockstitch: write saves")
        watch = self._loop.create_task(self._watch(), name="lockstitch: close idle streams")
        try:
            await self._read()
        finally:
            self._call.cancel()
            writing.cancel()
            watch.cancel()
            await asyncio.wait([writing, watch])

    def wake(self) -> None:
        """There is something in the outbox."""
        if not self._more.done():
            self._more.set_result(None)

    def finish(self) -> None:
        """Have the call end as soon as what has been sent is answered; send nothing more."""
        self._closing = True
        self.wake()

    def drop(self) -> None:
        """End the call at once, as if it had ended without an error."""
        self._dropped = True
        self._call.cancel()

    async def _read(self) -> None:
        try:
            while isinstance(data := await self._call.read(), bytes):
                self._hand_on(SaveStreamResponse.FromString(data))
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None
        except DecodeError as error:
            raise Internal("an answer that is none", code=grpc.StatusCode.INTERNAL) from error
        except asyncio.CancelledError:
            if not self._dropped:
                raise

    def _hand_on(self, answer: SaveStreamResponse) -> None:
        self._heard = self._loop.time()
        if answer.takes_batches:
            self._most = BATCH_SAVES
        self._answered(answer.batch or (answer,))

    async def _write(self) -> None:
        try:
            while not self._closing:
                items = self._outbox.take(self._most, BATCH_BYTES)
                if not items:
                    self._more, self._used = self._loop.create_future(), True
                    await self._more
                else:
                    await self._call.write(message_of(items))
            await self._call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the call has ended; reading raises its error

    async def _watch(self) -> None:
        """Have the call end when it is idle or old."""
        idle = False
        while not idle and self._loop.time() <= self._until:
            self._used = False
            await asyncio.sleep(IDLE_SECONDS)
            idle = not self._used and not self._outbox.waiting
        self.finish()
