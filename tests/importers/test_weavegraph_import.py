"""`lockstitch import weavegraph`: a database of the real crate, a real server."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from lockstitch import Checkpoint, Client
from lockstitch.v1.checkpoint_service_pb2 import SessionSummary
from lockstitch_server.importers.weavegraph_names import Names
from tests.cli.commands import Command, Done
from tests.importers.reference import (
    DATABASE,
    EXPECTED,
    NOT_IN_POSTGRES,
    POSTGRES_SCHEMA,
    STEPS,
    expected_steps,
    in_words_of_the_crate,
)
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

SESSIONS = len(EXPECTED["sessions"])


@pytest.fixture
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer("memory://") as server:
        yield server


@pytest.fixture
def client(server: LockstitchServer) -> Iterator[Client]:
    with Client(server.target) as client:
        yield client


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the fixture, to be changed."""
    return Path(shutil.copy(DATABASE, tmp_path / "weavegraph.db"))


def execute(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def import_(server: LockstitchServer, source: object, *arguments: str) -> Done:
    return Command("import", "weavegraph", str(source), *arguments).in_process(server.target)


def imported(server: LockstitchServer, source: object, *arguments: str) -> str:
    done = import_(server, source, *arguments)
    assert done.code == 0, done
    return done.out


def summaries(client: Client) -> dict[str, SessionSummary]:
    return {session.session_id: session for session in client.list_sessions()}


def history(client: Client, session_id: str) -> list[Checkpoint]:
    """Lowest step first."""
    return [listed.checkpoint for listed in client.list_checkpoints(session_id)][::-1]


def check_against_the_crate(client: Client, session_ids: set[str]) -> None:
    assert set(summaries(client)) == session_ids
    for session_id in session_ids:
        found = [in_words_of_the_crate(checkpoint) for checkpoint in history(client, session_id)]
        assert found == expected_steps(session_id)


def test_every_step_is_what_the_crate_reads(server: LockstitchServer, client: Client) -> None:
    assert imported(server, DATABASE) == f"{SESSIONS} sessions, {STEPS} steps: {STEPS} created, 0 unchanged\n"
    check_against_the_crate(client, set(EXPECTED["sessions"]))


def test_values_keep_their_very_text(server: LockstitchServer, client: Client) -> None:
    imported(server, DATABASE)
    with closing(sqlite3.connect(DATABASE)) as source:
        rows = source.execute("SELECT session_id, step, state_json FROM steps").fetchall()
    for session_id, step, text in rows:
        entries = client.load(session_id, step=step).checkpoint.state.extra.entries
        assert {key: as_written(value) for key, value in entries.items()} == as_written(text)["extra"]["map"]
    floats = client.load(NOT_IN_POSTGRES, step=0).checkpoint.state.extra.entries["floats"]
    assert floats == "[-0.0,1e+16,1e+300,1.7976931348623157e+308,2.2250738585072014e-308,5e-324]"


def as_written(text: str) -> Any:
    """A JSON value, but each number as the text that stands there."""
    return json.loads(text, parse_int=lambda digits: f"number {digits}", parse_float=lambda digits: f"number {digits}")


def test_the_latest_is_the_highest_step_and_not_the_last_that_was_written(
    server: LockstitchServer, client: Client
) -> None:
    assert EXPECTED["sessions"]["late-save"]["latest"]["step"] == 1
    imported(server, DATABASE)
    latest = client.load_latest("late-save").checkpoint
    assert latest is not None
    assert latest.step == 3


def test_a_second_import_stores_no_state(server: LockstitchServer, client: Client) -> None:
    imported(server, DATABASE)
    before = summaries(client)
    assert imported(server, DATABASE) == f"{SESSIONS} sessions, {STEPS} steps: 0 created, {STEPS} unchanged\n"
    after = summaries(client)
    for summary in (*before.values(), *after.values()):  # the ids of the second import's saves have been stored
        summary.ClearField("revision")
        summary.ClearField("updated_at")
        summary.ClearField("stored_bytes")
    assert after == before


def test_an_import_goes_on_where_another_has_ended(server: LockstitchServer, client: Client) -> None:
    imported(server, DATABASE, "--session", "agent-loop")
    assert imported(server, DATABASE, "--jobs", "1").endswith(f"{STEPS - 13} created, 13 unchanged\n")


def test_some_sessions(server: LockstitchServer, client: Client) -> None:
    assert imported(server, DATABASE, "--prefix", "e") == "2 sessions, 11 steps: 11 created, 0 unchanged\n"
    assert set(summaries(client)) == {"edges", "errors"}
    imported(server, DATABASE, "--session", "tiny-🧵", "--session", "late-save")
    assert set(summaries(client)) == {"edges", "errors", "tiny-🧵", "late-save"}
    assert imported(server, DATABASE, "--prefix", "none") == "0 sessions, 0 steps: 0 created, 0 unchanged\n"


def test_what_changed_since_is_replaced(server: LockstitchServer, client: Client, copy: Path) -> None:
    imported(server, copy)
    execute(copy, "UPDATE steps SET frontier_json = '[\"End\"]' WHERE session_id = 'agent-loop' AND step = 3")
    assert f"0 created, 1 replaced, {STEPS - 1} unchanged" in imported(server, copy)
    assert in_words_of_the_crate(client.load("agent-loop", step=3).checkpoint)["frontier"] == ["End"]


def test_the_source_is_not_touched(server: LockstitchServer, copy: Path) -> None:
    before = copy.read_bytes()
    copy.chmod(0o444)
    imported(server, copy)
    assert copy.read_bytes() == before
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.parametrize("open_elsewhere", [True, False])
def test_a_source_in_wal_mode(server: LockstitchServer, copy: Path, open_elsewhere: bool) -> None:
    with closing(sqlite3.connect(copy)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("UPDATE sessions SET concurrency_limit = 7")
        writer.commit()
        if not open_elsewhere:
            writer.close()
        assert f"{STEPS} created" in imported(server, f"sqlite:///{copy}")


def test_steps_that_were_deleted_leave_the_snapshot(server: LockstitchServer, client: Client, copy: Path) -> None:
    execute(
        copy,
        "DELETE FROM steps WHERE session_id = 'tiny-🧵'",
        "DELETE FROM steps WHERE session_id = 'late-save' AND step IN (0, 1)",
        "INSERT INTO sessions (id, concurrency_limit) VALUES ('never saved', 1)",
    )
    steps = STEPS - 2 - 2 + 2
    assert f"{SESSIONS + 1} sessions, {steps} steps: {steps} created" in imported(server, copy)
    (snapshot,) = history(client, "tiny-🧵")
    latest = EXPECTED["sessions"]["tiny-🧵"]["latest"]
    found = in_words_of_the_crate(snapshot)
    assert {name: found[name] for name in ("step", "frontier", "state", "versions_seen", "concurrency_limit")} == {
        name: latest[name] for name in ("step", "frontier", "state", "versions_seen", "concurrency_limit")
    }
    assert [checkpoint.step for checkpoint in history(client, "late-save")] == [1, 2, 3]
    assert f"{steps} unchanged" in imported(server, copy)


def test_what_is_not_taken_is_told_and_the_rest_is_imported(
    server: LockstitchServer, client: Client, copy: Path
) -> None:
    execute(
        copy,
        "PRAGMA foreign_keys = OFF",
        "UPDATE sessions SET id = 'bad' || char(27) || '[1mid' WHERE id = 'tiny-🧵'",
        "UPDATE steps SET session_id = 'bad' || char(27) || '[1mid' WHERE session_id = 'tiny-🧵'",
        "UPDATE steps SET state_json = '[]' WHERE session_id LIKE 'bad%'",
        "UPDATE steps SET step = -5 WHERE session_id = 'edges' AND step = 7",
        "UPDATE steps SET state_json = '{}' WHERE session_id = 'errors' AND step = 2",
    )
    done = import_(server, copy)
    assert done.code == 1
    assert done.out == f"{SESSIONS} sessions, {STEPS} steps: {STEPS - 4} created, 0 unchanged, 4 left out\n"
    told = [line for line in done.err.splitlines() if line.startswith("lockstitch: left out ")]
    assert len(told) == 4
    assert "\x1b" not in done.err
    assert any("session 'errors', step 2: no 'messages'" in line for line in told)
    assert any("session 'edges', step -5" in line for line in told)
    assert sum(r"session 'bad\x1b[1mid', step" in line for line in told) == 2
    assert set(summaries(client)) == set(EXPECTED["sessions"]) - {"tiny-🧵"}


def test_a_session_whose_id_the_server_does_not_take(server: LockstitchServer, client: Client, copy: Path) -> None:
    """It gets the id under which the Rust checkpointer looks for it."""
    long = "s" * 256
    execute(
        copy,
        "PRAGMA foreign_keys = OFF",
        f"UPDATE sessions SET id = '{long}' WHERE id = 'tiny-🧵'",
        f"UPDATE steps SET session_id = '{long}' WHERE session_id = 'tiny-🧵'",
    )
    assert imported(server, copy, "--session", long).startswith("1 session, ")
    (stored,) = summaries(client)
    assert stored == Names().store_session_id(long)
    assert json.loads(history(client, stored)[0].header.data) == {"session_id": long}
    assert "0 created" in imported(server, copy, "--session", long)


def test_many_failures_are_summed_up(server: LockstitchServer, copy: Path) -> None:
    execute(copy, "UPDATE steps SET state_json = '{}'", "UPDATE sessions SET last_state_json = NULL")
    lines = import_(server, copy).err.splitlines()
    assert lines[-1] == f"lockstitch: left out {STEPS - 10} more"
    assert len(lines) == 1 + 10 + 1


def test_it_can_be_watched(server: LockstitchServer) -> None:
    assert import_(server, DATABASE).err.splitlines()[0] == f"0 of {STEPS} steps, 0 sessions"


def test_without_a_server() -> None:
    done = Command("import", "weavegraph", str(DATABASE), "--target", "127.0.0.1:1", "--timeout", "0.5").in_process()
    assert (done.code, done.out) == (1, "")
    assert done.err == "lockstitch: no server can be reached at 127.0.0.1:1 (Connection refused)\n"


def test_a_server_that_goes_away(server: LockstitchServer) -> None:
    server.freeze()
    done = import_(server, DATABASE, "--timeout", "0.5")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1


class TestPostgres:
    @pytest.fixture
    async def url(self, postgres_url: str) -> str:
        """weavegraph's Postgres tables with the fixture's rows."""
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(POSTGRES_SCHEMA.read_text())
        for table, key in (("sessions", "id"), ("steps", "session_id")):
            await self.copy(connection, table, key)
        await connection.close()
        return postgres_url

    async def copy(self, connection: "asyncpg.Connection[asyncpg.Record]", table: str, key: str) -> None:
        with closing(sqlite3.connect(DATABASE)) as source:
            rows = source.execute(f"SELECT * FROM {table} WHERE {key} <> ?", [NOT_IN_POSTGRES])
            columns = [column for column, *_ in rows.description]
            values = ", ".join(f"${at}::text::{self.type_of(name)}" for at, name in enumerate(columns, 1))
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"
            texts = [[None if value is None else str(value) for value in row] for row in rows]
        await connection.executemany(statement, texts)

    def type_of(self, column: str) -> str:
        if column.endswith("_json"):
            return "jsonb"
        if column.endswith("_at"):
            return "timestamptz"
        return "bigint" if column in ("step", "last_step", "concurrency_limit") else "text"

    def test_every_step_is_what_the_crate_reads(self, server: LockstitchServer, client: Client, url: str) -> None:
        steps = STEPS - len(EXPECTED["sessions"][NOT_IN_POSTGRES]["steps"])
        assert imported(server, url) == f"{SESSIONS - 1} sessions, {steps} steps: {steps} created, 0 unchanged\n"
        check_against_the_crate(client, set(EXPECTED["sessions"]) - {NOT_IN_POSTGRES})
        assert f"0 created, {steps} unchanged" in imported(server, url)

    def test_integers_above_2_to_the_53_are_exact(self, server: LockstitchServer, client: Client, url: str) -> None:
        imported(server, url, "--session", "edges")
        entries = client.load("edges", step=7).checkpoint.state.extra.entries
        assert (entries["u64_max"], entries["i64_min"]) == ("18446744073709551615", "-9223372036854775808")

    async def test_a_snapshot_without_its_step(self, server: LockstitchServer, client: Client, url: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("DELETE FROM steps WHERE session_id = 'tiny-🧵'")
        await connection.close()
        done = Command("import", "weavegraph", url, "--session", "tiny-🧵", "--target", server.target)
        assert done.process(Path("/")).out == "1 session, 1 step: 1 created, 0 unchanged\n"

    def test_a_database_of_something_else(self, server: LockstitchServer, postgres_url: str) -> None:
        done = import_(server, postgres_url)
        assert done.code == 2
        assert "is no weavegraph database (relation" in done.err

    def test_no_database(self, server: LockstitchServer) -> None:
        done = import_(server, "postgresql://someone:secret@127.0.0.1:1/x")
        assert done.code == 2
        assert "postgresql://someone@127.0.0.1:1/x cannot be read" in done.err
        assert "secret" not in done.err
