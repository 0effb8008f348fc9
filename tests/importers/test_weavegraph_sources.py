"""Finding and opening weavegraph's SQLite databases."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lockstitch_server.importers.databases import SourceUnusable, Wanted, sqlite_path
from lockstitch_server.importers.weavegraph_sources import open_source


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_of_a_file(directory: Path) -> None:
    (directory / "here.db").touch()
    for name in ("here.db", "sqlite:here.db", "sqlite://here.db", "sqlite:///here.db", "sqlite://here.db?mode=rwc"):
        assert sqlite_path(name) == Path("here.db")
    there = directory / "here.db"
    for name in (str(there), f"sqlite:{there}", f"sqlite://{there}", f"sqlite:///{there}"):
        assert sqlite_path(name) == there


async def refusal(source: str) -> str:
    with pytest.raises(SourceUnusable) as caught:
        async with open_source(source, Wanted(), 2):
            pass
    return str(caught.value)


async def test_no_file(directory: Path) -> None:
    assert await refusal("none.db") == f"there is no file {directory}/none.db"
    assert await refusal("sqlite:///none.db") == "there is no file /none.db"


async def test_not_a_database(directory: Path) -> None:
    (directory / "notes.txt").write_text("not a database " * 100)
    assert await refusal("notes.txt") == f"{directory}/notes.txt cannot be read: file is not a database"


async def test_an_empty_file(directory: Path) -> None:
    (directory / "empty.db").touch()
    refused = await refusal("empty.db")
    assert refused == f"{directory}/empty.db cannot be read: it is no weavegraph database (no such table: sessions)"


async def test_a_database_of_something_else(directory: Path) -> None:
    with closing(sqlite3.connect("other.db")) as database:
        database.execute("CREATE TABLE sessions (id TEXT, concurrency_limit INTEGER)")
        database.execute("CREATE TABLE steps (session_id TEXT)")
    assert "it is no weavegraph database (no such column: s.last_s" in await refusal("other.db")


def test_which_sessions_are_wanted() -> None:
    assert Wanted()("any")
    assert Wanted(prefix="a")("any")
    assert not Wanted(prefix="b")("any")
    assert Wanted(ids=["any"])("any")
    assert not Wanted(prefix="b", ids=["any"])("any")
