"""gRPC on one address.

grpc.aio accepts the calls of a server one by one, each in a turn of the event loop of its own. So calls that arrive
together wait for each other, however short they are. Several servers of grpc.aio in this process accept side by side:
the kernel assigns each connection to one of them (`SO_REUSEPORT`), and all have the same handlers.
"""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import grpc

from lockstitch_server.config import Settings
from lockstitch_server.rpc.transport.receiving import compression_options, receivable_bytes
from lockstitch_server.runtime.listener import Certificates, bind, connection_options
from lockstitch_server.runtime.reserved_address import reserved

ACCEPTORS = 8
"""Servers of grpc.aio that share a port."""
LEAST_PENDING = 10_000
"""How many calls may at least wait to begin, in all."""


class GrpcServer:
    """All servers of grpc.aio on an address."""

    def __init__(self, address: str, servers: Sequence[grpc.aio.Server]) -> None:
        self.address = address
        self._servers = servers

    async def start(self) -> None:
        """Accept calls."""
        await asyncio.gather(*(server.start() for server in self._servers))

    async def stop(self, seconds: float) -> None:
        """Stop to accept; end the calls that have not ended after this time."""
        await asyncio.gather(*(server.stop(seconds) for server in self._servers))


@contextmanager
def grpc_server(
    handlers: Sequence[grpc.GenericRpcHandler], settings: Settings, *, shared: bool
) -> Iterator[GrpcServer]:
    """Listen on `listen`. `address` has the port that was chosen for port 0. Raises StartupError.

    shared: whether other workers listen there, too. Their supervisor holds the port then.
    """
    listen = settings.listen
    with ExitStack() as held:
        several = hasattr(socket, "SO_REUSEPORT") and not listen.startswith("unix:")
        if several and not shared:
            # Servers that share a port do not notice another program that shares it.
            listen = held.enter_context(reserved(listen))
        certificates = Certificates.of(settings.tls)
        options = _options(settings, ACCEPTORS if several else 1)
        servers = []
        for _ in range(ACCEPTORS if several else 1):
            server = grpc.aio.server(options=options)
            server.add_generic_rpc_handlers(handlers)
            listen = bind(server, listen, certificates)
            servers.append(server)
        yield GrpcServer(listen, servers)


def _options(settings: Settings, servers: int) -> list[tuple[str, int]]:
    # Connections are spread at random, so one server may have twice its share.
    share = min(1.0, 2 / servers)
    pending = round(share * max(settings.limits.max_calls, LEAST_PENDING))
    # All calls of a connection come to one server, perhaps at once.
    pending = max(pending, settings.limits.max_connection_calls)
    return [
        ("grpc.max_receive_message_length", receivable_bytes(settings.limits.max_message_bytes)),
        ("grpc.max_send_message_length", -1),
        # gRPC counts a call until its memory is free, so calls that are reset at once count (HTTP/2 rapid reset).
        ("grpc.max_concurrent_streams", settings.limits.max_connection_calls),
        # The gate refuses calls beyond max_calls, and says why. gRPC itself cancels calls beyond this number that have
        # not begun, without a reason: this bounds the memory of many connections.
        ("grpc.server.max_pending_requests", pending),
        ("grpc.server.max_pending_requests_hard_limit", pending),
        ("grpc.so_reuseport", int(servers > 1)),
        *connection_options(settings),
        *compression_options(),
    ]
