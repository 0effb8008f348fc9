"""`lockstitch import langgraph` of databases that releases of LangGraph's savers have written themselves."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lockstitch.adapters.langgraph import LockstitchSaver
from tests.cli.commands import Command
from tests.fixtures.langgraph.make import POSTGRES, SHALLOW, SQLITE
from tests.fixtures.langgraph.write_threads import described
from tests.support.paths import ROOT
from tests.support.postgres import Postgres
from tests.support.server import LockstitchServer

FIXTURES = ROOT / "tests" / "fixtures" / "langgraph"
NAMES = [
    *(f"sqlite-{version}" for version in SQLITE),
    *(f"postgres-{version}" for version in POSTGRES),
    *(f"shallow-{version}" for version in SHALLOW),
]


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer("memory://") as running:
        yield running


@pytest.fixture(autouse=True)
def empty(server: LockstitchServer) -> None:
    with closing_saver(server) as saver:
        for thread in ("thread-1", "thread-2"):
            saver.delete_thread(thread)


def closing_saver(server: LockstitchServer) -> LockstitchSaver:
    return LockstitchSaver(server.target)


def loaded(postgres: Postgres, database: str, name: str) -> str:
    """The URL of a database into which a dump was loaded."""
    postgres.execute((FIXTURES / f"{name}.sql").read_text(), database)
    return postgres.url(database)


@pytest.mark.parametrize("name", NAMES)
def test_all_threads_of_a_release_come_over(
    server: LockstitchServer, name: str, request: pytest.FixtureRequest
) -> None:
    if name.startswith("sqlite"):
        source = str(FIXTURES / f"{name}.db")
    else:
        url: str = request.getfixturevalue("postgres_url")
        source = loaded(request.getfixturevalue("postgres"), url.rpartition("/")[2], name)
    wanted = json.loads((FIXTURES / f"{name}.json").read_text())
    done = Command("import", "langgraph", source).in_process(server.target)
    assert done.code == 0, done
    assert done.out.startswith(f"2 threads, {len(wanted)} steps: {len(wanted)} created, 0 unchanged")
    with closing_saver(server) as saver:
        found = sorted(map(described, saver.list(None)), key=lambda item: item["checkpoint_id"])
    for ours, theirs in zip(found, sorted(wanted, key=lambda item: item["checkpoint_id"]), strict=True):
        compare(ours, theirs)
    again = Command("import", "langgraph", source).in_process(server.target)
    assert again.out.startswith(f"2 threads, {len(wanted)} steps: 0 created, {len(wanted)} unchanged")


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """What was sent to tasks is a channel now, and was a part of its own before."""
    sent = [item["values"].pop("__pregel_tasks", []) or item["sends"] for item in (ours, theirs)]
    assert sent[0] == sent[1]
    assert {**ours, "sends": ()} == {**theirs, "sends": ()}


def test_an_unknown_schema_is_told(
    server: LockstitchServer, tmp_path: Path, postgres: Postgres, postgres_url: str
) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE orders (id TEXT)")
    done = Command("import", "langgraph", str(path)).in_process(server.target)
    assert done.code == 2
    assert "there is no table checkpoints, but orders" in done.err
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE checkpoints (thread_id TEXT, thread_ts TEXT, parent_ts TEXT, checkpoint BLOB)")
    done = Command("import", "langgraph", str(path)).in_process(server.target)
    assert done.code == 2
    assert "its table checkpoints has no column checkpoint_ns, checkpoint_id" in done.err
    assert "but thread_id, thread_ts, parent_ts, checkpoint" in done.err
    postgres.execute("CREATE TABLE checkpoints (thread_id TEXT, checkpoint BYTEA)", postgres_url.rpartition("/")[2])
    done = Command("import", "langgraph", postgres_url).in_process(server.target)
    assert "its table checkpoints has no column checkpoint_ns, metadata, but thread_id, checkpoint" in done.err
