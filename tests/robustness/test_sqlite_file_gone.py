"""The SQLite file is removed or replaced while the server runs: no save is acknowledged that would be lost."""

import asyncio
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest
from tests.robustness.crowd import lines
from tests.robustness.faults import assert_says, assert_unavailable
from tests.robustness.ledger import Ledger
from tests.robustness.workload import full_save
from tests.robustness.writers import Writer
from tests.support.api import Api, grpc_api
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

HANG_SECONDS = 20.0
SAVES = 30


@contextmanager
def serving(path: Path) -> Iterator[LockstitchServer]:
    # Rare looks at the database: the saves themselves have to notice.
    with LockstitchServer(f"sqlite:///{path}", ["--set=health.probe_seconds=3600"]) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lockstitch.db"


@pytest.fixture
def link(tmp_path: Path, path: Path) -> Path:
    """Another name of the same file, in another directory."""
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    return link


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


async def save_until_failure(api: Api, ledger: Ledger, rng: random.Random, harm: Callable[[], object]) -> None:
    """Some saves, the harm, and saves until one fails."""
    writer = Writer("writer", ledger, rng)
    for _ in range(SAVES):
        assert await writer.write_one(api)
    harming = asyncio.get_running_loop().run_in_executor(None, harm)
    await asyncio.wait_for(writer.write(api, asyncio.Event()), HANG_SECONDS)
    await harming
    assert_says(writer.failures[0], "STORE_UNAVAILABLE")
    assert "removed or replaced" in str(writer.failures[0])


async def test_moved_away_and_back(path: Path, rng: random.Random) -> None:
    """Saves and loads fail until it is back. Each one that was acknowledged is in the file that was moved."""
    away, ledger = path.with_name("away.db"), Ledger()
    with serving(path) as server:
        async with grpc_api(server.target) as api:
            await save_until_failure(api, ledger, rng, lambda: path.rename(away))
            await assert_unavailable(api.save(full_save("session", 0)))
            await assert_unavailable(api.load_latest(LoadLatestRequest(session_id="session")))
            assert not path.exists()
            away.rename(path)
            await api.save(full_save("session", 1))
            assert (await api.load_latest(LoadLatestRequest(session_id="session"))).checkpoint.step == 1
            assert lines(server, "sqlite_file_gone")


async def test_moved_away_for_good(path: Path, rng: random.Random) -> None:
    """The file needs nothing that was beside it, as its log was copied when it was missed."""
    away, ledger = path.with_name("away.db"), Ledger()
    with serving(path) as server:
        async with grpc_api(server.target) as api:
            await save_until_failure(api, ledger, rng, lambda: path.rename(away))
        server.kill()
    with LockstitchServer(f"sqlite:///{away}") as again:
        async with grpc_api(again.target) as api:
            await ledger.check_all(api)


async def test_replaced_by_a_backup(path: Path, rng: random.Random) -> None:
    """The server serves neither file until it is started again, and then the backup, unharmed by the old one's log."""
    backup, ledger, before = path.with_name("backup.db"), Ledger(), Ledger()
    with serving(path) as server:
        async with grpc_api(server.target) as api:
            old = Writer("before", before, rng)
            for _ in range(SAVES):
                assert await old.write_one(api)
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
            await save_until_failure(api, ledger, rng, lambda: backup.replace(path))
            await assert_unavailable(api.save(full_save("session", 0)))
            await assert_unavailable(api.load_latest(LoadLatestRequest(session_id="session")))
        server.kill()
        server.start()
        async with grpc_api(server.target) as api:
            await before.check_all(api)
            assert not (await api.load_latest(LoadLatestRequest(session_id="writer-1"))).HasField("checkpoint")
            await api.save(full_save("session", 0))
        server.stop()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    """As it is if somebody opens the database after the file was removed, and writes nothing."""
    path.unlink()
    path.touch()


@pytest.mark.parametrize(("suffix", "harm"), [("-wal", remove), ("-wal", empty), ("-shm", remove)])
async def test_the_file_beside_it_is_removed(
    path: Path, rng: random.Random, suffix: str, harm: Callable[[Path], None]
) -> None:
    """Without the log, what only the log holds would be lost with the next crash."""
    ledger = Ledger()
    with serving(path) as server:
        async with grpc_api(server.target) as api:
            await save_until_failure(api, ledger, rng, lambda: harm(beside(path, suffix)))
            await assert_unavailable(api.save(full_save("session", 0)))
        server.kill()
        server.start()
        async with grpc_api(server.target) as api:
            await ledger.check_all(api)
            await api.save(full_save("session", 0))


async def test_the_log_of_a_database_behind_a_symbolic_link_is_removed(
    path: Path, link: Path, rng: random.Random
) -> None:
    """SQLite keeps the log beside the file that the link names."""
    ledger = Ledger()
    with serving(link) as server:
        async with grpc_api(server.target) as api:
            await save_until_failure(api, ledger, rng, lambda: remove(beside(path, "-wal")))
        server.kill()
        server.start()
        async with grpc_api(server.target) as api:
            await ledger.check_all(api)
