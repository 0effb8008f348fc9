"""Redis' protocol, as much of it as SET and GET take."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from benchmarks.wire.http2 import Failed, Refused

OK = b"+OK\r\n"


class RedisConnection(asyncio.Protocol):
    """A connection to Redis. Requests are answered in their order."""

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._out: list[bytes] = []
        self._rest = b""
        self._waiting: deque[Callable[[], None]] = deque()
        self._value: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def set(self, key: bytes, value: bytes, answered: Callable[[], None]) -> None:
        """SET. It leaves with the next flush."""
        self._out.append(b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value))
        self._waiting.append(answered)

    async def get(self, key: bytes) -> bytes:
        """GET, while nothing else is going on."""
        self._value = asyncio.get_running_loop().create_future()
        self._out.append(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key))
        self.flush()
        return await self._value

    def flush(self) -> None:
        """Write what has gathered."""
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def close(self) -> None:
        """End the connection without a word to the server."""
        self._failed = lambda error: None
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._failed(error or Refused("Redis has closed the connection"))

    def data_received(self, data: bytes) -> None:
        data, self._rest = self._rest + data, b""
        if data.startswith(b"-"):
            self._failed(Refused(data.decode(errors="replace").strip()))
        elif self._value is not None:
            self._take_value(data)
        else:
            self._take_acknowledgements(data)
            self.flush()

    def _take_acknowledgements(self, data: bytes) -> None:
        count, partial = divmod(len(data), len(OK))
        if data != OK * count + OK[:partial]:
            return self._failed(Refused(data.decode(errors="replace")[:200]))
        self._rest = OK[:partial]
        for _ in range(count):
            self._waiting.popleft()()

    def _take_value(self, data: bytes) -> None:
        head, _, body = data.partition(b"\r\n")
        if body and len(body) >= int(head[1:]) + 2 and self._value is not None:
            self._value.set_result(body[:-2])
            self._value = None
        else:
            self._rest = data


async def connect(target: str, failed: Failed) -> RedisConnection:
    """Connect to "host:port"."""
    host, port = target.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: RedisConnection(failed), host, int(port))
    return connection
