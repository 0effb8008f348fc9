"""Saves and loads over the wire, against Lockstitch and whatever else speaks its contract."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

from benchmarks.driver.job import Job, Measured
from benchmarks.driver.window import Window, Worker
from benchmarks.text import Noise
from benchmarks.wire.http2 import Connection, Refused, Stream, connect
from benchmarks.wire.saves import Saves, varint
from lockstitch.v1.checkpoint_service_pb2 import (
    LoadLatestRequest,
    LoadLatestResponse,
    SaveRequest,
    SaveStreamResponse,
)

SERVICE = "/lockstitch.v1.CheckpointService"
SAVE, SAVE_STREAM, LOAD_LATEST = f"{SERVICE}/Save", f"{SERVICE}/SaveStream", f"{SERVICE}/LoadLatest"
STREAMS = 4
BATCH, TAKES_BATCHES = b"\x22", b"\x28\x01"
"""A tag of SaveStreamRequest and of SaveStreamResponse; a field of the latter."""
VERIFIED = 16
"""So many sessions are looked at after a run."""


async def unary(job: Job) -> Measured:
    """Every worker saves the next step of its session by a call of its own."""
    window = Window(job)
    connections = await connect_all(job, window)
    saves = _sessions(job)
    for number, session in enumerate(saves):
        _UnarySaver(window, connections[number % len(connections)], session).start()
    return await _finish(job, window, connections, saves)


async def stream(job: Job) -> Measured:
    """Every worker saves the next step of its session on one of a few streams."""
    return await _streamed(job, lambda stream, _: stream.send)


async def batches(job: Job) -> Measured:
    """The same; what is to be sent on a stream at one moment goes in one message."""
    return await _streamed(job, lambda stream, connection: Batches(stream, connection).send)


async def _streamed(job: Job, sender: Callable[[Stream, Connection], Callable[[bytes], None]]) -> Measured:
    window = Window(job)
    connections = await connect_all(job, window)
    saves = _sessions(job)
    workers: list[Worker] = []
    count = max(min(STREAMS, job.concurrency), len(connections))
    sends = []
    for number in range(count):
        connection = connections[number % len(connections)]
        sends.append(sender(connection.stream(SAVE_STREAM, _hand_to(workers)), connection))
    workers += [_StreamSaver(window, sends[at % count], at, session) for at, session in enumerate(saves)]
    for worker in workers:
        worker.start()
    return await _finish(job, window, connections, saves)


async def load(job: Job) -> Measured:
    """Every worker loads the latest checkpoint of one of the sessions."""
    window = Window(job)
    connections = await connect_all(job, window)
    for number in range(job.concurrency):
        request = LoadLatestRequest(session_id=job.sessions[number % len(job.sessions)]).SerializeToString()
        _Loader(window, connections[number % len(connections)], request).start()
    return await _finish(job, window, connections, [])


async def connect_all(job: Job, window: Window) -> list[Connection]:
    """The connections of a run."""
    return [await connect(job.target, window.failed) for _ in range(min(job.connections, job.concurrency))]


class _UnarySaver(Worker):
    def __init__(self, window: Window, connection: Connection, saves: Saves) -> None:
        super().__init__(window, lambda: connection.unary(SAVE, saves.next(), self.answered))


class _StreamSaver(Worker):
    def __init__(self, window: Window, send: Callable[[bytes], None], number: int, saves: Saves) -> None:
        super().__init__(window, lambda: send(item(number + 1, saves.next())))


class Batches:
    """Sends items that come at one moment as one message."""

    def __init__(self, stream: Stream, connection: Connection) -> None:
        self._stream = stream
        self._connection = connection
        self._items: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Send a SaveStreamRequest with its neighbours."""
        if not self._items:
            asyncio.get_running_loop().call_soon(self._send_all)
        self._items.append(data)

    def _send_all(self) -> None:
        items, self._items = self._items, []
        self._stream.send(b"".join([BATCH + varint(len(data)) + data for data in items]))
        self._connection.flush()


class _Loader(Worker):
    def __init__(self, window: Window, connection: Connection, request: bytes) -> None:
        super().__init__(window, lambda: connection.unary(LOAD_LATEST, request, self._loaded))

    def _loaded(self, answer: bytes) -> None:
        if not answer:
            raise Refused("there is no such session")
        self.answered()


def item(request_id: int, save: bytes) -> bytes:
    """A SaveStreamRequest."""
    return b"\x08" + varint(request_id) + b"\x12" + varint(len(save)) + save


def _hand_to(workers: list[Worker]) -> Callable[[bytes], None]:
    """Hands the answers of a stream to those whose number they carry."""

    def one(answer: bytes) -> None:
        number, at = answer[1], 2
        if number > 127:
            number, at = number & 127 | answer[2] << 7, 3
        if answer[0] != 0x08 or answer[at] != 0x12:
            raise Refused(f"{SaveStreamResponse.FromString(answer)}")
        workers[number - 1].answered()

    def answered(answer: bytes) -> None:
        answer = answer.removeprefix(TAKES_BATCHES)
        if not answer.startswith(BATCH):
            one(answer)
            return
        at = 0
        while at < len(answer):
            size, begin = answer[at + 1], at + 2
            if size > 127:
                size, begin = size & 127 | answer[at + 2] << 7, at + 3
            at = begin + size
            one(answer[begin:at])

    return answered


def _sessions(job: Job) -> list[Saves]:
    noise = Noise(job.concurrency)
    return [Saves(f"session-{uuid4()}", job.state_bytes, noise) for _ in range(job.concurrency)]


async def _finish(job: Job, window: Window, connections: list[Connection], saves: list[Saves]) -> Measured:
    for connection in connections:
        connection.flush()
    measured = await window.measure()
    if job.verify:
        for session in saves[:VERIFIED]:
            await window.unless_failed(_verify(connections[0], session))
    for connection in connections:
        connection.close()
    return measured


async def _verify(connection: Connection, saves: Saves) -> None:
    """The last save that was acknowledged is what is loaded."""
    answer = await connection.call(LOAD_LATEST, LoadLatestRequest(session_id=saves.session_id).SerializeToString())
    loaded, saved = LoadLatestResponse.FromString(answer).checkpoint, SaveRequest.FromString(saves.last).checkpoint
    saved.checkpoint_id = loaded.checkpoint_id
    if loaded != saved:
        raise Refused(f"step {saved.step} of {saves.session_id} was acknowledged, and step {loaded.step} is loaded")
