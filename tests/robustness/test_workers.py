"""Several processes that serve one address, and what happens when they die, stop, or lose their supervisor."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import psutil
import pytest

from lockstitch import AsyncClient
from lockstitch.v1.checkpoint_service_pb2 import SaveResponse
from tests.robustness.counting import count_up_together
from tests.robustness.crowd import complete, crowd, lines, patient_crowd, pids, until
from tests.robustness.faults import arrived, locked, process_of
from tests.robustness.ledger import Ledger
from tests.robustness.workload import full_save
from tests.robustness.writers import MOST_STEPS, Writer
from tests.support.api import ApiError, GrpcApi, grpc_api
from tests.support.postgres import has_ended
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow  # workers start, end and start again

WORKERS = 2
CLIENTS = 8
DRAIN_SECONDS = 10.0
SLACK_SECONDS = 30.0
"""For processes to end, on a busy machine."""


@pytest.fixture
def server(store_url: str) -> Iterator[LockstitchServer]:
    """Started by the test."""
    server = LockstitchServer(store_url, ["--migrate", f"--workers={WORKERS}"])
    yield server
    server.close()


@pytest.fixture
def on_file() -> Iterator[LockstitchServer]:
    """A running one on SQLite, for what has nothing to do with the store."""
    with LockstitchServer(arguments=[f"--workers={WORKERS}"]) as server:
        yield server


async def test_every_worker_is_called(on_file: LockstitchServer) -> None:
    workers = await complete(on_file, WORKERS)
    async with crowd(on_file.target, 40) as apis:
        await asyncio.gather(*(api.save(full_save(f"session-{n}", 0)) for n, api in enumerate(apis)))
        # Another, of whoever asked whether they are ready, may just be ending.
        await until(lambda: sum(_connections(pid, on_file) for pid in workers.values()) == 40)
        assert all(_connections(pid, on_file) for pid in workers.values())
    (line,) = lines(on_file, "serving")
    assert (line["listen"], line["workers"]) == (on_file.target, WORKERS)


def _connections(pid: int, server: LockstitchServer) -> int:
    port = int(server.target.rpartition(":")[2])
    connections = psutil.Process(pid).net_connections("tcp")
    return sum(one.laddr[1] == port for one in connections if one.status == psutil.CONN_ESTABLISHED)


async def test_every_increment_has_one_winner(rng: random.Random, server: LockstitchServer) -> None:
    await asyncio.to_thread(server.start)
    await complete(server, WORKERS)
    async with crowd(server.target, 6) as apis:
        await count_up_together(apis, rng)


async def test_workers_do_not_stand_in_each_others_way(rng: random.Random, server: LockstitchServer) -> None:
    """They write to one store as fast as they can. No call fails."""
    await asyncio.to_thread(server.start)
    await complete(server, WORKERS)
    ledger, stop = Ledger(), asyncio.Event()
    async with crowd(server.target, CLIENTS) as apis:
        writers = _writers(ledger, rng)
        load = asyncio.gather(*(writer.write(api, stop) for writer, api in zip(writers, apis, strict=True)))
        await until(lambda: ledger.acknowledged > 50 * CLIENTS)
        stop.set()
        await load
        assert not [failure for writer in writers for failure in writer.failures]
        await ledger.check_all(apis[0])


def _writers(ledger: Ledger, rng: random.Random, name: str = "writer") -> list[Writer]:
    """Each has sessions of its own, named after it: no two of a ledger may have one name."""
    return [Writer(f"{name}-{number}", ledger, random.Random(rng.random())) for number in range(CLIENTS)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_no_save_fails_when_a_worker_ends(
    rng: random.Random, server: LockstitchServer, number: signal.Signals
) -> None:
    """Killed, or sent away by hand: another one takes its place."""
    await asyncio.to_thread(server.start)
    ledger, stop = Ledger(), asyncio.Event()
    async with patient_crowd(server.target, CLIENTS) as clients:
        load = asyncio.gather(*(_save_until(stop, client, n, ledger) for n, client in enumerate(clients)))
        for _ in range(3):
            workers = await complete(server, WORKERS)
            await asyncio.sleep(rng.uniform(0.1, 0.6))
            worker, pid = rng.choice(sorted(workers.items()))
            os.kill(pid, number)
            await until(lambda worker=worker, pid=pid: pids(server).get(worker, pid) != pid)  # type: ignore[misc]
        stop.set()
        await load
    async with grpc_api(server.target) as api:
        await ledger.check_all(api)
    assert ledger.acknowledged > CLIENTS
    ended = [line.get("signal", line.get("exit_code")) for line in lines(server, "worker_ended")]
    assert ended == ["SIGKILL" if number is signal.SIGKILL else 0] * 3


async def _save_until(stop: asyncio.Event, client: AsyncClient, number: int, ledger: Ledger) -> None:
    saves = 0
    while not stop.is_set():
        request = full_save(f"client-{number}-{saves // MOST_STEPS}", saves % MOST_STEPS)
        sent = ledger.note_save(request)
        await client.save(request.checkpoint)
        sent.acknowledged = True
        saves += 1


async def test_stopped_under_load(rng: random.Random, server: LockstitchServer) -> None:
    """Every save is either acknowledged, and there, or refused as a client can understand."""
    ledger = Ledger()
    for number in range(2):
        await asyncio.to_thread(server.start)
        workers = await complete(server, WORKERS)
        async with crowd(server.target, CLIENTS) as apis:
            writers = _writers(ledger, rng, f"writer-{number}")
            pairs = zip(writers, apis, strict=True)
            load = [asyncio.create_task(writer.write(api, asyncio.Event())) for writer, api in pairs]
            await asyncio.sleep(rng.uniform(0.2, 0.6))
            await _terminate(server)
            await asyncio.gather(*load)
            assert set().union(*(writer.codes for writer in writers)) == {grpc.StatusCode.UNAVAILABLE}
        assert not any(psutil.pid_exists(pid) for pid in workers.values())
    await asyncio.to_thread(server.start)
    async with grpc_api(server.target) as api:
        await ledger.check_all(api)


async def _terminate(server: LockstitchServer) -> None:
    process = process_of(server)
    server.signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, DRAIN_SECONDS + SLACK_SECONDS) == 0


async def test_no_save_fails_when_another_server_is_left(rng: random.Random, postgres_url: str) -> None:
    several = [f"--workers={WORKERS}", "--drain-seconds=2"]
    with LockstitchServer(postgres_url, ["--migrate", *several]) as one, LockstitchServer(postgres_url, several) as two:
        ledger, stop = Ledger(), asyncio.Event()
        async with patient_crowd(f"ipv4:{one.target},{two.target}", CLIENTS) as clients:
            load = asyncio.gather(*(_save_until(stop, client, n, ledger) for n, client in enumerate(clients)))
            await until(lambda: ledger.acknowledged > 10 * CLIENTS)
            await _terminate(one)
            before = ledger.acknowledged
            await until(lambda: ledger.acknowledged > before + 10 * CLIENTS)
            stop.set()
            await load
        async with grpc_api(two.target) as api:
            await ledger.check_all(api)


async def test_without_their_supervisor_workers_finish_and_end(on_file: LockstitchServer) -> None:
    workers = await _complete_processes(on_file)
    async with crowd(on_file.target, CLIENTS) as apis:
        with locked(on_file):
            saves = await _arrived_saves(apis)
            process = process_of(on_file)
            on_file.signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait, SLACK_SECONDS)
            await asyncio.sleep(0.3)
            assert not any(map(has_ended, workers)), "the saves are not done"
        await asyncio.gather(*saves)
    await until(lambda: all(map(has_ended, workers)))
    await asyncio.to_thread(on_file.start)


async def _complete_processes(server: LockstitchServer) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in (await complete(server, WORKERS)).values()]


async def _arrived_saves(apis: Sequence[GrpcApi]) -> "Sequence[asyncio.Future[SaveResponse]]":
    return await arrived((api.save(full_save(f"locked-{n}", 0)) for n, api in enumerate(apis)), apis)


async def test_a_second_signal_ends_all_at_once(on_file: LockstitchServer) -> None:
    """It does not wait for the saves, which wait for the file."""
    workers = await _complete_processes(on_file)
    process = process_of(on_file)
    async with crowd(on_file.target, CLIENTS) as apis:
        with locked(on_file):
            saves = await _arrived_saves(apis)
            on_file.signal(signal.SIGTERM)
            await until(lambda: lines(on_file, "stopping"))
            await asyncio.sleep(1)  # what comes sooner is taken for the same signal
            assert process.is_running()
            on_file.signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, SLACK_SECONDS) == -signal.SIGTERM
            await until(lambda: all(map(has_ended, workers)))
        failures = await asyncio.gather(*saves, return_exceptions=True)
    assert all(isinstance(failure, grpc.aio.AioRpcError) for failure in failures)


async def test_a_worker_that_hangs_does_not_keep_the_server_from_ending() -> None:
    with LockstitchServer(arguments=["--workers=2", "--drain-seconds=0"]) as server:
        workers = await complete(server, 2)
        os.kill(workers[1], signal.SIGSTOP)
        await _terminate(server)
        assert [line["worker"] for line in lines(server, "worker_killed")] == [1]
        assert not any(map(psutil.pid_exists, workers.values()))


async def test_a_worker_that_cannot_start_is_tried_again_and_again(tmp_path: Path) -> None:
    """The pauses grow. The other one answers meanwhile, and saves again when its files are back."""
    data, away = tmp_path / "data", tmp_path / "away"
    data.mkdir()
    with LockstitchServer(f"sqlite:///{data}/lockstitch.db", ["--workers=2"]) as server:
        workers = await complete(server, 2)
        data.rename(away)
        os.kill(workers[1], signal.SIGKILL)
        async with grpc_api(server.target) as api:
            await until(lambda: len(lines(server, "worker_cannot_start")) == 3)
            with pytest.raises(ApiError) as refused:
                await api.save(full_save("session", 0))
            assert refused.value.reason == "STORE_UNAVAILABLE"
            away.rename(data)
            await complete(server, 2)
            await api.save(full_save("session", 1))
        assert [line["pause_seconds"] for line in lines(server, "worker_restarts")][:3] == [0.1, 0.2, 0.4]
        assert {line["worker"] for line in lines(server, "worker_restarts")} == {1}
        assert pids(server)[2] == workers[2]


async def test_workers_tell_who_they_are_and_no_secrets(postgres_url: str) -> None:
    with LockstitchServer(postgres_url, ["--migrate", "--workers=2"]) as server:
        await complete(server, 2)
        assert not [part for worker in server.workers for part in worker.cmdline() if "postgres" in part]
        server.stop()
        stopped = [line.get("worker") for line in lines(server, "stopped")]
        assert sorted(stopped, key=str) == [1, 2, None]
