"""Health of a running server: readiness follows the database, liveness does not, and draining is told first."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lockstitch_server.engine.maintenance.health_probe import HealthState
from tests.robustness.crowd import lines
from tests.robustness.faults import frozen, process_of
from tests.robustness.workload import full_save
from tests.support.api import grpc_api
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

SERVICE = "lockstitch.v1.CheckpointService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PATIENCE = 30.0


@asynccontextmanager
async def health_of(server: LockstitchServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(server.target) as channel:
        yield health_pb2_grpc.HealthStub(channel)


async def status_of(health: Any, service: str) -> int:
    answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
    return int(answer.status)


async def until_status(health: Any, status: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await status_of(health, SERVICE) != status:
            assert await status_of(health, "") == SERVING
            await asyncio.sleep(0.05)


def test_one_failure_is_no_outage_and_one_success_ends_one() -> None:
    verdict = HealthState(2)
    seen = [(verdict.saw(success), verdict.well) for success in (True, False, True, False, False, False, True, True)]
    assert seen == [
        *((False, True) for _ in range(4)),
        (True, False),
        (False, False),
        (True, True),
        (False, True),
    ]


@pytest.mark.slow
async def test_a_database_that_hangs_and_comes_back(start_postgres: Callable[..., Postgres]) -> None:
    postgres = start_postgres()
    with LockstitchServer(postgres.url(), ["--migrate"]) as server:
        async with health_of(server) as health:
            with frozen(postgres):
                await until_status(health, NOT_SERVING)
            await until_status(health, SERVING)
            assert [line["reason"] for line in lines(server, "database_unavailable")] == ["no answer within 1.5 s"]


async def test_a_database_that_is_killed_and_comes_back(start_postgres: Callable[..., Postgres]) -> None:
    postgres = start_postgres()
    with LockstitchServer(postgres.url(), ["--migrate"]) as server:
        async with health_of(server) as health, grpc_api(server.target) as api:
            postgres.kill()
            await until_status(health, NOT_SERVING)
            postgres.start()
            await until_status(health, SERVING)
            await api.save(full_save("session", 0))
        assert postgres.url().rpartition("@")[2] not in server.log.read_text()


@pytest.mark.slow
async def test_a_pool_that_is_busy_is_no_outage(start_postgres: Callable[..., Postgres]) -> None:
    """Readers hold every connection of the pool; health has its own."""
    postgres = start_postgres()
    arguments = ["--migrate", "--set=pool_size=1", "--set=health.probe_seconds=0.1"]
    with LockstitchServer(postgres.url(), arguments) as server:
        connection = await asyncpg.connect(postgres.url())
        try:
            await connection.execute("BEGIN; LOCK TABLE lockstitch.sessions, lockstitch.checkpoints")
            async with health_of(server) as health, grpc_api(server.target) as api:
                saves = [asyncio.create_task(api.save(full_save(f"session-{n}", 0))) for n in range(20)]
                await asyncio.sleep(2)
                assert await status_of(health, SERVICE) == SERVING
                await connection.execute("ROLLBACK")
                await asyncio.gather(*saves)
        finally:
            await connection.close()


async def test_a_file_that_is_taken_away(tmp_path: Path) -> None:
    """What would be saved to it now, nobody would find again."""
    file, away = tmp_path / "lockstitch.db", tmp_path / "away.db"
    with LockstitchServer(f"sqlite:///{file}") as server:
        async with health_of(server) as health:
            file.rename(away)
            await until_status(health, NOT_SERVING)
            away.rename(file)
            await until_status(health, SERVING)


@pytest.mark.slow
async def test_watchers_are_told(start_postgres: Callable[..., Postgres]) -> None:
    postgres = start_postgres()
    with LockstitchServer(postgres.url(), ["--migrate"]) as server:
        async with health_of(server) as health:
            watches = [health.Watch(health_pb2.HealthCheckRequest(service=name)) for name in ("", SERVICE, "none")]
            first = [(await watch.read()).status for watch in watches]
            assert first == [SERVING, SERVING, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN]
            postgres.kill()
            async with asyncio.timeout(PATIENCE):
                assert (await watches[1].read()).status == NOT_SERVING
            postgres.start()
            async with asyncio.timeout(PATIENCE):
                assert (await watches[1].read()).status == SERVING
            await asyncio.to_thread(server.stop)
            assert (await watches[1].read()).status == NOT_SERVING
            assert [await watch.read() for watch in watches] == [grpc.aio.EOF] * 3


async def test_all_services_are_listed() -> None:
    with LockstitchServer("memory://") as server:
        async with health_of(server) as health:
            listed = await health.List(health_pb2.HealthListRequest(), timeout=60)
            assert {"", SERVICE} <= set(listed.statuses)
            assert {answer.status for answer in listed.statuses.values()} == {SERVING}


@pytest.mark.slow
async def test_while_it_says_that_it_leaves_it_serves_on() -> None:
    with LockstitchServer(arguments=["--set=drain_delay_seconds=4"]) as server:
        process = process_of(server)
        async with health_of(server) as health, grpc_api(server.target) as api:
            server.signal(signal.SIGTERM)
            await until_status(health, NOT_SERVING)
            await api.save(full_save("session", 0))
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
