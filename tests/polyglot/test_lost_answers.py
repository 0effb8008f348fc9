"""Saves that are stored and whose answers are lost: the same save again is a retry, in all languages."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from lockstitch import Client
from tests.polyglot.conftest import StartExecutor
from tests.polyglot.executor import Executor
from tests.polyglot.languages import NAMES
from tests.polyglot.losing import LosingForwarder, losing_server
from tests.polyglot.test_late_saves import encoded, save_until_acknowledged, saying
from tests.support.server import LockstitchServer

pytestmark = pytest.mark.parametrize("language", NAMES)

WAYS = pytest.mark.parametrize("way", ["save_concurrently", "save_many"])
LOST = ("UNAVAILABLE", "DEADLINE_EXCEEDED")


@pytest.fixture
def session_id() -> str:
    return f"lost-{uuid.uuid4()}"


@pytest.fixture
def losing(server: LockstitchServer) -> Iterator[LosingForwarder]:
    with losing_server(server.target) as losing:
        yield losing


@pytest.fixture
def executor(executor_of: StartExecutor, language: str, losing: LosingForwarder) -> Executor:
    """Connected through the server that loses answers. Each save is sent once."""
    executor = executor_of(language)
    executor.ask("connect", {"target": losing.target, "retry": False})
    return executor


def claim(session_id: str, text: str, **expected: Any) -> dict[str, Any]:
    """A save of the first checkpoint on a condition."""
    return {"checkpoint": encoded(saying(session_id, 1, text)), "expected_latest": expected}


def save(executor: Executor, way: str, *saves: dict[str, Any]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = executor.ask(way, {"saves": saves})["ok"]["results"]
    return results


def assert_one_more_retry(executor: Executor, way: str, again: dict[str, Any]) -> None:
    """The save is stored as this client's; after that, an equal one is another save."""
    assert save(executor, way, again)[0]["ok"]["outcome"] == "UNCHANGED"
    assert save(executor, way, again)[0]["error"]["reason"] == "EXPECTED_LATEST_MISMATCH"


@WAYS
def test_beside_a_later_save_that_is_refused(
    executor: Executor, losing: LosingForwarder, session_id: str, way: str
) -> None:
    mine, other = claim(session_id, "mine ", none=True), claim(session_id, "other ", step="99")
    save_until_acknowledged(executor, way, [saying(f"{session_id}-first", 1, "first ")])
    losing.lose(session_id, refusals=1)
    lost, refused = save(executor, way, mine, other)
    assert lost["error"]["code"] in LOST
    assert refused["error"]["reason"] == "EXPECTED_LATEST_MISMATCH"
    losing.lose("")
    assert_one_more_retry(executor, way, mine)


@WAYS
def test_before_a_later_save_that_is_refused(
    executor: Executor, losing: LosingForwarder, session_id: str, way: str
) -> None:
    mine, other = claim(session_id, "mine ", none=True), claim(session_id, "other ", step="99")
    losing.lose(session_id)
    assert save(executor, way, mine)[0]["error"]["code"] in LOST
    losing.lose("")
    assert save(executor, way, other)[0]["error"]["reason"] == "EXPECTED_LATEST_MISMATCH"
    assert_one_more_retry(executor, way, mine)


@WAYS
def test_a_later_save_that_is_stored_is_not_replaced_by_a_retry(
    executor: Executor, losing: LosingForwarder, session_id: str, way: str
) -> None:
    """The same save again comes after that one: it is another save, on a condition that is not true any more."""
    mine, later = claim(session_id, "mine ", none=True), claim(session_id, "later ", step="1")
    losing.lose(session_id)
    assert save(executor, way, mine)[0]["error"]["code"] in LOST
    losing.lose("")
    assert save(executor, way, later)[0]["ok"]["outcome"] == "REPLACED"
    assert save(executor, way, mine)[0]["error"]["reason"] == "EXPECTED_LATEST_MISMATCH"


def test_the_first_append_of_a_thread(
    executor: Executor, losing: LosingForwarder, server: LockstitchServer, session_id: str
) -> None:
    append = {"session_id": session_id, "key": "log", "items": "[1]"}
    losing.lose(session_id)
    assert executor.ask("plain_append", append)["error"]["code"] in LOST
    losing.lose("")
    with Client(server.target) as client:
        thread = client.thread(session_id)
        assert thread.load() == {"log": [1]}
        assert executor.ask("plain_append", append)["ok"] == {"step": 1}
        assert executor.ask("plain_append", append)["ok"] == {"step": 2}
        assert thread.load() == {"log": [1, 1]}
