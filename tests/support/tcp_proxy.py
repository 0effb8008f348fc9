"""A TCP proxy that counts what clients send, and whose connections can go silent, as behind a broken middlebox."""

import contextlib
import socket
import threading
from typing import Self

CHUNK = 65536


class TcpProxy:
    """Listens on a free port of its own, and passes everything on to a server, until `swallow`.

    sent: bytes from clients so far.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        """Of each connection, the one to the client, then the one to the server."""
        self._silent: set[socket.socket] = set()
        self.sent = 0
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def swallow(self) -> int:
        """All connections that are open go silent, for good; new ones work. Returns how many are open."""
        with self._lock:
            self._silent = set(self._sockets)
            return len(self._silent) // 2

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for open_socket in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                with self._lock:
                    self._sockets += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(*ends, ends[0] is client), daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket, is_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if is_client:
                    self.sent += len(data)
                if source in self._silent:
                    self._swallowed(source, to, data)
                else:
                    to.sendall(data)
        if source in self._silent:
            return  # not even its end is passed on
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _swallowed(self, source: socket.socket, to: socket.socket, data: bytes) -> None:
        """Bytes came on a silent connection."""
