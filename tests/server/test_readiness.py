"""Readiness says whether saves can succeed; saves that fail, and servers that cannot start, say why."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest
from tests.robustness.crowd import lines
from tests.robustness.faults import assert_unavailable
from tests.robustness.workload import full_save
from tests.server.test_health import NOT_SERVING, SERVING, health_of, until_status
from tests.support.api import grpc_api
from tests.support.postgres import Postgres
from tests.support.requirements import missing
from tests.support.server import LockstitchServer

SECONDS = 120.0
LOOKS = ["--set=health.probe_seconds=0.1", "--set=health.write_seconds=0.1"]
MIB = 1024 * 1024
UNUSABLE = 2


def run(*arguments: str, prefix: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCKSTITCH_")}
    command = [*prefix, sys.executable, "-m", "lockstitch_server", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)


def assert_refused(*arguments: str, because: str, prefix: Sequence[str] = ()) -> None:
    """A command ends with one line that says why."""
    ended = run(*arguments, prefix=prefix)
    assert ended.returncode == UNUSABLE, ended
    assert because in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr


def serve(store: str) -> Sequence[str]:
    return ["serve", "--listen", "127.0.0.1:0", "--store", store]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    if sys.platform != "linux" or os.geteuid() != 0:
        missing("only root can mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        missing(f"no file system can be mounted here: {mounted.stderr!r}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """All of its room is taken."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        while free := shutil.disk_usage(disk).free:
            os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)
    try:
        yield
    finally:
        filler.unlink()


async def test_a_full_disk(small_disk: Path) -> None:
    with LockstitchServer(f"sqlite:///{small_disk}/lockstitch.db", LOOKS) as server:
        async with health_of(server) as health, grpc_api(server.target) as api:
            await until_status(health, SERVING)
            await api.save(full_save("session", 0))
            with filled(small_disk):
                error = await assert_unavailable(save_much(api), "STORE_FULL")
                assert "full" in error.message
                await until_status(health, NOT_SERVING)
                assert (await api.load_latest(LoadLatestRequest(session_id="session"))).HasField("checkpoint")
            await until_status(health, SERVING)
            await api.save(full_save("session", 1))
        assert "full" in str(lines(server, "database_unavailable")[0]["reason"])


async def save_much(api: object) -> None:
    """Until the write-ahead log must grow."""
    for number in range(1000):
        await api.save(full_save(f"session-{number}", 0))  # type: ignore[attr-defined]


async def test_a_disk_that_is_nearly_full(small_disk: Path) -> None:
    """The server is not ready before the first save fails."""
    arguments = [*LOOKS, "--set=health.free_bytes=1GiB"]
    with LockstitchServer(f"sqlite:///{small_disk}/lockstitch.db", arguments) as server:
        async with health_of(server) as health, grpc_api(server.target) as api:
            await until_status(health, NOT_SERVING)
            await api.save(full_save("session", 0))


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_starting_on_a_full_disk(small_disk: Path, command: str) -> None:
    store = f"sqlite:///{small_disk}/new.db"
    with filled(small_disk):
        arguments = serve(store) if command == "serve" else ["migrate", "--store", store]
        assert_refused(*arguments, because="new.db: database or disk is full")


def as_owner() -> Sequence[str]:
    """What makes root heed the permissions of files."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        missing("setpriv is not installed (util-linux)")
    return ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-all")


@pytest.mark.slow
def test_starting_with_a_file_that_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "lockstitch.db"
    assert run("migrate", "--store", f"sqlite:///{path}").returncode == 0
    path.chmod(0o444)
    assert_refused(*serve(f"sqlite:///{path}"), because="readonly database", prefix=as_owner())


def test_starting_in_a_directory_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        store = f"sqlite:///{tmp_path}/lockstitch.db"
        assert_refused(*serve(store), because="unable to open database file", prefix=as_owner())
        assert_refused("migrate", "--store", store, because="unable to open database file", prefix=as_owner())
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("store", "because"),
    [
        ("sqlite:///:memory:", "write memory://"),
        ("sqlite:///{directory}/lockstitch.db?mode=ro", "has no parameters"),
        ("sqlite:///{directory}", "it is a directory"),
        ("sqlite:///{directory}/none/lockstitch.db", "there is no directory"),
        ("sqlite:///{directory}/text", "file is not a database"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_store_that_cannot_be_one(tmp_path: Path, store: str, because: str, command: str) -> None:
    (tmp_path / "text").write_text("no database " * 1000)
    url = store.format(directory=tmp_path)
    assert_refused(*(serve(url) if command == "serve" else ["migrate", "--store", url]), because=because)
    assert [each.name for each in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_of_another_encoding(start_postgres: Callable[..., Postgres], encoding: str) -> None:
    postgres = start_postgres()
    connection = await asyncpg.connect(postgres.url())
    await connection.execute(
        f"CREATE DATABASE other ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    await connection.close()
    url = postgres.url("other")
    for command in (["migrate", "--store", url], [*serve(url), "--migrate"], serve(url)):
        await asyncio.to_thread(assert_refused, *command, because=f"is {encoding}, but Lockstitch needs UTF8")


async def test_a_database_that_becomes_read_only(start_postgres: Callable[..., Postgres]) -> None:
    postgres = start_postgres()
    with LockstitchServer(postgres.url(), ["--migrate", *LOOKS]) as server:
        async with health_of(server) as health, grpc_api(server.target) as api:
            await until_status(health, SERVING)
            await api.save(full_save("session", 0))
            await execute(postgres, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
            await until_status(health, NOT_SERVING)
            error = await assert_unavailable(api.save(full_save("session", 1)), "STORE_READ_ONLY")
            assert "read-only" in error.message
            assert (await api.load_latest(LoadLatestRequest(session_id="session"))).HasField("checkpoint")
            await execute(postgres, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
            await until_status(health, SERVING)
            await api.save(full_save("session", 1))
        assert "read-only" in str(lines(server, "database_unavailable")[0]["reason"])


async def test_a_role_that_loses_its_rights(start_postgres: Callable[..., Postgres]) -> None:
    """Saves fail and say so, readiness tells, and the server still stops in peace."""
    postgres = start_postgres()
    await execute(postgres, "CREATE ROLE saver LOGIN", "GRANT CREATE ON DATABASE postgres TO saver")
    grants = "INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA lockstitch"
    with LockstitchServer(postgres.url().replace("postgres@", "saver@"), ["--migrate", *LOOKS]) as server:
        async with health_of(server) as health, grpc_api(server.target) as api:
            await until_status(health, SERVING)
            await api.save(full_save("session", 0))
            await execute(postgres, f"REVOKE {grants} FROM saver")
            await until_status(health, NOT_SERVING)
            error = await assert_unavailable(api.save(full_save("session", 1)), "STORE_READ_ONLY")
            assert "rights" in error.message
            assert (await api.load_latest(LoadLatestRequest(session_id="session"))).HasField("checkpoint")
            assert "INSERT on lockstitch.sessions" in str(lines(server, "database_unavailable")[0]["reason"])
        await asyncio.to_thread(server.stop)
        assert "Traceback" not in server.log.read_text()
        assert lines(server, "stopped")


async def execute(postgres: Postgres, *statements: str) -> None:
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
