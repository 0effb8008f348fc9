"""`lockstitch export`, `import archive` and `backup`, beside a server that works on the store."""

import asyncio
import os
import pty
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from lockstitch_server.core.format.archive import FIRST_LINE, encode
from lockstitch_server.core.format.checkpoint import NS_PER_SECOND
from lockstitch_server.records.v1.archive_pb2 import (
    ArchivedCheckpoint,
    ArchivedSession,
    ArchivedSessionEnd,
    ArchiveEnd,
    ArchiveFrame,
    ArchiveHeader,
)
from tests.cli.commands import Command
from tests.robustness.ledger import Ledger
from tests.robustness.workload import full_save
from tests.robustness.writers import Writer
from tests.support.api import Api, grpc_api
from tests.support.server import LockstitchServer
from tests.upkeep.stores import content, faults_of, fill, opened

SESSIONS = int(os.environ.get("LOCKSTITCH_TEST_ARCHIVED_SESSIONS", "200"))
"""Of 100 checkpoints each; 1000 for the whole length."""
CHECKPOINTS = 100
MOST_GROWTH = 40 * 1024 * 1024
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""By a small process: what a child takes counts from what its parent had when it was forked."""
LOCKSTITCH = [sys.executable, "-m", "lockstitch_server"]


@pytest.mark.slow
async def test_while_a_server_works(tmp_path: Path) -> None:
    """What was acknowledged before is in the archive and in the backup; each session is whole in both."""
    with LockstitchServer() as server:
        async with grpc_api(server.target) as api:
            await fill(api)
            before = Ledger()
            for number in range(10):
                sent = before.note_save(full_save(f"before-{number}", 1))
                await api.save(full_save(f"before-{number}", 1))
                sent.acknowledged = True
            ledger, stop = Ledger(), asyncio.Event()
            load = asyncio.create_task(_write(api, ledger, stop))
            copies = await asyncio.to_thread(_copies, server.store, tmp_path)
            stop.set()
            await load
    for url in copies:
        assert await faults_of(url) == []
        async with opened(url) as api:
            await before.check_all(api)


async def _write(api: Api, ledger: Ledger, stop: asyncio.Event) -> None:
    await Writer("during", ledger, random.Random(1)).write(api, stop)


def _copies(store: str, directory: Path) -> list[str]:
    archive, backup, target = directory / "archive", directory / "backup.db", f"sqlite:///{directory}/imported.db"
    for command in (
        Command("export", str(archive), "--store", store),
        Command("import", "archive", str(archive), "--store", target),
        Command("backup", str(backup), "--store", store),
    ):
        done = command.in_process()
        assert done.code == 0, done
    return [target, f"sqlite:///{backup}"]


def archive_of(sessions: int) -> bytes:
    """Many small sessions."""
    frames = [ArchiveFrame(header=ArchiveHeader(format=1))]
    for number in range(sessions):
        moment = 1_700_000_000 * NS_PER_SECOND + number
        session = ArchivedSession(tenant="default", session_id=f"s{number}", created_at=moment, updated_at=moment)
        session.revision = 2_000_000
        frames.append(ArchiveFrame(session=session))
        for step in range(CHECKPOINTS):
            row = ArchivedCheckpoint(checkpoint_id=f"{step:020d}", step=step, revision=step + 1, record=b"")
            frames.append(ArchiveFrame(checkpoint=row))
        frames.append(ArchiveFrame(session_end=ArchivedSessionEnd(checkpoints=CHECKPOINTS)))
    frames.append(ArchiveFrame(end=ArchiveEnd(sessions=sessions, checkpoints=sessions * CHECKPOINTS)))
    return FIRST_LINE + b"".join(map(encode, frames))


def _peak(*command: str) -> int:
    """Run a command; how much memory it took at most, in bytes."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *LOCKSTITCH, *command], stdout=subprocess.PIPE, check=True)
    return int(done.stdout) * 1024


@pytest.mark.slow
def test_memory_is_flat(tmp_path: Path) -> None:
    peaks = []
    for sessions in (SESSIONS // 20, SESSIONS):
        archive, store = tmp_path / f"archive-{sessions}", f"sqlite:///{tmp_path}/{sessions}.db"
        archive.write_bytes(archive_of(sessions))
        imported = _peak("import", "archive", str(archive), "--store", store)
        peaks.append((imported, _peak("export", str(tmp_path / "again"), "--force", "--store", store)))
        assert (tmp_path / "again").stat().st_size > archive.stat().st_size / 2
    assert peaks[1][0] - peaks[0][0] < MOST_GROWTH
    assert peaks[1][1] - peaks[0][1] < MOST_GROWTH


@pytest.mark.slow
async def test_an_import_that_is_killed_goes_on(tmp_path: Path) -> None:
    archive, store = tmp_path / "archive", f"sqlite:///{tmp_path}/lockstitch.db"
    archive.write_bytes(archive_of(SESSIONS))
    command = [*LOCKSTITCH, "import", "archive", str(archive), "--store", store]
    process = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(60):
        while not (await _count(tmp_path / "lockstitch.db")):
            assert process.returncode is None
            await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    done = Command(*command[len(LOCKSTITCH) :]).process(tmp_path)
    assert done.code == 0, done
    created, unchanged = int(done.out.split()[0]), int(done.out.split()[3])
    assert created + unchanged == SESSIONS
    assert unchanged > 0
    assert await faults_of(store) == []


async def _count(path: Path) -> int:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM sessions").fetchone()[0])
    return 0


@pytest.mark.slow
async def test_through_a_pipe(tmp_path: Path) -> None:
    """From SQLite to SQLite without a file between them."""
    one, two = f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db"
    async with opened(one) as api:
        await fill(api)
    with subprocess.Popen([*LOCKSTITCH, "export", "-", "--store", one], stdout=subprocess.PIPE) as out:
        subprocess.run([*LOCKSTITCH, "import", "archive", "-", "--store", two], stdin=out.stdout, check=True)
    assert out.returncode == 0
    async with opened(one) as source, opened(two) as target:
        assert await content(source) == await content(target)


@pytest.mark.parametrize("command", ["backup", "export"])
def test_what_cannot_be(tmp_path: Path, command: str) -> None:
    missing = Command(command, f"{tmp_path}/there/copy", "--store", f"sqlite:///{tmp_path}/none/lockstitch.db")
    done = missing.in_process()
    assert done.code == 2
    assert str(tmp_path) in done.err


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    asyncio.run(_create(f"sqlite:///{tmp_path}/lockstitch.db"))
    (tmp_path / "copy.db").write_text("precious")
    done = Command("backup", f"{tmp_path}/copy.db", "--store", f"sqlite:///{tmp_path}/lockstitch.db").in_process()
    assert done.code == 2
    assert (tmp_path / "copy.db").read_text() == "precious"


async def _create(url: str) -> None:
    async with opened(url):
        pass


async def test_an_export_overwrites_nothing_unless_told(tmp_path: Path) -> None:
    store, archive = f"sqlite:///{tmp_path}/lockstitch.db", tmp_path / "one.archive"
    async with opened(store) as api:
        await fill(api)
    archive.write_bytes(b"mine")
    Command("export", str(archive), "--store", store).process(tmp_path).refused(str(archive), "--force")
    assert archive.read_bytes() == b"mine"
    done = Command("export", str(archive), "--force", "--store", store).process(tmp_path)
    assert (done.code, archive.read_bytes()[: len(FIRST_LINE)]) == (0, FIRST_LINE)


def test_no_archive_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*LOCKSTITCH, "export", "-", "--store", f"sqlite:///{tmp_path}/lockstitch.db"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.close(ours)
    assert (done.returncode, done.stderr) == (
        2,
        "lockstitch: an archive is binary: name a file, or send the output into one\n",
    )
