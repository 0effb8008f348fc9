"""An explorer in a thread of the test's own process, for settings that the command has no options for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lockstitch_ui import ExplorerSettings
from lockstitch_ui.serving import Listen, create_server

PATIENCE = 120.0


@contextmanager
def serving(target: str = "127.0.0.1:1", **settings: Any) -> Iterator[int]:
    """Run an explorer with these settings on a free port of loopback. Yields the port."""
    listen, started = Listen("127.0.0.1:0"), threading.Event()
    listening = listen.bind()
    port: int = listening.getsockname()[1]
    server = create_server(ExplorerSettings(target=target, port=port, **settings), listen, started.set)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        assert started.wait(PATIENCE)
        yield port
    finally:
        server.stop()
        thread.join(PATIENCE)
        listening.close()


def send(port: int, data: bytes) -> socket.socket:
    """A connection that has sent these bytes, and waits long for an answer."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.sendall(data)
    return connection


def head(path: str, length: int, *further: str) -> bytes:
    """The head of a form with a body of `length` bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *further, "", ""]
    return "\r\n".join(lines).encode()


def status(connection: socket.socket) -> int:
    """The status of the answer that comes; 0: the connection ends without one."""
    with connection.makefile("rb") as answer:
        line = answer.readline()
    return int(line.split()[1]) if line else 0
