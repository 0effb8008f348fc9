"""Keeps one worker process running, and replaces it when it ends."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Any

import structlog

from lockstitch_server.config import Settings
from lockstitch_server.runtime.metrics_report import SAMPLES, from_line
from lockstitch_server.telemetry.stats import Source

READY = "ready"
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
MOST_LINE = 2**22
"""The longest line that a worker sends, in bytes."""
LONG_LIFE = 10.0
"""A worker that has served for this time, in seconds, is replaced after the shortest pause again."""

log = structlog.get_logger(__name__)


class Worker:
    """Keeps a process running until `stopping` is done, then lets it drain.

    timeout: how long it may drain, in seconds, before it is killed.
    """

    def __init__(self, number: int, settings: Settings, stopping: "asyncio.Future[None]", timeout: float) -> None:
        self.first_start: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """What the first process has reported: READY, or why it cannot start."""
        self.ready = asyncio.Event()
        """Set when a process serves for the first time."""
        self._number = number
        self._order = json.dumps({"worker": number, "settings": settings.model_dump()}).encode() + b"\n"
        self._stopping = stopping
        self._timeout = timeout
        self._process: Process | None = None
        self.source: Source | None = None
        """The last samples that its process has sent."""

    async def keep(self) -> None:
        """Run one process after another, until stopping."""
        pause = FIRST_PAUSE
        while not self._stopping.done():
            if await self._run() >= LONG_LIFE:
                pause = FIRST_PAUSE
            if not self._stopping.done():
                log.warning("worker_restarts", worker=self._number, pause_seconds=pause)
                await asyncio.wait({self._stopping}, timeout=pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def kill(self) -> None:
        """Kill the process."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _run(self) -> float:
        """Run one process until it ends. Returns how long it has served, in seconds."""
        try:
            process = self._process = await _start(self._order)
        except OSError as error:
            self._report_start(None, f"cannot start a worker: {error.strerror}")
            return 0.0
        said = await self._first_line(process)
        self._report_start(process, said)
        began = time.monotonic()
        listening = asyncio.create_task(self._listen(process))
        await self._ended(process)
        listening.cancel()
        self._report_end(process)
        return time.monotonic() - began if said == READY else 0.0

    async def _first_line(self, process: Process) -> str:
        """READY, or why the process cannot start."""
        assert process.stdout is not None
        line = asyncio.ensure_future(process.stdout.readline())
        # When the server stops, the process is stopped at once, started or not.
        await first_of(line, self._stopping)
        if self._stopping.done():
            line.cancel()
            return ""
        while (await line).startswith(SAMPLES.encode()):  # which may come before it is ready
            line = asyncio.ensure_future(process.stdout.readline())
        return (await line).decode().strip() or f"worker {self._number} ended before it could serve"

    async def _listen(self, process: Process) -> None:
        """Take its samples."""
        assert process.stdout is not None
        async for line in process.stdout:
            if line.startswith(SAMPLES.encode()):
                self.source = from_line(line.decode())

    async def _ended(self, process: Process) -> None:
        """Wait until the process ends. When the server stops, stop it."""
        ended = asyncio.ensure_future(process.wait())
        await first_of(ended, self._stopping)
        if not ended.done():
            _stop(process)
            await asyncio.wait({ended}, timeout=self._timeout)
        if not ended.done():
            log.error("worker_killed", worker=self._number, pid=process.pid, timeout_seconds=self._timeout)
            process.kill()
        await ended

    def _report_start(self, process: Process | None, said: str) -> None:
        pid = process.pid if process else None
        if said == READY:
            log.info("worker_ready", worker=self._number, pid=pid)
            self.ready.set()
        elif said:
            log.error("worker_cannot_start", worker=self._number, pid=pid, reason=said)
        if not self.first_start.done():
            self.first_start.set_result(said)

    def _report_end(self, process: Process) -> None:
        tell = log.debug if self._stopping.done() else log.warning
        tell("worker_ended", worker=self._number, pid=process.pid, **_how_it_ended(process.returncode))


async def _start(order: bytes) -> Process:
    """Start an interpreter with this one's import path. A pipe brings its settings, which may hold a password."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = ("-P", "-m", "lockstitch_server.runtime.workers.worker")
    # Ctrl-C reaches all processes of the terminal. Only the supervisor may act on it, and stop the workers.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdin=PIPE, stdout=PIPE, env=environment, limit=MOST_LINE
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    assert process.stdin is not None
    with suppress(ConnectionError):  # it has ended already, which the caller notices
        process.stdin.write(order)
        await process.stdin.drain()
    return process


async def first_of(*futures: "asyncio.Future[Any]") -> None:
    """Wait until one of them is done."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _stop(process: Process) -> None:
    """Stop a worker by ending its standard input, which also ends when the supervisor does."""
    assert process.stdin is not None
    process.stdin.close()


def _how_it_ended(code: int | None) -> dict[str, object]:
    if code is not None and code < 0:
        return {"signal": signal.Signals(-code).name}
    return {"exit_code": code}
