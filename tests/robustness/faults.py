"""What can befall a server's surroundings, and what its clients may be told of it."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TypeVar

import grpc
import psutil
import pytest

from lockstitch.v1.checkpoint_service_pb2 import (
    ListCheckpointsRequest,
    ListSessionsRequest,
    LoadLatestRequest,
    LoadLatestStreamRequest,
    LoadRequest,
    WalkAncestorsRequest,
)
from lockstitch.v1.error_pb2 import Status
from tests.robustness.workload import full_save, pending_writes, writes_save
from tests.support.api import Api, ApiError
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

T = TypeVar("T")

INTERNALS = re.compile(
    r"postgres|asyncpg|sqlite|127\.0\.0\.1|localhost|errno|connect call|\bselect\b|traceback|/tmp", re.I
)


@contextmanager
def frozen(postgres: Postgres) -> Iterator[None]:
    """Connections stay, and new ones are made; nothing answers."""
    server = psutil.Process(postgres.pid)
    server.suspend()
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@contextmanager
def locked(server: LockstitchServer) -> Iterator[None]:
    """The server's SQLite file, in the hands of another process: no save can be done. For less than 5 seconds."""
    with closing(sqlite3.connect(server.store.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def arrived(calls: Iterable[Awaitable[T]], apis: Sequence[Api]) -> "Sequence[asyncio.Future[T]]":
    """Begin calls, and return when the server has them: what comes after them on their connections is answered."""
    await _answered(apis)  # they are connected: before, calls go out in any order
    begun = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)  # in which they go out
    await _answered(apis)
    return begun


async def _answered(apis: Iterable[Api]) -> None:
    await asyncio.gather(*(api.load_latest(LoadLatestRequest(session_id="none")) for api in apis))


def process_of(server: LockstitchServer) -> psutil.Process:
    (found,) = (child for child in psutil.Process().children() if server.target in child.cmdline())
    return found


async def assert_unavailable(call: Awaitable[object], reason: str = "STORE_UNAVAILABLE") -> ApiError:
    """A call fails as clients can understand, and says nothing that is not for them."""
    with pytest.raises(ApiError) as caught:
        await call
    assert_says(caught.value, reason)
    return caught.value


def assert_says(error: BaseException, reason: str) -> None:
    assert isinstance(error, ApiError), error
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
    assert error.detail("RetryInfo").retry_delay.ToTimedelta().total_seconds() > 0
    assert not INTERNALS.search(f"{error.message} {error.details}"), error


def calls(api: Api, session: str) -> list[Callable[[], Awaitable[object]]]:
    """One call of each method with one answer, and the first answer of those with many."""
    save = full_save(session, 0)
    return [
        lambda: api.save(save),
        lambda: api.save_writes(writes_save(session, 0, pending_writes("task", 1))),
        lambda: api.load_latest(LoadLatestRequest(session_id=session)),
        lambda: api.load(LoadRequest(session_id=session, step=0)),
        lambda: api.list_sessions(ListSessionsRequest()),
        lambda: api.list_checkpoints(ListCheckpointsRequest(session_id=session)),
        lambda: _first(api.walk_ancestors(WalkAncestorsRequest(session_id=session))),
    ]


async def error_in_stream(api: Api, session: str) -> Status:
    """What LoadLatestStream says of a session that it cannot load."""
    request = LoadLatestStreamRequest(requests=[LoadLatestRequest(session_id=session)])
    (answer,) = [answer async for answer in api.load_latest_stream(request)]
    return answer.error


async def _first(answers: AsyncIterator[object]) -> object:
    return await anext(aiter(answers))
