"""PgBouncer in transaction mode between servers and their database: nothing may rest on a connection's state."""

import asyncio
from collections.abc import Iterator

import pytest

import lockstitch
from tests.cli.commands import Command
from tests.support.paths import ROOT
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

SESSIONS, STEPS = 8, 15


@pytest.fixture(scope="module")
def bouncer(postgres: Postgres) -> Iterator[PgBouncer]:
    with PgBouncer(postgres) as running:
        yield running


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


async def _work(client: lockstitch.AsyncClient, session: str) -> None:
    """As an agent works; every acknowledged step must be there."""
    lease = await client.acquire_lease(session, "me", ttl=60)
    for step in range(STEPS):
        checkpoint = lockstitch.Checkpoint(session_id=session, step=step)
        checkpoint.state.messages.items.add(role="user", content=f"{session} {step}")
        await client.save(checkpoint, lease_token=lease.token)
    await client.release_lease(session, lease.token)
    loaded = await client.load_latest(session)
    assert loaded.checkpoint is not None
    assert loaded.checkpoint.step == STEPS - 1
    assert len([item async for item in client.list_checkpoints(session)]) == STEPS


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        pytest.param("pgbouncer=true", (), id="by the URL", marks=pytest.mark.slow),
        pytest.param("", ("--set", "postgres.statement_cache=off"), id="by the setting", marks=pytest.mark.slow),
        pytest.param("", (), id="noticed"),
    ],
)
async def test_two_servers_behind_one_bouncer(
    bouncer: PgBouncer, database: str, query: str, arguments: tuple[str, ...]
) -> None:
    url = bouncer.url(database, query)
    with (
        LockstitchServer(url, ["--migrate", *arguments]) as one,
        LockstitchServer(url, ["--migrate", *arguments]) as two,
    ):
        async with (
            lockstitch.AsyncClient(one.target) as first,
            lockstitch.AsyncClient(two.target) as second,
            asyncio.TaskGroup() as group,
        ):
            for number in range(SESSIONS):
                group.create_task(_work((first, second)[number % 2], f"s{number}"))
        for server in (one, two):
            ready = Command("health", "--service", "lockstitch.v1.CheckpointService").in_process(server.target)
            assert (ready.code, ready.out) == (0, "SERVING\n")
            log = server.log.read_text()
            assert not [line for line in log.splitlines() if '"level":"error"' in line.replace(" ", "")]
            assert ("postgres_statement_cache_off" in log) == (not query and not arguments)


async def test_a_pooler_that_is_not_noticed_costs_no_save(postgres: Postgres, database: str) -> None:
    """It takes all settings of a connection, and loses prepared statements: the server does without them then."""
    with (
        PgBouncer(postgres, {"ignore_startup_parameters": "plan_cache_mode"}) as careless,
        LockstitchServer(careless.url(database), ["--migrate"]) as server,
    ):
        async with lockstitch.AsyncClient(server.target) as client, asyncio.TaskGroup() as group:
            for number in range(SESSIONS):
                group.create_task(_work(client, f"s{number}"))
        assert "a pooler has lost prepared statements" in server.log.read_text()


async def test_an_import_through_a_pooler(postgres: Postgres, bouncer: PgBouncer, database: str) -> None:
    """Twice: nothing of the first import may be left on the connections."""
    postgres.execute((ROOT / "tests" / "fixtures" / "langgraph" / "postgres-3.2.0.sql").read_text(), database)
    source = bouncer.url(database).replace("postgresql://", "postgresql+psycopg://")
    with LockstitchServer("memory://") as server:
        command = Command("import", "langgraph", source, "--jobs", "1")
        for created in (5, 0):
            done = await asyncio.to_thread(command.in_process, server.target)
            assert done.code == 0, done
            assert f"5 steps: {created} created, {5 - created} unchanged" in done.out
