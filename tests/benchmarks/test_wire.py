"""The load's own HTTP/2 client, against a real gRPC server; and its Redis client."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest

if TYPE_CHECKING:
    from benchmarks.wire.http2 import Connection

UNARY, STREAM, REFUSE, NOTHING = (f"/test.Service/{name}" for name in ("Unary", "Stream", "Refuse", "Nothing"))


async def _unary(request: bytes, context: Any) -> bytes:
    return request


async def _stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request
        if request == b"end":
            return


async def _refuse(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    await context.abort(grpc.StatusCode.ABORTED, "not now")
    raise AssertionError


async def _nothing(request: bytes, context: Any) -> AsyncIterator[bytes]:
    answers: list[bytes] = []
    for answer in answers:
        yield answer


@pytest.fixture
async def target() -> AsyncIterator[str]:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    methods: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(_unary),
        "Stream": grpc.stream_stream_rpc_method_handler(_stream),
        "Refuse": grpc.unary_unary_rpc_method_handler(_refuse),
        "Nothing": grpc.unary_stream_rpc_method_handler(_nothing),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


class Connected:
    """A connection, and the first error of it."""

    def __init__(self) -> None:
        self.failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def to(self, target: str) -> "Connection":
        from benchmarks.wire.http2 import connect

        self.connection = await connect(target, self._failed)
        return self.connection

    def _failed(self, error: Exception) -> None:
        if not self.failure.done():
            self.failure.set_result(error)


async def test_calls(target: str) -> None:
    connection = await Connected().to(target)
    for number in range(300):
        request = b"%d" % number
        assert await connection.call(UNARY, request) == request
    connection.close()


@pytest.mark.parametrize("size", [0, 16_379, 16_380, 65_530, 65_531, 3_000_000])
async def test_messages_of_any_size_side_by_side(target: str, size: int) -> None:
    connection = await Connected().to(target)
    requests = [bytes([number]) * size for number in range(8)]
    assert await asyncio.gather(*(connection.call(UNARY, request) for request in requests)) == requests
    connection.close()


async def test_a_stream_keeps_the_order_whatever_the_sizes(target: str) -> None:
    connection = await Connected().to(target)
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    streams = [connection.stream(STREAM, answers.put_nowait) for _ in range(2)]
    sent = [bytes([number]) * size for number, size in enumerate([1, 100_000, 5, 300_000, 0, 70_000])]
    for request in sent:
        streams[0].send(request)
    connection.flush()
    assert [await answers.get() for _ in sent] == sent
    connection.close()


@pytest.mark.parametrize(
    ("method", "said"), [(REFUSE, "status 10: not now"), ("/test.Service/Unknown", "status 12"), (NOTHING, "without")]
)
async def test_whoever_is_refused_gets_to_know_it(target: str, method: str, said: str) -> None:
    connected = Connected()
    connection = await connected.to(target)
    assert await connection.call(UNARY, b"good") == b"good"
    connection.unary(method, b"", lambda answer: None)
    connection.flush()
    assert said in str(await asyncio.wait_for(connected.failure, 60))


async def test_a_stream_that_ends_is_an_error(target: str) -> None:
    connected = Connected()
    connection = await connected.to(target)
    connection.stream(STREAM, lambda answer: None).send(b"end")
    connection.flush()
    assert "ended a stream" in str(await asyncio.wait_for(connected.failure, 60))


async def test_a_server_that_goes_away_is_an_error(target: str) -> None:
    from benchmarks.wire.http2 import Connection

    errors: list[Exception] = []
    connection = Connection(target, errors.append)
    connection.connection_lost(None)
    assert "has closed" in str(errors[0])


@pytest.mark.parametrize("pieces", [[b"+OK\r\n+OK\r\n"], [b"+O", b"K\r\n+", b"OK\r\n"]])
def test_redis_acknowledgements(pieces: list[bytes]) -> None:
    from benchmarks.wire.resp import RedisConnection

    errors: list[Exception] = []
    answered: list[int] = []
    connection = RedisConnection(errors.append)
    for number in range(2):
        connection.set(b"key", b"value", lambda number=number: answered.append(number))  # type: ignore[misc]
    for piece in pieces:
        connection.data_received(piece)
    assert answered == [0, 1]
    assert not errors


@pytest.mark.parametrize("answer", [b"-OOM command not allowed\r\n", b"+OK\r\n-ERR\r\n", b":1\r\n"])
def test_redis_errors(answer: bytes) -> None:
    from benchmarks.wire.resp import RedisConnection

    errors: list[Exception] = []
    connection = RedisConnection(errors.append)
    connection.set(b"key", b"value", lambda: None)
    connection.data_received(answer)
    assert len(errors) == 1
