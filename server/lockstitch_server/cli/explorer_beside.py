"""The session explorer beside a server, for `serve --ui-listen`.

It is a process of its own, so that pages never delay saves.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from lockstitch_server.cli.connection import Connection
from lockstitch_server.cli.explorer_process import READY, Order
from lockstitch_server.cli.local import to_this_server
from lockstitch_server.runtime.startup import StartupError

if TYPE_CHECKING:
    from lockstitch_server.config import Settings

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
STOP_SECONDS = 10.0

log = structlog.get_logger(__name__)


@contextmanager
def explorer_beside(settings: "Settings") -> Iterator[None]:
    """Have an explorer of the server with these settings run, if they ask for one. Raises StartupError."""
    if not settings.ui_listen:
        yield
        return
    if settings.listen.endswith(":0"):
        raise StartupError("ui_listen needs to know the server's port: set listen to an address with a port above 0")
    explorer = _Explorer(_order(settings))
    explorer.start()
    log.info("serving_explorer", listen=settings.ui_listen, allow_changes=settings.ui_allow_changes)
    try:
        yield
    finally:
        explorer.stop()


def _order(settings: "Settings") -> Order:
    server = to_this_server(Connection(), settings)
    return Order(
        target=server.target,
        ca=server.ca or "",
        certificate=server.certificate or "",
        private_key=server.private_key or "",
        server_name=server.server_name or "",
        listen=settings.ui_listen,
        listen_certificate=settings.tls.certificate,
        listen_private_key=settings.tls.private_key,
        insecure=settings.insecure,
        allow_changes=settings.ui_allow_changes,
        trace_url=settings.trace_url_template,
        host_names=list(settings.ui_names),
    )


class _Explorer:
    """Keeps the process running until `stop`."""

    def __init__(self, order: Order) -> None:
        self._order = json.dumps(order).encode() + b"\n"
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="explorer", daemon=True)

    def start(self) -> None:
        """Start it; returns when it serves. Raises StartupError."""
        problem = self._run()
        if problem:
            raise StartupError(f"ui_listen: {problem}")
        self._keeper.start()

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()  # its end tells the process to stop
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self) -> str:
        """Start the process. Returns why it does not serve; "": it does."""
        command = [sys.executable, "-m", "lockstitch_server.cli.explorer_process"]
        # Signals of a terminal are for the server, which ends the explorer after itself.
        process = self._process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(self._order)
        process.stdin.flush()
        said = process.stdout.readline().decode().strip()
        return "" if said == READY else said or "the explorer's process has ended"

    def _keep(self) -> None:
        """Start the process again when it ends by itself."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            assert self._process is not None
            code = self._process.wait()
            if self._stopping.wait(pause):
                return
            log.warning("explorer_restarts", exit_code=code, pause_seconds=pause)
            problem = self._run()
            pause = min(2 * pause, LONGEST_PAUSE) if problem else FIRST_PAUSE
