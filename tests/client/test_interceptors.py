"""Interceptors of the caller's see each attempt of every call, of both clients."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc import aio

from lockstitch import Cancelled, Checkpoint, Client, NotFound
from tests.client.either import Kind, open_client
from tests.support.server import LockstitchServer


class Counts(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Calls by method; and of unary ones, how they ended."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.codes: Counter[grpc.StatusCode] = Counter()

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        self.calls[details.method.rpartition("/")[2]] += 1
        call = continuation(details, request)
        self.codes[call.code()] += 1
        return call

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        self.calls[details.method.rpartition("/")[2]] += 1
        return continuation(details, request)


class AsyncCounts(aio.UnaryUnaryClientInterceptor):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self._counts.calls[details.method.decode().rpartition("/")[2]] += 1
        call = await continuation(details, request)
        self._counts.codes[await call.code()] += 1
        return call


class AsyncStreamCounts(aio.UnaryStreamClientInterceptor):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self._counts.calls[details.method.decode().rpartition("/")[2]] += 1
        return await continuation(details, request)


async def test_interceptors_see_every_call(kind: Kind) -> None:
    counts = Counts()
    interceptors = [counts] if kind == "blocking" else [AsyncCounts(counts), AsyncStreamCounts(counts)]
    with LockstitchServer() as server:
        async with open_client(kind, server.target, interceptors=interceptors) as client:
            await client.save(Checkpoint(session_id="s", checkpoint_id="c"))
            assert (await client.load("s", checkpoint_id="c")).checkpoint.checkpoint_id == "c"
            assert [latest.session_id async for latest in client.load_latest_many(["s"])] == ["s"]
            with pytest.raises(NotFound):
                await client.load("s", checkpoint_id="missing")
    assert (counts.calls["Save"], counts.calls["Load"], counts.calls["LoadLatestStream"]) == (1, 2, 1)
    assert counts.codes[grpc.StatusCode.NOT_FOUND] == 1


class Closing(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Does what another thread may do as a call begins."""

    client: Client

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        self.client.close()
        return continuation(details, request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return self.intercept_unary_unary(continuation, details, request)


@pytest.mark.parametrize(
    "call", [lambda client: client.load_latest("s"), lambda client: next(client.walk_ancestors("s"), None)]
)
def test_a_call_that_begins_as_the_client_is_closed_is_cancelled(call: Callable[[Client], object]) -> None:
    closing = Closing()
    with LockstitchServer() as server:
        closing.client = Client(server.target, interceptors=[closing])
        with pytest.raises(Cancelled):
            call(closing.client)
