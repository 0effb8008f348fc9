"""`lockstitch check` on files with broken pages: all of it is told, the check goes on, and indexes are built again."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lockstitch_server.storage.sqlite.checking import TREE
from tests.cli.commands import Command
from tests.robustness.test_damage import _large
from tests.robustness.workload import full_save
from tests.support.postgres import Postgres
from tests.upkeep.stores import SESSIONS, faults_of, fill, opened

PAGE = 4096


async def _fill(url: str) -> None:
    async with opened(url) as api:
        await fill(api)
        await api.save(_large("damaged"))
        await api.save(full_save("sound", 1))


def _pages_of(path: Path, name: str) -> list[int]:
    """Numbers of the leaf pages of a table or an index."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sql = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = connection.execute(sql, (name,)).fetchone()
    data = path.read_bytes()
    return _leaves(data, root)


def _leaves(data: bytes, number: int) -> list[int]:
    page = data[(number - 1) * PAGE : number * PAGE]
    if page[0] in (10, 13):
        return [number]
    count = int.from_bytes(page[3:5], "big")
    cells = [int.from_bytes(page[12 + 2 * i : 14 + 2 * i], "big") for i in range(count)]
    children = [int.from_bytes(page[cell : cell + 4], "big") for cell in cells]
    return [leaf for child in [*children, int.from_bytes(page[8:12], "big")] for leaf in _leaves(data, child)]


def _break(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xff" * 64)


def _check(url: str, *options: str) -> tuple[int, list[dict[str, str]]]:
    done = Command("check", "--json", "--store", url, *options).in_process()
    return done.code, [json.loads(line) for line in done.out.splitlines()]


def test_an_index_with_a_wrong_entry(tmp_path: Path) -> None:
    """Loads do not see it: they find rows by another one. --repair builds it again."""
    path = tmp_path / "lockstitch.db"
    url = f"sqlite:///{path}"
    asyncio.run(_fill(url))
    for page in _pages_of(path, "checkpoints_by_time")[:1]:
        data = bytearray(path.read_bytes())
        at = page * PAGE - 3  # in the first entry that was made, which stands at the end
        data[at] ^= 0x40
        path.write_bytes(data)
    code, faults = _check(url)
    assert code == 1
    assert {(fault["kind"], fault["table"]) for fault in faults} >= {("database_damaged", "checkpoints")}
    assert Command("check", "--repair", "--store", url).in_process().code == 0
    assert asyncio.run(faults_of(url)) == []


@pytest.mark.parametrize("index", ["writes_by_task", "segments_by_start", "checkpoints_by_id"])
def test_a_broken_page_of_an_index(tmp_path: Path, index: str) -> None:
    path = tmp_path / "lockstitch.db"
    url = f"sqlite:///{path}"
    asyncio.run(_fill(url))
    _break(path, _pages_of(path, index)[0])
    code, faults = _check(url)
    assert code == 1
    assert index.partition("_")[0] in {fault["table"] for fault in faults}
    tried = Command("check", "--repair", "--store", url).in_process()
    assert tried.code == 1
    assert "the database cannot be repaired" in tried.err


@pytest.mark.parametrize("table", ["segments", "checkpoints", "writes", "sessions"])
def test_a_broken_page_of_a_table(tmp_path: Path, table: str) -> None:
    """It ends only what it touches: another session is damaged too, and is named."""
    path = tmp_path / "lockstitch.db"
    url = f"sqlite:///{path}"
    asyncio.run(_fill(url))
    with closing(sqlite3.connect(path)) as connection:
        of_session = "WHERE key = (SELECT key FROM sessions WHERE session_id = 'sound')"
        connection.execute(f"UPDATE checkpoints SET parent_id = 'other' {of_session}")
        connection.commit()
    _break(path, _pages_of(path, table)[0])
    code, faults = _check(url)
    assert code == 1
    assert ("database_damaged", table) in {(fault["kind"], fault["table"]) for fault in faults}
    touched = {"segments": "log_unreadable", "checkpoints": "checkpoint_unreadable", "writes": "writes_unreadable"}
    kind = touched.get(table, "session_unreadable")
    assert [fault for fault in faults if fault["kind"] == kind and (fault["session_id"] or table == "sessions")]
    if table != "sessions":
        assert [fault for fault in faults if fault["session_id"] == "sound" and fault["kind"] == "checkpoint_damaged"]


def test_messages_name_their_tree() -> None:
    assert [TREE.search(text)[1] for text in ("On tree page 12 cell 0: x", "Tree 12 page 5: y")] == ["12", "12"]  # type: ignore[index]


def test_amcheck_on_postgres(postgres: Postgres) -> None:
    name = postgres.create_database()
    url = postgres.url(name)
    if not postgres.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'", name).strip("0"):
        pytest.skip("this Postgres has no amcheck")
    postgres.execute("CREATE EXTENSION amcheck", name)
    asyncio.run(_fill(url))
    assert _check(url) == (0, [])
    postgres.drop_database(name)


def test_a_repair_counts_again_and_puts_back(tmp_path: Path) -> None:
    path = tmp_path / "lockstitch.db"
    url = f"sqlite:///{path}"
    asyncio.run(_fill(url))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE sessions SET revision = 1 WHERE session_id = '{SESSIONS[0]}'")
        connection.execute(f"UPDATE sessions SET key = x'{'00' * 16}' WHERE session_id = '{SESSIONS[1]}'")
        connection.execute("UPDATE sessions SET labels = '{{' WHERE session_id = 'settled'")
        connection.execute("DELETE FROM terms")
        connection.execute("DELETE FROM sessions WHERE session_id = 'sound'")
        connection.commit()
    before, faults = _check(url)
    kinds = {fault["kind"] for fault in faults}
    assert {"session_damaged", "key_wrong", "terms_wrong", "stray"} <= kinds
    first = Command("check", "--repair", "--store", url).in_process()
    assert first.code == 1, "rows without a session stay while a session's row is under a wrong key"
    assert "stray" in first.out
    second = Command("check", "--repair", "--store", url).in_process()
    assert (before, second.code) == (1, 0), second
    assert asyncio.run(faults_of(url)) == []
