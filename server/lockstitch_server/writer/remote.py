"""The process that saves, as seen from the one that serves."""

import asyncio
import itertools
import json
import os
import socket
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog

from lockstitch_server.config import Settings
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.saves import Asked
from lockstitch_server.startup import StartupError
from lockstitch_server.telemetry.stats import Sample
from lockstitch_server.writer.frames import (
    BROKEN,
    READY,
    SAMPLES,
    from_answer,
    from_batch,
    read_frame,
    to_answer,
    write,
    write_frame,
)

DIED = from_answer(Failure(Reason.STORE_UNAVAILABLE, "what saves here has died, and is being started anew"))
CLOSE_SECONDS = 2.0
PAUSE_SECONDS = 0.1

log = structlog.get_logger(__name__)


class Remote:
    """Has batches done by another process, in their order; starts it anew when it has died.

    There is never more than one: what has died has ended before the next one begins.

    A batch that it died over may be durable or not, like any save whose answer was lost.
    """

    def __init__(self, settings: Settings, worker: int = 0) -> None:
        # Migrated it is already, by the one who serves.
        theirs = settings.model_copy(update={"migrate": False}).model_dump()
        self._order: dict[str, Any] = {"worker": worker, "settings": theirs, "files": ""}
        self.samples: list[Sample] = []
        """What the process has counted, as it said last."""
        self._starting = asyncio.Lock()
        self._spawned: tuple[Process, StreamReader, StreamWriter] | None = None
        """One that has no store yet."""
        self._writer: StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        """Who waits for an answer, by the number of his batch."""
        self._numbers = itertools.count()
        self._closing = False

    async def spawn(self) -> None:
        """Start the process, which gets ready as far as it can without a store. Raises StartupError."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise _cannot_start(error) from error
        try:
            with theirs:
                process = await self._spawn(theirs)
        except OSError as error:
            ours.close()
            raise _cannot_start(error) from error
        self._spawned = (process, *await asyncio.open_connection(sock=ours))

    async def open(self, files: str = "") -> None:
        """Have it open the store, whose schema must be right by now. Raises StartupError.

        files: what `Store.files` says of the store of the one who serves; the process must meet the same ones, whenever
        it is started.
        """
        self._order["files"] = files
        await self._open()

    async def _open(self) -> None:
        assert self._spawned is not None
        (process, reader, writer), self._spawned = self._spawned, None
        assert process.stdin is not None
        with suppress(ConnectionError):  # it has ended already, as will be seen
            await write(process.stdin, json.dumps(self._order).encode() + b"\n")
        process.stdin.close()
        said = await read_frame(reader)
        if said != READY:
            writer.close()
            await _end(process)
            raise StartupError(said or "the process that saves ended before it could begin")
        self._writer = writer
        self._listener = asyncio.create_task(self._listen(reader, writer, process))
        log.debug("writer_ready", pid=process.pid)

    async def close(self) -> None:
        """Let it end, which it does when it has done its last batch; not for ever."""
        self._closing, writer = True, self._writer
        if self._spawned is not None:
            process, _, connection = self._spawned
            connection.close()
            assert process.stdin is not None
            process.stdin.close()
            await _end(process)
        if writer is not None:
            writer.close()
        if self._listener is not None:
            _, late = await asyncio.wait({self._listener}, timeout=CLOSE_SECONDS)
            if late and writer is not None:  # it hangs, and reads nothing of what has not gone out yet
                writer.transport.abort()
            await self._listener

    async def work(self, batch: Sequence[Asked]) -> Sequence[bytes | Failure]:
        """Have a batch done. Fails with STORE_UNAVAILABLE where the process dies over it, or cannot be started."""
        if self._writer is None:
            await self._restart()
        if self._writer is None:
            raise Failure(Reason.STORE_UNAVAILABLE, "what saves here has died again")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = next(self._numbers)
        self._waiting[number] = answer
        with suppress(ConnectionError):  # whose other end is heard of by the listener
            await write_frame(self._writer, (number, from_batch(batch)))
        return _answers(await answer)

    async def _listen(self, reader: StreamReader, writer: StreamWriter, process: Process) -> None:
        """Hand out answers until the process ends."""
        while (frame := await read_frame(reader)) is not None:
            number, answer = frame
            if number == SAMPLES:
                self.samples = answer
                continue
            self._waiting.pop(number).set_result(answer)
        self._writer = None
        writer.close()
        await _end(process)
        if not self._closing:
            log.error("writer_died", pid=process.pid, exit_code=process.returncode)
        while self._waiting:
            self._waiting.popitem()[1].set_result(DIED)

    async def _restart(self) -> None:
        async with self._starting:
            if self._writer is not None:
                return
            if self._listener is not None:
                await asyncio.wait({self._listener})
            try:
                await self.spawn()
                await self._open()
            except StartupError as error:
                log.warning("writer_cannot_start", reason=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
                raise Failure(Reason.STORE_UNAVAILABLE, "the database cannot be written now") from error

    async def _spawn(self, theirs: socket.socket) -> Process:
        """A fresh interpreter with this one's import path. Its settings come by a pipe: they may hold a password."""
        number = theirs.fileno()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "lockstitch_server.writer.process",
            str(number),
            stdin=PIPE,
            pass_fds=(number,),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        return process


def _cannot_start(error: OSError) -> StartupError:
    return StartupError(f"cannot start the process that saves: {error.strerror}")


async def _end(process: Process) -> None:
    """Wait for its end; not for ever."""
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), CLOSE_SECONDS)
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ends just now
            process.kill()
        await process.wait()


def _answers(frame: Any) -> Sequence[bytes | Failure]:
    if frame == BROKEN:
        raise RuntimeError("a batch broke the process that saves")
    if isinstance(frame, tuple):
        failure = to_answer(frame)
        assert isinstance(failure, Failure)
        raise failure
    return [to_answer(answer) for answer in frame]
