"""What an application does not have to care about, and what it is told when waiting is in vain."""

import asyncio
import socket
import threading
import time

import grpc
import pytest

from lockstitch import (
    AsyncClient,
    Cancelled,
    Checkpoint,
    Client,
    DeadlineExceeded,
    LockstitchError,
    NoConnection,
    RetryPolicy,
    TypedBlob,
    Unavailable,
)
from tests.client.either import Kind, open_client
from tests.client.examples import conversation
from tests.client.scripted import fail, scripted_server, succeed
from tests.support.ports import free_port
from tests.support.server import LockstitchServer

GENEROUS = 60.0
FOREVER = 3600.0
"""A timeout that no test waits for."""
MEBIBYTE = 1024 * 1024


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_no_save_fails_over_restarts_of_the_server(
    own_server: LockstitchServer, kind: Kind, session_id: str, how: str
) -> None:
    async with open_client(kind, own_server.target) as client:
        await client.wait_ready()
        stop = asyncio.Event()
        savers = [asyncio.create_task(_save_until(stop, client, f"{session_id}-{number}")) for number in range(4)]
        for _ in range(2):
            await asyncio.to_thread(getattr(own_server, how))
            await asyncio.sleep(0.5)  # away for a while
            await asyncio.to_thread(own_server.start)
        stop.set()
        for number, saver in enumerate(savers):
            last = await saver
            latest = await client.load_latest(f"{session_id}-{number}")
            assert latest.checkpoint == conversation(f"{session_id}-{number}", last)


async def _save_until(stop: asyncio.Event, client: AsyncClient, session_id: str) -> int:
    step = 0
    await client.save(conversation(session_id, step))
    while not stop.is_set():
        step += 1
        await client.save(conversation(session_id, step))
    return step


@pytest.mark.parametrize("wait", ["connect_timeout", "wait_ready"])
async def test_a_server_that_comes_later_is_waited_for_by_those_who_say_so(
    kind: Kind, session_id: str, wait: str
) -> None:
    server = LockstitchServer()
    options = {"connect_timeout": GENEROUS} if wait == "connect_timeout" else {}
    try:
        async with open_client(kind, server.target, timeout=GENEROUS, **options) as client:
            call = client.wait_ready() if wait == "wait_ready" else client.save(conversation(session_id, 0))
            waiting = asyncio.create_task(call)
            await asyncio.to_thread(server.start, wait=False)
            await waiting
            assert (await client.save(conversation(session_id, 1))).revision > 0
    finally:
        await asyncio.to_thread(server.close)


async def test_a_server_that_hangs_is_not_waited_for(own_server: LockstitchServer, kind: Kind, session_id: str) -> None:
    async with open_client(kind, own_server.target) as client:
        await client.save(conversation(session_id, 0))
        own_server.freeze()
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded) as caught:
            await client.save(conversation(session_id, 1), timeout=0.5)
        with pytest.raises(NoConnection, match="nothing answers there"):  # over a new connection
            [answer async for answer in client.load_latest_many([session_id], timeout=0.5)]
        assert time.monotonic() - start < GENEROUS
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        own_server.thaw()
        await client.save(conversation(session_id, 2))


async def test_a_server_that_is_not_there_is_told_by_the_first_call(kind: Kind, session_id: str) -> None:
    async with open_client(kind, f"127.0.0.1:{free_port()}", timeout=FOREVER) as client:
        for call in (client.save(conversation(session_id, 0)), _first(client, session_id)):
            with pytest.raises(NoConnection, match=r"no connection to 127\.0\.0\.1.*refused"):
                await asyncio.wait_for(call, GENEROUS)
        with pytest.raises(NoConnection, match="refused"):
            await client.wait_ready(0.5)


async def test_a_name_that_does_not_exist_is_told_by_the_first_call(kind: Kind, session_id: str) -> None:
    async with open_client(kind, "server.invalid:50051", timeout=FOREVER) as client:
        with pytest.raises(NoConnection, match=r"no connection to server\.invalid:50051"):
            await asyncio.wait_for(client.save(conversation(session_id, 0)), GENEROUS)


async def test_an_address_where_nothing_answers_is_told_by_the_first_call(kind: Kind, session_id: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, and nobody says anything
        async with open_client(kind, f"127.0.0.1:{silent.getsockname()[1]}", timeout=FOREVER) as client:
            with pytest.raises(NoConnection, match="nothing answers there"):
                await asyncio.wait_for(client.save(conversation(session_id, 0)), GENEROUS)


async def test_many_first_calls_are_told(session_id: str) -> None:
    async with AsyncClient(f"127.0.0.1:{free_port()}", timeout=FOREVER) as client:
        saves = [client.save(conversation(f"{session_id}-{number}", 0)) for number in range(20)]
        results = await asyncio.wait_for(asyncio.gather(*saves, return_exceptions=True), GENEROUS)
        assert {type(result) for result in results} == {NoConnection}


async def test_a_server_that_has_gone_is_waited_for_and_then_named(
    own_server: LockstitchServer, kind: Kind, session_id: str
) -> None:
    async with open_client(kind, own_server.target, connect_timeout=0.01) as client:
        await client.wait_ready()
        await client.save(conversation(session_id, 0))
        own_server.stop()
        for call in (client.save(conversation(session_id, 1), timeout=0.5), client.wait_ready(0.5)):
            with pytest.raises(NoConnection, match="refused"):
                await call
        saving = asyncio.create_task(client.save(conversation(session_id, 1), timeout=GENEROUS))
        await asyncio.to_thread(own_server.start)
        assert (await saving).revision > 0


async def test_closing_ends_the_wait_for_the_first_connection(kind: Kind, session_id: str) -> None:
    async with open_client(kind, f"127.0.0.1:{free_port()}", timeout=FOREVER, connect_timeout=FOREVER) as client:
        call = asyncio.create_task(client.load_latest(session_id))
        await asyncio.sleep(0.2)
        await client.close()
        with pytest.raises(Cancelled):
            await call


async def _first(client: AsyncClient, session_id: str) -> None:
    async for _ in client.load_latest_many([session_id]):
        pass


async def test_without_retries_a_server_that_is_not_there_fails_at_once(kind: Kind, session_id: str) -> None:
    async with open_client(kind, f"127.0.0.1:{free_port()}", timeout=GENEROUS, retry=False) as client:
        with pytest.raises(Unavailable):
            await client.save(conversation(session_id, 0))


# The default buffer of gRPC for retries is 256 KiB.
@pytest.mark.parametrize("size", [0, MEBIBYTE])
async def test_unavailable_is_retried_whatever_the_size(kind: Kind, size: int) -> None:
    away = fail(grpc.StatusCode.UNAVAILABLE)
    checkpoint = Checkpoint(session_id="s", header=TypedBlob(data=b"x" * size))
    with scripted_server(away, away, succeed) as server:
        async with open_client(kind, server.target) as client:
            await client.save(checkpoint)
    assert [request.checkpoint for request in server.requests] == [checkpoint] * 3


QUICK = RetryPolicy(initial_backoff=0.01, max_backoff=0.05)


# CANCELLED without a word: a server that stops has reset what it had not begun.
AWAY = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED]


@pytest.mark.parametrize("code", AWAY, ids=str)
async def test_a_server_that_is_away_is_called_until_it_is_back(kind: Kind, code: grpc.StatusCode) -> None:
    with scripted_server(*[fail(code)] * 12, succeed) as server:
        async with open_client(kind, server.target, timeout=GENEROUS, retry=QUICK) as client:
            await client.save(Checkpoint(session_id="s"))
    assert len(server.requests) == 13


async def test_without_retries_a_call_that_the_server_resets_fails_as_if_it_was_away(kind: Kind) -> None:
    with scripted_server(fail(grpc.StatusCode.CANCELLED, "stopping"), succeed) as server:
        async with open_client(kind, server.target, retry=False) as client:
            with pytest.raises(Unavailable, match="cancelled by the server: stopping"):
                await client.save(Checkpoint(session_id="s"))
    assert len(server.requests) == 1


async def test_retries_end_with_the_timeout(kind: Kind) -> None:
    with scripted_server(fail(grpc.StatusCode.UNAVAILABLE, "no database")) as server:
        async with open_client(kind, server.target, timeout=2, retry=QUICK) as client:
            with pytest.raises(Unavailable, match="no database"):
                await client.save(Checkpoint(session_id="s"))


async def test_without_retries_the_first_error_is_the_last(kind: Kind) -> None:
    with scripted_server(fail(grpc.StatusCode.UNAVAILABLE)) as server:
        async with open_client(kind, server.target, retry=False) as client:
            with pytest.raises(Unavailable):
                await client.save(Checkpoint(session_id="s"))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
async def test_other_errors_are_not_retried(kind: Kind, code: grpc.StatusCode) -> None:
    with scripted_server(fail(code)) as server:
        async with open_client(kind, server.target) as client:
            with pytest.raises(LockstitchError):
                await client.save(Checkpoint(session_id="s"))
    assert len(server.requests) == 1


async def test_closing_the_client_ends_its_calls(own_server: LockstitchServer, kind: Kind, session_id: str) -> None:
    async with open_client(kind, own_server.target, timeout=GENEROUS) as client:
        await client.wait_ready()
        own_server.freeze()
        call = asyncio.create_task(client.load_latest(session_id))
        await asyncio.sleep(0.2)  # until it is on its way
        await client.close()
        with pytest.raises(Cancelled):
            await call


async def test_cancelling_a_task_is_cancelling_and_no_error(own_server: LockstitchServer, session_id: str) -> None:
    async with AsyncClient(own_server.target) as client:
        await client.wait_ready()
        own_server.freeze()
        call = asyncio.create_task(client.load_latest(session_id))
        await asyncio.sleep(0.2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def test_many_threads_share_a_blocking_client(server: LockstitchServer, session_id: str) -> None:
    failures: list[BaseException] = []

    def work(client: Client, name: str) -> None:
        try:
            for step in range(20):
                client.save(conversation(name, step))
                assert client.load_latest(name).checkpoint == conversation(name, step)
        except BaseException as failure:
            failures.append(failure)

    with Client(server.target) as client:
        threads = [threading.Thread(target=work, args=(client, f"{session_id}-{number}")) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


async def test_saves_of_one_session_from_many_tasks(server: LockstitchServer, kind: Kind, session_id: str) -> None:
    async with open_client(kind, server.target) as client:
        await client.save(conversation(session_id, 0))
        await asyncio.gather(*(client.save(conversation(session_id, step)) for step in range(1, 30)))
        for step in range(30):
            assert (await client.load(session_id, step=step)).checkpoint == conversation(session_id, step)
