"""The program of a worker: a server that does what its supervisor wants.

Its standard input brings a line of JSON, the worker's number and the settings, and then nothing. The end of it tells
the worker to stop: it comes when the supervisor wants so, and when the supervisor is no more. To standard output goes
a line: `ready`, or what keeps the worker from starting. Others follow where there is a page of metrics: `samples` and
JSON, the worker's metrics.
"""

import asyncio
import json
import os
import sys
from typing import Any

from lockstitch_server import app
from lockstitch_server.config import Settings
from lockstitch_server.startup import StartupError
from lockstitch_server.telemetry import logging
from lockstitch_server.workers.process import READY

STDIN = 0
CANNOT_START = 2


def main() -> None:
    """Serve until told to stop."""
    order = _order()
    settings = Settings.model_validate(order["settings"])
    logging.configure(settings.log_level, settings.log_format, worker=order["worker"])
    try:
        app.run(_serve(settings, order["worker"]))
    except StartupError as error:
        _say(str(error))
        sys.exit(CANNOT_START)


def _order() -> dict[str, Any]:
    line = sys.stdin.buffer.readline()
    if not line:  # the supervisor has gone, or thought better of it
        sys.exit()
    order: dict[str, Any] = json.loads(line)
    return order


async def _serve(settings: Settings, worker: int) -> None:
    stop = app.stop_on_signals()
    _stop_at_end_of_input(stop)
    await app.serve_until(stop, settings, lambda _: _say(READY), worker=worker, say=_say)


def _stop_at_end_of_input(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def on_readable() -> None:
        if not os.read(STDIN, 1024):
            loop.remove_reader(STDIN)
            stop.set()

    loop.add_reader(STDIN, on_readable)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
