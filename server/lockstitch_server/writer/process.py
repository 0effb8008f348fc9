"""The program of the process that saves: it does batch after batch, until nobody sends any more.

Its standard input brings a line of JSON, the settings; a socket, whose number is its argument, the batches.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

import structlog

from lockstitch_server.collector import tune_collector
from lockstitch_server.config import Settings
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.saves import Asked, Saves
from lockstitch_server.startup import StartupError, observed, open_store
from lockstitch_server.telemetry import logging
from lockstitch_server.telemetry.hub import Hub, create_hub
from lockstitch_server.telemetry.identity import Identity
from lockstitch_server.writer import create_saves
from lockstitch_server.writer.frames import BROKEN, READY, SAMPLES, from_answer, read_frame, to_batch, write_frame

SAMPLES_SECONDS = 1.0

log = structlog.get_logger(__name__)


def main() -> None:
    """Do batches until there are no more. Whoever sends them decides when that is: signals are for him."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    order = sys.stdin.readline()
    if not order:  # whoever wanted to send batches has gone
        return
    worker, settings, files = _read_order(order)
    logging.configure(settings.log_level, settings.log_format, **({"worker": worker} if worker else {}))
    hub = create_hub(settings, Identity("writer", worker))
    try:
        _run(_serve(settings, hub, int(sys.argv[1]), files))
    finally:
        hub.close()


def _read_order(line: str) -> tuple[int, Settings, str]:
    order = json.loads(line)
    return order["worker"], Settings.model_validate(order["settings"]), order["files"]


def _run(work: Coroutine[None, None, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(work)
        return
    import uvloop

    uvloop.run(work)


async def _serve(settings: Settings, hub: Hub, number: int, files: str) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=number))
    try:
        async with open_store(settings, for_saves=True, files=files) as bare:
            store = observed(bare, settings.store, hub)
            saves = create_saves(store, settings, hub)
            await write_frame(writer, READY)
            tune_collector()
            async with telling(hub, writer), asyncio.TaskGroup() as tasks:
                while (frame := await read_frame(reader)) is not None:
                    number, batch = frame
                    tasks.create_task(_answer(saves, number, to_batch(batch), writer))
    except StartupError as error:
        await write_frame(writer, str(error))
    finally:
        writer.close()


@asynccontextmanager
async def telling(hub: Hub, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Say what has been counted, again and again, to whoever serves the page for Prometheus."""
    stats = hub.stats

    async def tell() -> None:
        assert stats is not None
        while True:
            await write_frame(writer, (SAMPLES, stats.snapshot()))
            await asyncio.sleep(SAMPLES_SECONDS)

    task = asyncio.create_task(tell()) if stats is not None else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()


async def _answer(saves: Saves, number: int, batch: list[Asked], writer: asyncio.StreamWriter) -> None:
    """Answer a batch: by a list of answers, a single failure of all, or BROKEN. Those after it are read meanwhile."""
    answer: object
    try:
        answer = [from_answer(answer) for answer in await saves.work(batch)]
    except Failure as failure:
        answer = from_answer(failure)
    except Exception:
        log.warning("batch_broken", items=len(batch), exc_info=True)
        answer = BROKEN
    with suppress(ConnectionError):  # nobody waits for it any more
        await write_frame(writer, (number, answer))


if __name__ == "__main__":
    main()
    # All is done and closed: taking the interpreter apart would only keep others waiting.
    os._exit(0)
