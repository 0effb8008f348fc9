"""Serving the explorer over HTTP."""

import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from lockstitch_ui import connections
from lockstitch_ui.app import create_app
from lockstitch_ui.settings import ExplorerSettings

DEFAULT_LISTEN = "127.0.0.1:8233"
STOP_SECONDS = 3
"""For answers that are under way when the explorer stops."""


class ListenInvalid(Exception):
    """The explorer cannot listen as it should. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where browsers reach the explorer. certificate, private_key: PEM files for TLS; "": without."""

    address: str = DEFAULT_LISTEN
    certificate: str = ""
    private_key: str = ""

    @property
    def host(self) -> str:
        """The host of the address, without brackets."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check(self, insecure: bool) -> None:
        """Raises ListenInvalid for an address that is none, or that others could overhear."""
        host, _, port = self.address.rpartition(":")
        if not (host and port.isdecimal() and int(port) <= 65535):
            raise ListenInvalid(f'"{self.address}" is no address to listen on: host:port, such as {DEFAULT_LISTEN}')
        if bool(self.certificate) != bool(self.private_key):
            raise ListenInvalid("a certificate needs its private key, and the other way round")
        if not (self.certificate or insecure or self.is_loopback):
            raise ListenInvalid(
                f"{self.address} can be reached from other machines: set a certificate and its private key; or listen "
                "on loopback; or set --insecure, where something else encrypts the connection"
            )
        if self.certificate:
            self._check_files()

    def bind(self) -> socket.socket:
        """A socket that listens there. Raises ListenInvalid."""
        port = int(self.address.rpartition(":")[2])
        try:
            found = socket.getaddrinfo(self.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            return socket.create_server(found[4][:2], family=found[0], backlog=256)
        except OSError as error:
            raise ListenInvalid(f"cannot listen on {self.address}: {error.strerror or error}") from error

    def url(self, port: int) -> str:
        """What to open in a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{port}"

    def _check_files(self) -> None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.private_key, lambda: "")
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or error.strerror or error
            raise ListenInvalid(f"{self.certificate} and {self.private_key} cannot be used: {reason}") from error


class Server(uvicorn.Server):
    """Says when it serves."""

    def __init__(self, config: uvicorn.Config, on_serving: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_serving = on_serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_serving()

    def stop(self) -> None:
        """Have it end, after the answers that are under way."""
        self.should_exit = True


def create_server(settings: ExplorerSettings, listen: Listen, on_serving: Callable[[], None]) -> Server:
    """A server for the explorer. `run(sockets=[...])` serves until SIGTERM, SIGINT or `stop`."""
    config = uvicorn.Config(
        create_app(settings),
        http=connections.protocol(settings),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=listen.certificate or None,
        ssl_keyfile=listen.private_key or None,
    )
    return Server(config, on_serving)
