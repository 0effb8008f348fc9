"""A TCP proxy in front of a PostgreSQL server that loses a chosen message of the protocol."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal, Self

from tests.support.postgres import Postgres

Loss = Literal["response", "request", "late request"]
"""What is lost with the connection: the response to the statement; the statement; or the statement, which reaches the
server later, when the client has long gone."""


class PostgresProxy:
    """Passes everything on, until `lose` names a statement. Connections must not use TLS."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._port = 0
        self._wanted = ""
        self._loss: Loss = "response"
        self.lost = asyncio.Event()
        """A message was lost, and its connection with it."""
        self.deliver = asyncio.Event()
        """Set it to let a late request reach the server."""
        self.delivered = asyncio.Event()
        """The server has responded to a late request, or ended its connection."""

    @classmethod
    @asynccontextmanager
    async def before(cls, server: Postgres) -> AsyncIterator[Self]:
        proxy = cls(server)
        listener = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy._port = listener.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            listener.close()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}?sslmode=disable"

    def lose(self, loss: Loss, statement: str) -> None:
        """Lose this message of the next statement that matches this pattern, once."""
        self._loss, self._wanted = loss, statement
        for event in (self.lost, self.deliver, self.delivered):
            event.clear()

    def wants(self, statement: str) -> bool:
        return bool(self._wanted) and re.search(self._wanted, statement) is not None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_connection("127.0.0.1", self._server.port)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _Connection(self, (reader, writer), server).run()
        for end in (writer, server[1]):
            end.close()


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    def __init__(self, proxy: PostgresProxy, client: Ends, server: Ends) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._statements: dict[bytes, str] = {}
        self._is_cut = False
        """From now on the client hears nothing."""
        self._done = asyncio.Event()
        """The server has responded, or has ended the connection."""

    async def run(self) -> None:
        length = await self._from_client.readexactly(4)
        self._to_server.write(length + await self._from_client.readexactly(int.from_bytes(length) - 4))
        responses = asyncio.create_task(self._pass_responses())
        try:
            await self._pass_requests()
        finally:
            responses.cancel()

    async def _pass_responses(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                kind, message = await _message(self._from_server)
                if not self._is_cut:
                    self._to_client.write(message)
                    await self._to_client.drain()
                elif kind == b"Z":
                    self._done.set()
        self._done.set()
        self._to_client.close()

    async def _pass_requests(self) -> None:
        while True:
            kind, message = await _message(self._from_client)
            if self._proxy.wants(self._statement(kind, message)):
                await self._lose(kind, message)
                return
            self._to_server.write(message)
            await self._to_server.drain()

    def _statement(self, kind: bytes, message: bytes) -> str:
        """The SQL that a message runs; empty: none."""
        if kind == b"P":
            name, sql, _ = message[5:].split(b"\0", 2)
            self._statements[name] = sql.decode()
        if kind == b"B":
            return self._statements.get(message[5:].split(b"\0", 2)[1], "")
        return message[5:-1].decode() if kind == b"Q" else ""

    async def _lose(self, kind: bytes, message: bytes) -> None:
        proxy = self._proxy
        proxy._wanted = ""
        while kind not in b"QS":  # all of the request
            kind, more = await _message(self._from_client)
            message += more
        self._is_cut = True
        if proxy._loss == "response":
            await self._run(message)
        self._to_client.close()
        proxy.lost.set()
        if proxy._loss == "late request":
            await proxy.deliver.wait()
            await self._run(message)
            proxy.delivered.set()

    async def _run(self, request: bytes) -> None:
        """Have the server run a request, to its end."""
        self._to_server.write(request)
        await self._done.wait()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(int.from_bytes(head[1:]) - 4)
