"""The process that saves, where it dies at an awkward moment: what is told is its end, no fault of the server."""

import asyncio
import socket

import psutil
import pytest
import uvloop

from lockstitch_server.config import Settings
from lockstitch_server.startup import StartupError
from lockstitch_server.writer.frames import write_frame
from lockstitch_server.writer.remote import Remote

ENOUGH_SECONDS = 10.0


async def _wait_gone(process: psutil.Process) -> None:
    """Wait until the event loop has heard of its end: it is the loop that takes its exit code."""
    async with asyncio.timeout(ENOUGH_SECONDS):
        while process.is_running():
            await asyncio.sleep(0.01)


def test_one_that_is_killed_before_it_has_its_order_has_not_started() -> None:
    async def main() -> None:
        before = set(psutil.Process().children())
        remote = Remote(Settings(store="sqlite:///never.db"))
        await remote.spawn()
        (process,) = set(psutil.Process().children()) - before
        process.kill()
        await _wait_gone(process)
        try:
            with pytest.raises(StartupError, match="ended before it could begin"):
                await remote.open()
        finally:
            await remote.close()

    uvloop.run(main())


def test_writing_to_who_has_gone_is_a_lost_connection_every_time() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=ours)
        theirs.close()
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await write_frame(writer, (1, b"batch"))
        writer.close()
        with pytest.raises(ConnectionError):
            await write_frame(writer, (1, b"batch"))

    uvloop.run(main())
