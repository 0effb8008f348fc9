"""gRPC over HTTP/2 without encryption, as much of it as a well-behaved server asks for, at a few microseconds a call.

Whoever waits for an answer is called back. What is sent while one piece of input is worked off leaves in one write.
Everything out of the ordinary (a refusal, a reset, a frame that servers do not send) ends the connection with an error.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from hpack import Decoder, Encoder

Answered = Callable[[bytes], None]
Failed = Callable[[Exception], None]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED_OR_PRIORITY = 0x28
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 4, 5
LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
TOPPED_UP_AFTER = 2**30
"""Bytes of answers after which the server gets new credit for the connection. A single call has 2 GiB."""

_HEAD = struct.Struct(">HBBBL")  # length in two fields, type, flags, stream
_HEAD_AND_PREFIX = struct.Struct(">HBBBLBL")  # the same, then gRPC's own: compressed or not, length
_PREFIX = struct.Struct(">BL")
_SETTING = struct.Struct(">HL")
_NUMBER = struct.Struct(">L")


class Refused(Exception):
    """A call that failed, or an answer that makes no sense."""


class _Stream(Protocol):
    window: int

    def data(self, payload: bytes) -> None: ...
    def ended(self) -> None: ...


class _Unary:
    """A call with one answer."""

    __slots__ = ("_answered", "_chunks", "window")

    def __init__(self, answered: Answered, window: int) -> None:
        self.window = window
        self._answered = answered
        self._chunks: list[bytes] = []

    def data(self, payload: bytes) -> None:
        self._chunks.append(payload)

    def ended(self) -> None:
        answer = b"".join(self._chunks)
        if len(answer) < _PREFIX.size or _PREFIX.unpack_from(answer) != (0, len(answer) - _PREFIX.size):
            raise Refused(f"a call ended OK without one whole answer: {answer[:40]!r}")
        self._answered(answer[_PREFIX.size :])


class Stream:
    """A call with many requests, and answers in any number."""

    def __init__(self, connection: "Connection", number: int, answered: Answered, window: int) -> None:
        self.window = window
        self._connection = connection
        self._number = number
        self._answered = answered
        self._rest = b""

    def send(self, message: bytes) -> None:
        """Send a request. It leaves with the next flush."""
        self._connection.send_message(self._number, self, message, 0)

    def data(self, payload: bytes) -> None:
        data, at = self._rest + payload, 0
        while len(data) - at >= _PREFIX.size:
            compressed, size = _PREFIX.unpack_from(data, at)
            end = at + _PREFIX.size + size
            if compressed:
                raise Refused("a compressed answer")
            if end > len(data):
                break
            self._answered(data[at + _PREFIX.size : end])
            at = end
        self._rest = data[at:]

    def ended(self) -> None:
        raise Refused("the server ended a stream that was still in use")


class _Waiting(NamedTuple):
    """Data that the server has not yet room for."""

    number: int
    stream: _Stream
    data: memoryview
    flags: int


class Connection(asyncio.Protocol):
    """A connection to a gRPC server."""

    def __init__(self, authority: str, failed: Failed) -> None:
        self._authority = authority
        self._failed = failed
        self._out: list[bytes] = []
        self._rest = b""
        self._streams: dict[int, _Stream] = {}
        self._next_number = 1
        self._window = self._stream_window = DEFAULT_WINDOW
        self._frame_size = 16_384
        self._waiting: deque[_Waiting] = deque()
        self._received = 0
        self._headers = _RequestHeaders(authority)
        self._decoder = Decoder()
        self._good_trailers: set[bytes] = set()
        self._transport: asyncio.Transport | None = None

    # Calls

    def unary(self, method: str, request: bytes, answered: Answered) -> None:
        """Call. `answered` gets the answer. The request leaves with the next flush."""
        call = _Unary(answered, self._stream_window)
        self.send_message(self._open(method, call), call, request, END_STREAM)

    def stream(self, method: str, answered: Answered) -> Stream:
        """Open a call. `answered` gets every answer."""
        stream = Stream(self, self._next_number, answered, self._stream_window)
        self._open(method, stream)
        return stream

    async def call(self, method: str, request: bytes) -> bytes:
        """A single call, and its answer."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.unary(method, request, answer.set_result)
        self.flush()
        return await answer

    def flush(self) -> None:
        """Write what has gathered."""
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def close(self) -> None:
        """End the connection without a word to the server."""
        self._failed = _ignore
        if self._transport is not None:
            self._transport.close()

    def send_message(self, number: int, stream: _Stream, message: bytes, flags: int) -> None:
        """Queue a message as DATA, now or when the server has room for it."""
        size = len(message) + _PREFIX.size
        if self._waiting or size > self._window or size > stream.window or size > self._frame_size:
            data = memoryview(_PREFIX.pack(0, len(message)) + message)
            self._waiting.append(_Waiting(number, stream, data, flags))
            self._send_waiting()
            return
        self._window -= size
        stream.window -= size
        self._out.append(_HEAD_AND_PREFIX.pack(size >> 8, size & 255, DATA, flags, number, 0, len(message)))
        self._out.append(message)

    def _open(self, method: str, stream: _Stream) -> int:
        number = self._next_number
        self._next_number += 2
        self._streams[number] = stream
        block = self._headers.block(method)
        self._out.append(_HEAD.pack(len(block) >> 8, len(block) & 255, HEADERS, END_HEADERS, number) + block)
        return number

    def _send_waiting(self) -> None:
        """Send as much as there is room for. A stream without room lets others pass; the order within it stays."""
        held: deque[_Waiting] = deque()
        while self._waiting and self._window > 0:
            if left := self._send_part(self._waiting.popleft()):
                held.appendleft(left)
        self._waiting.extendleft(held)

    def _send_part(self, waiting: _Waiting) -> _Waiting | None:
        """Give what is left of it."""
        number, stream, data, flags = waiting
        while len(data) and (room := min(self._window, stream.window, self._frame_size)) > 0:
            part, data = data[:room], data[room:]
            self._window -= len(part)
            stream.window -= len(part)
            self._frame(DATA, 0 if len(data) else flags, number, bytes(part))
        return _Waiting(number, stream, data, flags) if len(data) else None

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        self._out.append(_HEAD.pack(len(payload) >> 8, len(payload) & 255, kind, flags, number) + payload)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        wanted = {HEADER_TABLE_SIZE: 0, ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: LARGEST_WINDOW}
        self._transport.write(PREFACE)
        self._frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*setting) for setting in wanted.items()))
        self._frame(WINDOW_UPDATE, 0, 0, _NUMBER.pack(LARGEST_WINDOW - DEFAULT_WINDOW))
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._failed(error or Refused(f"{self._authority} has closed the connection"))

    def data_received(self, data: bytes) -> None:
        try:
            self._take(self._rest + data if self._rest else data)
            self.flush()
        except Exception as error:
            self._failed(error)
            self.close()

    def _take(self, data: bytes) -> None:
        at, size = 0, len(data)
        while size - at >= _HEAD.size:
            high, low, kind, flags, number = _HEAD.unpack_from(data, at)
            begin = at + _HEAD.size
            end = begin + (high << 8 | low)
            if end > size:
                break
            if kind == DATA:
                self._on_data(flags, number, data[begin:end])
            elif kind == HEADERS:
                self._on_headers(flags, number, data[begin:end])
            else:
                self._on_other(kind, flags, number, data[begin:end])
            at = end
        self._rest = data[at:]

    # What the server sends

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        if flags:
            raise Refused(f"DATA with flags {flags:#x}: no server ends a call so")
        self._received += len(payload)
        if self._received > TOPPED_UP_AFTER:
            self._frame(WINDOW_UPDATE, 0, 0, _NUMBER.pack(self._received))
            self._received = 0
        self._streams[number].data(payload)

    def _on_headers(self, flags: int, number: int, block: bytes) -> None:
        if flags & PADDED_OR_PRIORITY or not flags & END_HEADERS:
            raise Refused(f"HEADERS with flags {flags:#x}, which is more than this client knows")
        if not flags & END_STREAM:
            return
        if block not in self._good_trailers:
            self._check_trailers(block)
        self._streams.pop(number).ended()

    def _check_trailers(self, block: bytes) -> None:
        """Without a table (HEADER_TABLE_SIZE is 0), the same bytes say the same at any time."""
        headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        if headers.get("grpc-status") != "0":
            raise Refused(f"status {headers.get('grpc-status')}: {headers.get('grpc-message', headers)}")
        self._good_trailers.add(block)

    def _on_other(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            self._on_window_update(number, _NUMBER.unpack(payload)[0])
        elif kind == PING:
            if not flags & ACK:
                self._frame(PING, ACK, 0, payload)
        elif kind == SETTINGS:
            if not flags & ACK:
                self._on_settings(dict(_SETTING.iter_unpack(payload)))
        elif kind in (RST_STREAM, GOAWAY):
            raise Refused(f"the server ended stream {number} with frame type {kind}: {payload!r}")
        else:
            raise Refused(f"a frame of type {kind}, which this client does not know")

    def _on_window_update(self, number: int, more: int) -> None:
        if number == 0:
            self._window += more
        elif stream := self._streams.get(number):
            stream.window += more
        self._send_waiting()

    def _on_settings(self, settings: dict[int, int]) -> None:
        more = settings.get(INITIAL_WINDOW_SIZE, self._stream_window) - self._stream_window
        self._stream_window += more
        for stream in self._streams.values():
            stream.window += more
        self._frame_size = settings.get(MAX_FRAME_SIZE, self._frame_size)
        self._headers.limit(settings.get(HEADER_TABLE_SIZE))
        self._frame(SETTINGS, ACK, 0, b"")
        self._send_waiting()


class _RequestHeaders:
    """Headers of requests: whole at first, a few bytes once the server has them in its table, as any client does it."""

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._encoder = Encoder()
        self._seen: set[str] = set()
        self._blocks: dict[str, bytes] = {}

    def block(self, method: str) -> bytes:
        if block := self._blocks.get(method):
            return block
        block = bytes(self._encoder.encode(self._of(method)))
        if method in self._seen:
            self._blocks[method] = block  # nothing was added to the table: it can be said again
        else:
            self._seen.add(method)
            self._blocks.clear()  # what was added has moved the others
        return block

    def limit(self, size: int | None) -> None:
        if size is not None and size < self._encoder.header_table_size:
            self._encoder.header_table_size = size
            self._seen.clear()
            self._blocks.clear()

    def _of(self, method: str) -> list[tuple[str, str]]:
        fixed = [(":method", "POST"), (":scheme", "http"), ("te", "trailers"), ("content-type", "application/grpc")]
        return [*fixed[:2], (":path", method), (":authority", self._authority), *fixed[2:]]


def _ignore(error: Exception) -> None:
    """Nobody is interested any more."""


async def connect(target: str, failed: Failed) -> Connection:
    """Connect to "host:port"."""
    host, port = target.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(target, failed), host, int(port))
    return connection
