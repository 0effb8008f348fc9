"""Saves that arrive late, and equal saves of two programs, in all languages whose clients give saves their ids."""

import base64
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lockstitch import NONE, Checkpoint, Client, VersionedState, message
from lockstitch.v1.checkpoint_pb2 import MessagesChannel
from tests.polyglot.executor import Executor
from tests.polyglot.languages import LANGUAGES, Executables, Language
from tests.polyglot.test_connections import started
from tests.support.holding import HoldingProxy
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.slow

READY = [language for language in LANGUAGES if language.name in ("python", "go", "java", "typescript", "rust")]
"""Languages whose clients send `save_id`."""
SESSIONS = 8
SIZE = 4000
TIMEOUT_MS = 4000
PATIENCE = 60.0

ready = pytest.mark.parametrize("language", READY, ids=lambda language: language.name)


@pytest.fixture
def session_id() -> str:
    return f"late-{uuid.uuid4()}"


def saying(session_id: str, step: int, text: str) -> Checkpoint:
    """A checkpoint of SIZE bytes, about."""
    state = VersionedState(messages=MessagesChannel(items=[message("user", text * (SIZE // len(text)))]))
    return Checkpoint(session_id=session_id, step=step, state=state)


def encoded(checkpoint: Checkpoint) -> str:
    return base64.b64encode(checkpoint.SerializeToString()).decode()


def save_all(executor: Executor, way: str, checkpoints: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    saves = [{"checkpoint": encoded(checkpoint)} for checkpoint in checkpoints]
    results: list[dict[str, Any]] = executor.ask(way, {"saves": saves})["ok"]["results"]
    return results


def save_until_acknowledged(executor: Executor, way: str, checkpoints: Sequence[Checkpoint]) -> None:
    end = time.monotonic() + PATIENCE
    while any("error" in result for result in save_all(executor, way, checkpoints)):
        assert time.monotonic() < end, "saves still fail"


def wait_for(client: Client, session_ids: Sequence[str]) -> None:
    """Wait until each of these sessions has a checkpoint."""
    end = time.monotonic() + PATIENCE
    while not all(client.load_latest(session_id).checkpoint for session_id in session_ids):
        assert time.monotonic() < end, "the late saves did not arrive"
        time.sleep(0.05)


@ready
@pytest.mark.parametrize("way", ["save_concurrently", "save_many"])
def test_a_save_that_was_given_up_does_not_overwrite_a_later_one(
    executables: Executables, language: Language, tmp_path: Path, server: LockstitchServer, session_id: str, way: str
) -> None:
    """The first saves are held back, time out, and reach the server after others of the same steps are stored."""
    names = [f"{session_id}-{number}" for number in range(SESSIONS)]
    markers = [f"{name}-marker" for name in names]
    old = [saying(name, 5, "old ") for name in names] + [saying(name, 1, "marker ") for name in markers]
    new = [saying(name, 5, "new ") for name in names]
    with (
        HoldingProxy(server.target) as proxy,
        started(executables, language, tmp_path / "log") as executor,
        Client(server.target) as client,
    ):
        executor.ask("connect", {"target": proxy.target, "timeout_ms": TIMEOUT_MS})
        save_until_acknowledged(executor, way, [saying(f"{name}-first", 1, "first ") for name in names])
        assert proxy.hold()
        given_up = executor.begin(way, {"saves": [{"checkpoint": encoded(each)} for each in old]})
        proxy.gather(sum(each.ByteSize() for each in old), TIMEOUT_MS / 1000)
        assert all("error" in result for result in executor.wait(given_up)["ok"]["results"])
        save_until_acknowledged(executor, way, new)
        proxy.deliver()
        wait_for(client, markers)
        for name, checkpoint in zip(names, new, strict=True):
            found = client.load_latest(name).checkpoint
            assert found is not None
            assert found.state == checkpoint.state


@ready
def test_of_equal_saves_of_two_programs_one_succeeds(
    executables: Executables, language: Language, tmp_path: Path, server: LockstitchServer, session_id: str
) -> None:
    checkpoint = saying(session_id, 1, "the same ")
    checkpoint.created_at.FromNanoseconds(1_700_000_000_000_000_000)
    with started(executables, language, tmp_path / "log") as executor, Client(server.target) as other:
        executor.ask("connect", {"target": server.target})
        other.save(checkpoint, expected_latest=NONE)
        save = {"checkpoint": encoded(checkpoint), "expected_latest": {"none": True}}
        assert executor.ask("save", save)["error"]["reason"] == "EXPECTED_LATEST_MISMATCH"
        del save["expected_latest"]
        assert executor.ask("save", save)["ok"]["outcome"] == "UNCHANGED"


@ready
def test_of_equal_states_of_two_programs_one_succeeds(
    executables: Executables, language: Language, tmp_path: Path, server: LockstitchServer, session_id: str
) -> None:
    with started(executables, language, tmp_path / "log") as executor, Client(server.target) as other:
        executor.ask("connect", {"target": server.target})
        other.thread(session_id).save({"owner": "worker"})
        save = {"session_id": session_id, "by": "0", "state": '{"owner":"worker"}'}
        assert executor.ask("plain_save", save)["error"]["reason"] == "EXPECTED_LATEST_MISMATCH"


@ready
def test_a_thread_notices_a_rewind_and_as_many_saves(
    executables: Executables, language: Language, tmp_path: Path, server: LockstitchServer, session_id: str
) -> None:
    with started(executables, language, tmp_path / "log") as executor, Client(server.target) as client:
        executor.ask("connect", {"target": server.target})
        other, thread = client.thread(session_id), {"session_id": session_id, "by": "0"}
        other.save({"n": 1})
        other.save({"n": 2})
        assert executor.ask("plain_load", thread)["ok"]["state"] == '{"n":2}'
        other.rewind(1)
        other.save({"n": 3})
        answer = executor.ask("plain_save", {**thread, "state": '{"n":4}'})
        assert answer["error"]["reason"] == "EXPECTED_LATEST_MISMATCH"
        assert other.load() == {"n": 3}
