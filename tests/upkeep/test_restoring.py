"""Putting one session back as it was in a backup, by the commands that docs/archive.md shows."""

import asyncio
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lockstitch.v1.checkpoint_service_pb2 import LoadRequest
from lockstitch.v1.session_service_pb2 import AcquireLeaseRequest
from tests.cli.commands import Command, Done
from tests.robustness.ledger import fingerprint
from tests.robustness.workload import checkpoint, full_save
from tests.support.api import ApiError
from tests.support.paths import ROOT
from tests.upkeep.stores import faults_of, opened

SESSION, OTHER = "run-7", "other"
DRILL = re.findall(
    r"^\$ lockstitch (.+)$",
    (ROOT / "docs" / "archive.md").read_text().partition("## Restoring one session")[2],
    re.MULTILINE,
)
OF_SESSION = f"WHERE key = (SELECT key FROM sessions WHERE session_id = '{SESSION}')"
DAMAGES = {
    "checkpoint": f"UPDATE checkpoints SET record = x'0011' {OF_SESSION} AND step = 2",
    "log": f"DELETE FROM segments {OF_SESSION}",
    "session": f"UPDATE sessions SET revision = revision + 1, labels = 'x' {OF_SESSION}",
}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/lockstitch.db"


async def _fill(url: str) -> None:
    async with opened(url) as api:
        for step in range(4):
            await api.save(full_save(SESSION, step))
            await api.save(full_save(OTHER, step))


def _damage(sql: str) -> None:
    with closing(sqlite3.connect("lockstitch.db")) as connection:
        connection.execute(sql)
        connection.commit()


@pytest.mark.parametrize("kind", DAMAGES)
async def test_the_drill(url: str, kind: str) -> None:
    await _fill(url)
    shutil.copy("lockstitch.db", "backup.db")
    async with opened(url) as api:
        await api.save(full_save(SESSION, 4))
        await api.save(full_save(OTHER, 4))
    _damage(DAMAGES[kind])
    check, export, restore, again = [line.split() for line in DRILL]
    assert SESSION in _failed(await _run(*check))
    assert _done(await _run(*export)).out.startswith("1 session,")
    assert _done(await _run(*restore)).out.startswith("1 session created")
    assert "0 faults" in _done(await _run(*again)).out
    async with opened(url) as api:
        for step in range(4):
            loaded = await api.load(LoadRequest(session_id=SESSION, step=step))
            assert fingerprint(loaded.checkpoint) == fingerprint(checkpoint(SESSION, step))
        with pytest.raises(ApiError):
            await api.load(LoadRequest(session_id=SESSION, step=4))
        assert (await api.load(LoadRequest(session_id=OTHER, step=4))).checkpoint.step == 4
        await api.save(full_save(SESSION, 4))
    assert await faults_of(url) == []


async def test_what_is_not_replaced(url: str) -> None:
    await _fill(url)
    _done(await _run("export", "all.archive", "--store", url))
    async with opened(url) as api:
        await api.save(full_save(SESSION, 4))
        await api.save(full_save(OTHER, 4))
        await api.unary("AcquireLease", AcquireLeaseRequest(session_id=OTHER, holder="me"))
    command = ["import", "archive", "all.archive", "--store", url]
    assert "--replace" in _failed(await _run(*command))
    assert (await _run(*command, "--replace")).code == 2, "it must name the sessions"
    held = await _run(*command, "--session", OTHER, "--replace")
    assert "lease" in _failed(held)
    assert "not in the archive" in _failed(await _run(*command, "--session", "unknown"))
    assert "no such session" in _failed(await _run("export", "-", "--session", "unknown", "--store", url))
    async with opened(url) as api:
        for name in (SESSION, OTHER):
            assert (await api.load(LoadRequest(session_id=name, step=4))).checkpoint.step == 4


async def test_what_is_whole_of_a_damaged_session_is_exported(url: str) -> None:
    await _fill(url)
    _damage(DAMAGES["checkpoint"])
    done = await _run("export", "part.archive", "--store", url)
    assert "00000000000000000002" in _failed(done)
    _done(await _run("import", "archive", "part.archive", "--store", "sqlite:///new.db"))
    async with opened("sqlite:///new.db") as api:
        for step in (0, 1, 3):
            loaded = await api.load(LoadRequest(session_id=SESSION, step=step))
            assert fingerprint(loaded.checkpoint) == fingerprint(checkpoint(SESSION, step))
    assert await faults_of("sqlite:///new.db") == []


async def _run(*arguments: str) -> Done:
    return await asyncio.to_thread(Command(*arguments).in_process)


def _done(done: Done) -> Done:
    assert done.code == 0, done
    return done


def _failed(done: Done) -> str:
    """What a command that failed has said."""
    assert done.code == 1, done
    return done.out + done.err
