"""The program of a worker: a server that its supervisor starts and stops.

Standard input brings a line of JSON: the worker's number and the settings. Its end stops the worker: it ends when the
supervisor stops the worker, and when the supervisor itself ends. The worker writes a line to standard output: `ready`,
or why it cannot start. Where metrics are served, lines with `samples` and JSON follow: the worker's metrics.
"""

import asyncio
import json
import os
import sys
from typing import Any

from lockstitch_server.config import Settings
from lockstitch_server.runtime import server
from lockstitch_server.runtime.startup import StartupError
from lockstitch_server.runtime.workers.process import READY
from lockstitch_server.telemetry import logging

STDIN = 0
CANNOT_START = 2


def main() -> None:
    """Serve until the supervisor stops this process."""
    order = _order()
    settings = Settings.model_validate(order["settings"])
    logging.configure(settings.log_level, settings.log_format, worker=order["worker"])
    try:
        server.run(_serve(settings, order["worker"]))
    except StartupError as error:
        _say(str(error))
        sys.exit(CANNOT_START)


def _order() -> dict[str, Any]:
    line = sys.stdin.buffer.readline()
    if not line:  # the supervisor has ended or is stopping
        sys.exit()
    order: dict[str, Any] = json.loads(line)
    return order


async def _serve(settings: Settings, worker: int) -> None:
    stop = server.stop_on_signals()
    _stop_at_end_of_input(stop)
    await server.serve_until(stop, settings, lambda _: _say(READY), worker=worker, say=_say)


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
