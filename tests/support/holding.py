"""A TCP proxy that holds back what clients send, and delivers it late."""

import socket
import time

from tests.support.tcp_proxy import TcpProxy

GATHER_SECONDS = 0.2
"""How long bytes may follow those that were waited for: the ends of the same calls."""


class HoldingProxy(TcpProxy):
    """Passes everything on to a server. Connections that are open at `hold` bring nothing more until `deliver`."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._held: dict[socket.socket, bytearray] = {}
        """By the connection to the server."""
        self._clients: set[socket.socket] = set()

    def hold(self) -> int:
        """Returns how many connections are open."""
        with self._lock:
            self._clients = set(self._sockets[::2])
            self._silent = set(self._sockets)
            return len(self._clients)

    def gather(self, size: int, seconds: float) -> None:
        """Wait until this many bytes are held, and hold nothing that comes later."""
        end = time.monotonic() + seconds
        while sum(map(len, self._held.values())) < size:
            assert time.monotonic() < end, "the client has not sent its saves"
            time.sleep(0.01)
        time.sleep(GATHER_SECONDS)
        with self._lock:
            self._clients = set()

    def deliver(self) -> None:
        """Pass on what was held. Its responses go nowhere."""
        for server, held in self._held.items():
            server.sendall(bytes(held))

    def _swallowed(self, source: socket.socket, to: socket.socket, data: bytes) -> None:
        with self._lock:
            if source in self._clients:
                self._held.setdefault(to, bytearray()).extend(data)
