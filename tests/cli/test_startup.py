"""What keeps a server from starting is told in one line, with exit code 2 and no traceback."""

import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstitch_server.storage.migrations import head
from tests.cli.commands import FIXTURE, Command
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory in which this process cannot make a file, even as root."""
    if os.geteuid() == 0:
        yield Path("/proc/self/fdinfo")
        return
    directory = tmp_path / "read-only"
    directory.mkdir(mode=0o500)
    yield directory
    directory.chmod(0o700)


def serve(directory: Path, store: str, *arguments: str, listen: str = "127.0.0.1:0") -> Command:
    return Command("serve", "--listen", listen, "--store", store, *arguments)


def test_a_wrong_setting(tmp_path: Path) -> None:
    Command("serve", "--store", "nowhere").process(tmp_path).refused("--store", "nowhere", "sqlite:///relative/path")
    Command("serve", "--pool-size", "0").process(tmp_path).refused("--pool-size", "from 1 to 1000")
    Command("serve", "--config", "none.toml").process(tmp_path).refused("none.toml", "No such file")
    Command("serve", "--set", "auth.keys=none.json").process(tmp_path).refused("auth.keys", "none.json", "No such file")
    Command("serve").process(tmp_path, LOCKSTITCH_DRAIN_SECONDS="x").refused("LOCKSTITCH_DRAIN_SECONDS", "a number")


@pytest.mark.parametrize("command", ["serve", "migrate"])
class TestStores:
    def refused(self, command: str, directory: Path, store: str, *words: str) -> None:
        listen = ["--listen", "127.0.0.1:0"] if command == "serve" else []
        Command(command, "--store", store, *listen).process(directory).refused(*words)

    def test_a_directory_that_does_not_exist(self, command: str, tmp_path: Path) -> None:
        self.refused(command, tmp_path, "sqlite:///none/lockstitch.db", "there is no directory", "/none; create it")

    def test_a_directory_in_place_of_a_file(self, command: str, tmp_path: Path) -> None:
        self.refused(command, tmp_path, f"sqlite:///{tmp_path}", str(tmp_path), "it is a directory")

    def test_a_file_that_cannot_be_written(self, command: str, tmp_path: Path, read_only: Path) -> None:
        self.refused(command, tmp_path, f"sqlite:///{read_only}/lockstitch.db", f"{read_only}/lockstitch.db")

    def test_a_file_that_is_no_database(self, command: str, tmp_path: Path) -> None:
        text = "this is not a database, " * 1000
        (tmp_path / "notes.txt").write_text(text)
        self.refused(command, tmp_path, "sqlite:///notes.txt", "notes.txt")
        assert (tmp_path / "notes.txt").read_text() == text

    def test_a_database_of_something_else(self, command: str, tmp_path: Path) -> None:
        shutil.copy(FIXTURE, tmp_path / "other.db")
        before = (tmp_path / "other.db").read_bytes()
        self.refused(command, tmp_path, "sqlite:///other.db", "other.db")
        assert (tmp_path / "other.db").read_bytes() == before

    def test_a_database_with_one_table_of_something_else(self, command: str, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "other.db") as database:
            database.execute("CREATE TABLE notes (text TEXT)")
        database.close()
        self.refused(command, tmp_path, "sqlite:///other.db", "other.db")

    def test_a_postgres_that_is_away(self, command: str, tmp_path: Path) -> None:
        store = "postgresql://someone:secret@127.0.0.1:1/lockstitch"
        done = Command(command, "--store", store, *(["--listen", "127.0.0.1:0"] * (command == "serve")))
        result = done.process(tmp_path)
        result.refused("127.0.0.1")
        assert "secret" not in result.err

    def test_a_postgres_without_that_database(self, command: str, tmp_path: Path, postgres: Postgres) -> None:
        self.refused(command, tmp_path, postgres.url("no_such_database"), "no_such_database")


def test_migrate_leaves_the_tables_of_others_alone(tmp_path: Path, postgres: Postgres) -> None:
    name = postgres.create_database()
    postgres.execute("CREATE TABLE sessions (id text); INSERT INTO sessions VALUES ('mine')", name)
    assert Command("migrate", "--store", postgres.url(name)).process(tmp_path).code == 0
    assert postgres.execute("SELECT * FROM public.sessions", name) == "mine"


def test_a_postgres_without_a_schema_names_the_command_to_run(tmp_path: Path, postgres_url: str) -> None:
    serve = Command("serve", "--listen", "127.0.0.1:0", "--store", postgres_url)
    serve.process(tmp_path).refused("lockstitch migrate")


def test_migrate_says_what_it_did(tmp_path: Path, postgres_url: str) -> None:
    for store in (postgres_url, "sqlite:///new.db"):
        first = Command("migrate", "--store", store).process(tmp_path)
        assert (first.code, first.out) == (0, f"Created the schema, at version {head()}.\n"), first
        second = Command("migrate", "--store", store).process(tmp_path)
        told = f"The schema is at version {head()} already; nothing was changed.\n"
        assert (second.code, second.out) == (0, told), second


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use(tmp_path: Path, taken_port: int, workers: str) -> None:
    """Nothing is left behind: the store is opened, and made, when the server has its addresses."""
    listen = f"127.0.0.1:{taken_port}"
    for arguments, free in (([], listen), (["--http-listen", listen], "127.0.0.1:0")):
        command = serve(tmp_path, "sqlite:///a.db", "--workers", workers, *arguments, listen=free)
        command.process(tmp_path).refused(listen, "in use")
        assert not list(tmp_path.iterdir())
    (tmp_path / "a.db").touch()  # an empty file is a store that has yet to be made
    serve(tmp_path, "sqlite:///a.db", "--workers", workers, listen=listen).process(tmp_path).refused(listen, "in use")
    assert (tmp_path / "a.db").read_bytes() == b""
    assert len(list(tmp_path.iterdir())) == 1


def test_what_else_keeps_a_server_from_listening_leaves_no_store(tmp_path: Path) -> None:
    for wrong in (
        ["--listen", f"unix:{tmp_path}/none/lockstitch.sock"],
        ["--listen", "127.0.0.1:0", "--set", "tls.certificate=none.pem", "--set", "tls.private_key=none.key"],
        ["--listen", "0.0.0.0:0"],
        ["--listen", "127.0.0.1:0", "--http-listen", f"unix:{tmp_path}/none/http.sock"],
    ):
        Command("serve", "--store", "sqlite:///a.db", *wrong).process(tmp_path).refused()
        assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("theirs", ["1", "2"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_by_a_server(tmp_path: Path, theirs: str, workers: str) -> None:
    with LockstitchServer(arguments=["--workers", theirs]) as server:
        done = serve(tmp_path, "sqlite:///a.db", "--workers", workers, listen=server.target).process(tmp_path)
    done.refused(server.target, "in use")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_address_that_is_not_ours(tmp_path: Path, workers: str) -> None:
    listen = "203.0.113.1:50051"
    serve(tmp_path, "sqlite:///a.db", "--workers", workers, listen=listen).process(tmp_path).refused(listen)


def test_workers_cannot_share_what_each_would_have_alone(tmp_path: Path) -> None:
    serve(tmp_path, "memory://", "--workers", "2").process(tmp_path).refused("2 workers", "memory://")
    listen = f"unix:{tmp_path}/lockstitch.sock"
    serve(tmp_path, "sqlite:///a.db", "--workers", "2", listen=listen).process(tmp_path).refused("2 workers", listen)


def test_a_store_that_cannot_be_opened_is_told_once_for_all_workers(tmp_path: Path) -> None:
    serve(tmp_path, "sqlite:///none/a.db", "--workers", "3").process(tmp_path).refused("none/a.db")


def test_a_unix_socket_where_there_is_no_directory(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/none/lockstitch.sock"
    Command("serve", "--store", "memory://", "--listen", listen).process(tmp_path).refused(listen)
