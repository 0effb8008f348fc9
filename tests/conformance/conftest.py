"""Where the suite runs: each test module names a backend (BACKEND) and how it is reached (TRANSPORT).

Tests that are marked `edge` run only in modules with EDGE = True: on one store in this process and over gRPC. What they
are about is decided before the store is asked. Memory is not run over gRPC: it is SQLite without a file, and SQLite is.
"""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing

import asyncpg
import pytest
import pytest_asyncio

from lockstitch_server.config import Limits, Settings
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage import Store
from lockstitch_server.storage.sqlite import SqliteStore
from tests.support.api import Api, RawApi, grpc_api, raw_api
from tests.support.buckets import with_buckets
from tests.support.citus import citus_database
from tests.support.envoy import Envoy
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer
from tests.upkeep.stores import faults_in

TIGHT = Limits(
    max_message_bytes=32 * 1024,
    max_page_bytes=4 * 1024,
    max_metadata_entries=3,
    max_writes=4,
    max_sessions_per_stream=3,
    max_parts=5,
    max_page_size=7,
    default_page_size=2,
)
"""Limits that a test can reach without effort."""

ENGLISH = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'"
"""A database that sorts as English readers do: ids must be compared by their bytes all the same."""

NUMBERS = itertools.count(1)

Execute = Callable[[str], Awaitable[None]]

MEDDLED_WITH: set[str] = set()
"""What the ids of sessions begin with that a test has done something to that no server does."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = {item for item in items if item.get_closest_marker("edge") and not _has_edge(item)}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def _has_edge(item: pytest.Item) -> bool:
    return bool(getattr(getattr(item, "module", None), "EDGE", False))


@pytest.fixture(scope="module")
def store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    backend = request.module.BACKEND
    if backend == "memory":
        yield "memory://"
    elif backend == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('conformance')}/lockstitch.db"
    elif backend == "pgbouncer":
        server: Postgres = request.getfixturevalue("postgres")
        name = _create_database(server)
        with PgBouncer(server) as bouncer:
            yield bouncer.url(name)
        server.drop_database(name)
    elif backend == "citus":
        with citus_database() as url:
            yield url
    else:
        server = request.getfixturevalue("postgres")
        name = _create_database(server)
        if backend == "buckets":
            asyncio.run(with_buckets(server.url(name)))
        yield server.url(name)
        server.drop_database(name)


def _create_database(server: Postgres) -> str:
    name = f"conformance_{next(NUMBERS)}"
    try:
        server.execute(f"CREATE DATABASE {name} {ENGLISH}")
    except RuntimeError:  # PostgreSQL can be built without locales
        return server.create_database()
    return name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(request: pytest.FixtureRequest, store_url: str) -> AsyncIterator[Api]:
    """The service with the limits it has by default. What all tests have left behind is looked through at the end."""
    async with _open(Settings(store=store_url, migrate=True), request.module.TRANSPORT) as opened:
        yield opened
        if isinstance(opened, RawApi):
            await _check(opened.store)
    if store_url != "memory://":
        async with open_store(Settings(store=store_url)) as store:
            await _check(store)


async def _check(store: Store) -> None:
    faults = [
        fault
        for fault in await faults_in(store)
        if not fault.harmless and not fault.session_id.startswith(tuple(MEDDLED_WITH))
    ]
    assert not faults, "\n".join(map(str, faults))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tight_api(request: pytest.FixtureRequest, store_url: str) -> AsyncIterator[Api]:
    """The service with the limits of TIGHT."""
    async with _open(Settings(store=store_url, migrate=True, limits=TIGHT), request.module.TRANSPORT) as opened:
        yield opened


@pytest.fixture
def session(request: pytest.FixtureRequest) -> str:
    """The id of a session that no other test uses, and that no other id begins with."""
    return f"{request.node.originalname}-{next(NUMBERS)}."


@pytest.fixture
def execute(request: pytest.FixtureRequest, api: Api, store_url: str, session: str) -> Execute:
    """Runs SQL behind the server's back. `{schema}` stands before the name of a table, `{bytes}` before hex digits."""
    MEDDLED_WITH.add(session)
    if request.module.BACKEND == "citus":
        return _on_citus(store_url)
    if store_url.startswith("postgresql:"):
        server: Postgres = request.getfixturevalue("postgres")
        return _on_postgres(server, store_url.rpartition("/")[2])
    if isinstance(api, RawApi):
        return _on_open_sqlite(api.store)
    if store_url == "memory://":
        pytest.skip("nobody else can reach the memory of a server")
    return _on_sqlite_file(store_url.removeprefix("sqlite:///"))


def _open(settings: Settings, transport: str) -> AbstractAsyncContextManager[Api]:
    if transport == "raw":
        return raw_api(settings)
    return _meshed(settings) if transport == "envoy" else _served(settings, transport)


@asynccontextmanager
async def _served(settings: Settings, door: str) -> AsyncIterator[Api]:
    with LockstitchServer(settings.store, _arguments(settings), door=door) as server:
        async with grpc_api(server.target) as opened:
            yield opened


@asynccontextmanager
async def _meshed(settings: Settings) -> AsyncIterator[Api]:
    """Two replicas behind an Envoy."""
    arguments = _arguments(settings)
    with (
        LockstitchServer(settings.store, arguments) as one,
        LockstitchServer(settings.store, arguments) as two,
        Envoy("envoy.yaml", [one.target, two.target]) as envoy,
    ):
        async with grpc_api(envoy.target) as opened:
            yield opened


def _arguments(settings: Settings) -> list[str]:
    limits = settings.limits.model_dump(exclude_defaults=True)
    return ["--migrate", *(f"--set=limits.{name}={value}" for name, value in limits.items())]


def _on_postgres(server: Postgres, database: str) -> Execute:
    async def execute(statement: str) -> None:
        server.execute(statement.format(schema="lockstitch.", bytes="'\\x"), database)

    return execute


def _on_citus(url: str) -> Execute:
    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement.format(schema="lockstitch.", bytes="'\\x"))
        await connection.close()

    return execute


def _on_open_sqlite(store: Store) -> Execute:
    assert isinstance(store, SqliteStore)

    async def execute(statement: str) -> None:
        assert store._writer is not None
        await store._writer.run(lambda connection: connection.execute(statement.format(schema="", bytes="x'")))

    return execute


def _on_sqlite_file(path: str) -> Execute:
    async def execute(statement: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statement.format(schema="", bytes="x'"))
            connection.commit()

    return execute
