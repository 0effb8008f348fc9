"""The same load for stores of keys and values, etcd and Redis: a session is a key, its state the value."""

from uuid import uuid4

from benchmarks.driver.job import Job, Measured
from benchmarks.driver.lockstitch import connect_all
from benchmarks.driver.window import Window, Worker
from benchmarks.text import Noise
from benchmarks.wire import http2, resp
from benchmarks.wire.http2 import Refused
from benchmarks.wire.saves import varint

PUT, RANGE = "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range"


class _Value:
    """The changing value of a key."""

    def __init__(self, size: int, noise: Noise) -> None:
        self.key = f"session-{uuid4()}".encode()
        self.last = b""
        self._size = size
        self._noise = noise
        self._head = b"\x0a" + varint(len(self.key)) + self.key + b"\x12" + varint(size)

    def next(self) -> bytes:
        self.last = self._noise.take(self._size)
        return self.last

    def next_put(self) -> bytes:
        """An etcdserverpb.PutRequest: key and value."""
        return self._head + self.next()

    def range(self) -> bytes:
        """An etcdserverpb.RangeRequest: key."""
        return b"\x0a" + varint(len(self.key)) + self.key


async def etcd(job: Job) -> Measured:
    """Put."""
    window = Window(job)
    connections = await connect_all(job, window)
    values = _values(job)
    for number, value in enumerate(values):
        _EtcdPutter(window, connections[number % len(connections)], value).start()
    for connection in connections:
        connection.flush()
    measured = await window.measure()
    for value in values:
        await window.unless_failed(_verify_etcd(connections[0], value))
    for connection in connections:
        connection.close()
    return measured


async def redis(job: Job) -> Measured:
    """SET."""
    window = Window(job)
    connections = [await resp.connect(job.target, window.failed) for _ in range(min(job.connections, job.concurrency))]
    values = _values(job)
    for number, value in enumerate(values):
        _RedisSetter(window, connections[number % len(connections)], value).start()
    for connection in connections:
        connection.flush()
    measured = await window.measure()
    for value in values:
        await window.unless_failed(_verify_redis(connections[0], value))
    for connection in connections:
        connection.close()
    return measured


class _EtcdPutter(Worker):
    def __init__(self, window: Window, connection: http2.Connection, value: _Value) -> None:
        super().__init__(window, lambda: connection.unary(PUT, value.next_put(), self.answered))


class _RedisSetter(Worker):
    def __init__(self, window: Window, connection: resp.RedisConnection, value: _Value) -> None:
        super().__init__(window, lambda: connection.set(value.key, value.next(), self.answered))


async def _verify_etcd(connection: http2.Connection, value: _Value) -> None:
    if value.last not in await connection.call(RANGE, value.range()):
        raise Refused("etcd does not have what it has acknowledged")


async def _verify_redis(connection: resp.RedisConnection, value: _Value) -> None:
    if await connection.get(value.key) != value.last:
        raise Refused("Redis does not have what it has acknowledged")


def _values(job: Job) -> list[_Value]:
    noise = Noise(job.concurrency)
    return [_Value(job.state_bytes, noise) for _ in range(job.concurrency)]
