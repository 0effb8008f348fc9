"""The checkpointers for weavegraph: real runners of both versions, real servers, kills."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch import BlobList, Checkpoint, Client, CustomChannel, TypedBlob, message, node
from lockstitch.v1 import checkpoint_pb2 as pb
from tests.cli.commands import Command
from tests.client_rust.runner import Probe, end_of, finished, kill, wait_for_step
from tests.importers.reference import DATABASE, EXPECTED, expected_steps
from tests.support.server import LockstitchServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first test builds

NODES_OF_A_ROUND = ["plan", "search", "read", "judge"]
MESSAGES = ["begin", *(f"{name} {number}" for number in range(1, 6) for name in NODES_OF_A_ROUND)]
LAST_STEP = 15  # three barriers a round


@pytest.fixture(params=["latest", "0.3"])
def weavegraph(request: pytest.FixtureRequest, probe: Path) -> Probe:
    return Probe(probe, request.param)


def check_complete(client: Client, session: str, lines: list[str]) -> None:
    """The run has the outcome of one that nobody has interrupted, and so has what is stored."""
    end = end_of(lines)
    assert end["messages"] == MESSAGES
    assert end["extra"] == {"round": 5, "tokens": 2**64 - 1 - 5}
    assert end["unsaved"] == []
    steps = [listed.checkpoint for listed in client.list_checkpoints(session)]
    assert [checkpoint.step for checkpoint in steps] == list(range(LAST_STEP, -1, -1))
    assert [item.content for item in steps[0].state.messages.items] == MESSAGES
    assert [checkpoint.parent_id for checkpoint in steps] == [
        f"{step:020d}" for step in range(LAST_STEP - 1, -1, -1)
    ] + [""]


def resumed_at(lines: list[str]) -> int:
    word, step = lines[0].split()
    assert word == "resumed"
    return int(step)


def nodes_run(lines: list[str]) -> int:
    return sum(line.split()[0] in NODES_OF_A_ROUND for line in lines)


def test_an_undisturbed_run(weavegraph: Probe, server: LockstitchServer, client: Client) -> None:
    lines = weavegraph.run("run", server.target, "whole")
    assert lines[0] == "fresh"
    assert nodes_run(lines) == 20
    check_complete(client, "whole", lines)


def test_a_run_that_is_killed_goes_on_in_a_new_process(
    weavegraph: Probe, server: LockstitchServer, client: Client
) -> None:
    for step in (2, 7):  # twice
        process = weavegraph.start("run", server.target, "killed", pause_ms=300)
        wait_for_step(client, "killed", step)
        kill(process)
    reached = client.load_latest("killed").checkpoint
    assert reached is not None
    lines = weavegraph.run("run", server.target, "killed")
    assert resumed_at(lines) in (reached.step, reached.step + 1)  # a save may have been on its way
    assert nodes_run(lines) < 20
    check_complete(client, "killed", lines)


def test_a_run_goes_on_at_another_replica(weavegraph: Probe, postgres_url: str) -> None:
    with LockstitchServer(postgres_url, ["--migrate"]) as one, LockstitchServer(postgres_url) as other:
        with Client(one.target) as client:
            process = weavegraph.start("run", one.target, "moved", pause_ms=100)
            wait_for_step(client, "moved", 4)
            one.kill()
            kill(process)
        lines = weavegraph.run("run", other.target, "moved")
        assert resumed_at(lines) >= 4
        with Client(other.target) as client:
            check_complete(client, "moved", lines)


def test_a_run_does_not_notice_that_its_server_is_killed_and_started_again(
    weavegraph: Probe, server: LockstitchServer, client: Client
) -> None:
    process = weavegraph.start("run", server.target, "unaware", pause_ms=100)
    wait_for_step(client, "unaware", 3)
    server.kill()
    server.start()
    lines = finished(process)
    assert lines[0] == "fresh"
    assert nodes_run(lines) == 20
    check_complete(client, "unaware", lines)


@pytest.mark.parametrize("session", ["extremes", "line\nbreak" + "🧵" * 300])
def test_all_that_weavegraph_can_hold_comes_back(weavegraph: Probe, server: LockstitchServer, session: str) -> None:
    assert weavegraph.run("extremes", server.target, session) == []


def test_a_session_with_a_long_id_is_resumed(weavegraph: Probe, server: LockstitchServer, client: Client) -> None:
    session = "s" * 1000
    assert weavegraph.run("run", server.target, session)[0] == "fresh"
    lines = weavegraph.run("run", server.target, session)
    assert resumed_at(lines) == LAST_STEP
    (stored,) = [one.session_id for one in client.list_sessions()]
    check_complete(client, stored, lines)


def test_a_failed_save_is_reported_without_any_subscriber(weavegraph: Probe, server: LockstitchServer) -> None:
    process = weavegraph.start("fail", server.target, "seen")
    _, errors = process.communicate(timeout=120)
    assert 'the checkpoint of session "seen" at step 2 is not saved: EXPECTED_LATEST_MISMATCH' in errors


def test_a_runner_that_was_overtaken_is_told(weavegraph: Probe, server: LockstitchServer) -> None:
    assert end_of(weavegraph.run("fail", server.target, "raced")) == {
        "reason": "EXPECTED_LATEST_MISMATCH",
        "session": "raced",
        "step": 2,
        "saved": 0,
        "failed": 1,
        "unsaved": ["raced"],
        "after": [],
        "healthy": [False, True],
    }


@pytest.fixture
def imported(server: LockstitchServer) -> set[str]:
    """The sessions of a database that weavegraph 0.6 wrote, imported."""
    done = Command("import", "weavegraph", str(DATABASE)).in_process(server.target)
    assert done.code == 0, done
    return set(EXPECTED["sessions"])


def test_what_was_imported_is_what_the_crate_itself_reads(
    weavegraph: Probe, server: LockstitchServer, imported: set[str]
) -> None:
    for session in imported:
        shown = end_of(weavegraph.run("show", server.target, session))
        assert with_instants(shown) == expected_steps(session)[-1]


def test_what_was_imported_under_other_names_is_resumed(
    weavegraph: Probe, server: LockstitchServer, tmp_path: Path
) -> None:
    """An id, names and a chain of causes that the server does not take: the checkpointer finds and restores them."""
    session, name = "line\n" + "s" * 300, "n" * 600
    error: dict[str, Any] = {"message": "error 0", "details": 0}
    for number in range(1, 96):
        error = {"message": f"error {number}", "cause": error, "details": number}
    when = "2026-01-02T03:04:05Z"
    event: dict[str, Any] = {"when": when, "scope": {"scope": "app"}, "error": error, "tags": [], "context": None}
    expected = expected_steps("tiny-🧵")[-1] | {"frontier": [f"Custom:{name}"], "session_id": session}
    state = expected["state"]
    state["extra"]["map"][name] = 1
    state["errors"]["items"].append(event)
    database = tmp_path / "weavegraph.db"
    shutil.copy(DATABASE, database)
    with closing(sqlite3.connect(database)) as file:
        file.execute("PRAGMA foreign_keys = OFF")
        file.execute("UPDATE sessions SET id = ? WHERE id = 'tiny-🧵'", (session,))
        file.execute("UPDATE steps SET session_id = ? WHERE session_id = 'tiny-🧵'", (session,))
        file.execute(
            "UPDATE steps SET state_json = ?, frontier_json = ? WHERE session_id = ? AND step = 1",
            (json.dumps(state), json.dumps([f"Custom:{name}"]), session),
        )
        file.commit()
    done = Command("import", "weavegraph", str(database), "--session", session).in_process(server.target)
    assert done.code == 0, done
    event["when"] = instant(when)
    assert with_instants(end_of(weavegraph.run("show", server.target, session))) == expected
    weavegraph.run("resave", server.target, session)
    saved = with_instants(end_of(weavegraph.run("show", server.target, session)))
    assert (saved["step"], saved["state"]) == (expected["step"] + 1, state)


def test_what_was_imported_is_saved_again_as_it_was(
    weavegraph: Probe, server: LockstitchServer, client: Client, imported: set[str]
) -> None:
    for session in imported - {"edges"}:  # which is at the greatest step there is
        before = client.load_latest(session).checkpoint
        weavegraph.run("resave", server.target, session)
        after = client.load_latest(session).checkpoint
        assert before is not None
        assert after is not None
        assert (after.step, after.parent_id) == (before.step + 1, before.checkpoint_id)
        assert after.state == before.state


def test_what_a_python_client_wrote_is_resumed_and_kept(
    weavegraph: Probe, server: LockstitchServer, client: Client
) -> None:
    written = of_python("from-python")
    client.save(written)
    lines = weavegraph.run("run", server.target, "from-python")
    assert resumed_at(lines) == 7
    assert end_of(lines)["messages"][:2] == ["begin", "from Python"]
    latest = client.load_latest("from-python").checkpoint
    assert latest is not None
    for key, text in written.state.extra.entries.items():
        assert latest.state.extra.entries[key] == text
    assert latest.state.custom == written.state.custom
    assert list(latest.state.errors.items) == list(written.state.errors.items)


def of_python(session: str) -> Checkpoint:
    """What weavegraph's own types cannot hold in this form: it must not be changed on the way."""
    checkpoint = Checkpoint(session_id=session, step=7, frontier=[node("judge")], concurrency_limit=4)
    checkpoint.state.messages.version = 3
    checkpoint.state.messages.items.extend([message("user", "begin"), message("assistant", "from Python")])
    checkpoint.state.extra.version = 2
    checkpoint.state.extra.entries.update(
        {"huge": str(2**70), "order": '{"b": 1,  "a": 1.0}', "float": "1.10", "escape": '"\\u00e9"'}
    )
    checkpoint.state.errors.items.append(pb.ErrorEvent(when=Timestamp(seconds=1), error=pb.WeaveError(message="oh")))
    items = [TypedBlob(type="bytes", data=b"\x00"), TypedBlob(type="bytes", data=b"\xff")]
    checkpoint.state.custom["other"].CopyFrom(CustomChannel(version="1.5", list=BlobList(items=items)))
    return checkpoint


def with_instants(shown: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint in the crate's words, with its times as nanoseconds."""
    shown = json.loads(json.dumps(shown))
    shown["created_at"] = instant(shown["created_at"])
    for event in shown["state"]["errors"]["items"]:
        event["when"] = instant(event["when"])
    return shown


def instant(text: str) -> int:
    when = Timestamp()
    when.FromJsonString(text)
    return when.ToNanoseconds()
