"""`lockstitch check`: nothing to find in a store that is well, and each kind of damage where there is some."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.commands import Command
from tests.support.postgres import Postgres
from tests.upkeep.stores import SESSIONS, faults_of, fill, opened

OF_SESSION = f"key = (SELECT key FROM {{schema}}sessions WHERE session_id = '{SESSIONS[0]}')"
LARGEST_LOG = f"log = (SELECT log FROM {{schema}}segments WHERE {OF_SESSION} ORDER BY size DESC, log LIMIT 1)"
DAMAGES = {
    "checkpoint_damaged": f"UPDATE {{schema}}checkpoints SET record = {{bytes}}0011' WHERE {OF_SESSION} AND step = 3",
    "checkpoint_damaged ": f"UPDATE {{schema}}checkpoints SET parent_id = 'other' WHERE {OF_SESSION} AND step = 3",
    "log_missing": f"DELETE FROM {{schema}}segments WHERE {OF_SESSION} AND {LARGEST_LOG}",
    "log_damaged": f"UPDATE {{schema}}segments SET data = {{bytes}}20ff00' WHERE {OF_SESSION} AND {LARGEST_LOG}",
    "log_damaged ": f"UPDATE {{schema}}segments SET crc = crc - 1 WHERE {OF_SESSION} AND {LARGEST_LOG} AND start = 0",
    "log_damaged  ": f"UPDATE {{schema}}segments SET start = start + 1 WHERE {OF_SESSION} AND {LARGEST_LOG}",
    "log_orphaned": f"UPDATE {{schema}}segments SET log = 99 WHERE {OF_SESSION} AND {LARGEST_LOG}",
    "write_damaged": f"UPDATE {{schema}}writes SET data = {{bytes}}00' WHERE {OF_SESSION}",
    "session_damaged": f"UPDATE {{schema}}sessions SET checkpoint_count = checkpoint_count + 1 WHERE {OF_SESSION}",
    "session_damaged ": f"UPDATE {{schema}}sessions SET labels = 'x' WHERE {OF_SESSION}",
    "session_damaged  ": f"UPDATE {{schema}}sessions SET revision = 1 WHERE {OF_SESSION}",
    "counter_wrong": f"DELETE FROM {{schema}}writes WHERE {OF_SESSION}",
    "counter_wrong ": f"DELETE FROM {{schema}}checkpoints WHERE {OF_SESSION} AND step = 3",
    "write_damaged ": f"UPDATE {{schema}}writes SET checkpoint_id = 'other' WHERE {OF_SESSION}",
    "terms_wrong": f"UPDATE {{schema}}checkpoints SET tenant_hash = 1 WHERE {OF_SESSION} AND step = 3",
    "key_wrong": f"UPDATE {{schema}}sessions SET session_id = 'other' WHERE {OF_SESSION}",
    "stray": f"DELETE FROM {{schema}}sessions WHERE {OF_SESSION}",
}
"""By the kind of fault that is found; spaces tell apart what is told alike."""

Execute = Callable[[str], object]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Execute]]:
    """A store's URL, and how to run SQL on it."""
    if request.param == "sqlite":
        path = tmp_path / "lockstitch.db"
        yield f"sqlite:///{path}", lambda sql: _on_file(path, sql)
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create_database()
    yield server.url(name), lambda sql: server.execute(sql.format(schema="lockstitch.", bytes="'\\x"), name)
    server.drop_database(name)


def _on_file(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql.format(schema="", bytes="x'"))
        connection.commit()


@pytest.mark.parametrize("kind", DAMAGES)
async def test_each_kind_of_damage_is_found(store: tuple[str, Execute], kind: str) -> None:
    url, execute = store
    async with opened(url) as api:
        await fill(api)
    assert await faults_of(url) == []
    execute(DAMAGES[kind])
    found = await faults_of(url)
    assert kind.strip() in {fault.kind for fault in found}, found
    assert all(fault.what and fault.mend for fault in found)
    assert {fault.session_id for fault in found} <= {SESSIONS[0], "other", ""}, "it is told where it is not"


def test_the_command(tmp_path: Path) -> None:
    asyncio.run(_filled(f"sqlite:///{tmp_path}/lockstitch.db"))
    command = Command("check", "--store", f"sqlite:///{tmp_path}/lockstitch.db")
    done = command.in_process()
    assert done.code == 0
    assert "0 faults" in done.out
    _on_file(tmp_path / "lockstitch.db", DAMAGES["write_damaged"])
    done = command.in_process()
    assert done.code == 1
    assert SESSIONS[0] in done.out
    told = Command(*command.arguments, "--json").in_process().json_lines
    assert "write_damaged" in {fault["kind"] for fault in told}


async def _filled(url: str) -> None:
    async with opened(url) as api:
        await fill(api)
