"""LangGraph's Agent Server (`langgraph dev`) with the checkpointer that langgraph.json names."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

import lockstitch
from examples.agent_server.demo import agent_server, wait_for
from tests.support.paths import CLIENT, ROOT
from tests.support.server import LockstitchServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first one installs an environment

QUESTION: dict[str, Any] = {"notes": ["where?"]}
FACTS = ["where?", "order 4711 was lost", "refund 12.50"]


@pytest.fixture(scope="module", params=["sqlite_server", "postgres_server"])
def target(request: pytest.FixtureRequest) -> str:
    server: LockstitchServer = request.getfixturevalue(request.param)
    return server.target


@pytest.fixture(scope="module")
def url(target: str, frameworks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an Agent Server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(CLIENT))
        directory = tmp_path_factory.mktemp("agent") / "server"
        with agent_server(directory, target, str(frameworks)) as (url, _):
            yield url


@pytest.fixture
def client(url: str) -> Iterator[SyncLangGraphClient]:
    with get_sync_client(url=url) as client:
        yield client


def stored(target: str, thread_id: str) -> list[str]:
    """The ids of a thread's checkpoints on the Lockstitch server."""
    with lockstitch.Client(target) as lockstitch_client:
        return [item.checkpoint.checkpoint_id for item in lockstitch_client.list_checkpoints(thread_id)]


def notes(client: SyncLangGraphClient, thread_id: str) -> list[str]:
    values: Any = client.threads.get_state(thread_id)["values"]
    found: list[str] = values["notes"]
    return found


def copy(url: str, thread_id: str) -> str:
    """Copy a thread. Gives the id of the copy."""
    copied: str = httpx.post(f"{url}/threads/{thread_id}/copy").json()["thread_id"]
    return copied


@pytest.fixture
def asked(client: SyncLangGraphClient) -> str:
    """A thread whose run has asked a person."""
    thread_id = client.threads.create()["thread_id"]
    result: Any = client.runs.wait(thread_id, "desk", input=QUESTION)
    assert result["notes"] == FACTS
    assert [each["value"] for each in result["__interrupt__"]] == [{"approve": "refund 12.50"}]
    return thread_id


@pytest.fixture
def answered(client: SyncLangGraphClient, asked: str) -> str:
    """A thread whose run has ended."""
    done: Any = client.runs.wait(asked, "desk", command={"resume": "yes"})
    assert done["notes"] == [*FACTS, "a person said yes"]
    return asked


def test_a_run_is_interrupted_and_resumed(client: SyncLangGraphClient, asked: str, target: str) -> None:
    state = client.threads.get_state(asked)
    assert state["next"] == ["ask"]
    assert [task["interrupts"][0]["value"] for task in state["tasks"]] == [{"approve": "refund 12.50"}]
    assert state["checkpoint"]["checkpoint_id"] == stored(target, asked)[0]
    client.runs.wait(asked, "desk", command={"resume": "yes"})
    assert notes(client, asked) == [*FACTS, "a person said yes"]


def test_history_and_time_travel(client: SyncLangGraphClient, answered: str, target: str) -> None:
    history = client.threads.get_history(answered, limit=100)
    assert [state["next"] for state in history] == [[], ["ask"], ["draft"], ["look_up"], ["__start__"]]
    assert [state["checkpoint"]["checkpoint_id"] for state in history] == stored(target, answered)
    before = client.threads.get_history(answered, limit=1, before=history[1]["checkpoint"])
    assert [state["next"] for state in before] == [["draft"]]
    result: Any = client.runs.wait(
        answered, "desk", input=None, checkpoint_id=history[2]["checkpoint"]["checkpoint_id"]
    )
    assert result["notes"] == FACTS
    assert client.threads.get_state(answered)["next"] == ["ask"]
    past: Any = client.threads.get_state(answered, checkpoint=history[0]["checkpoint"])
    assert past["values"]["notes"] == [*FACTS, "a person said yes"]


def test_a_copy_is_apart(client: SyncLangGraphClient, url: str, asked: str, target: str) -> None:
    other = copy(url, asked)
    assert stored(target, other) == stored(target, asked)
    client.runs.wait(other, "desk", command={"resume": "no"})
    assert notes(client, other) == [*FACTS, "a person said no"]
    assert notes(client, asked) == FACTS


def test_an_update(client: SyncLangGraphClient, asked: str) -> None:
    client.threads.update_state(asked, {"notes": ["by hand"]}, as_node="ask")
    assert notes(client, asked) == [*FACTS, "by hand"]
    assert client.threads.get_state(asked)["next"] == []


def test_a_run_that_another_rolls_back_leaves_nothing(client: SyncLangGraphClient, answered: str, target: str) -> None:
    before = stored(target, answered)
    slow: Any = {"configurable": {"draft_seconds": 300}}
    wrong: dict[str, Any] = {"notes": ["wrong"]}
    run = client.runs.create(answered, "desk", input=wrong, config=slow)
    wait_for("the run drafts", lambda: client.threads.get_state(answered)["next"] == ["draft"])
    assert len(stored(target, answered)) > len(before)
    right: dict[str, Any] = {"notes": ["right"]}
    result: Any = client.runs.wait(answered, "desk", input=right, multitask_strategy="rollback")
    assert result["notes"] == [*FACTS, "a person said yes", "right", *FACTS[1:]]
    assert set(before) < set(stored(target, answered))
    values: list[Any] = [state["values"] for state in client.threads.get_history(answered, limit=100)]
    assert all("wrong" not in each.get("notes", ()) for each in values)
    assert run["run_id"] not in {each["run_id"] for each in client.runs.list(answered)}


def test_a_deleted_thread_and_a_pruned_one_leave_nothing(
    client: SyncLangGraphClient, url: str, asked: str, target: str
) -> None:
    other = copy(url, asked)
    client.threads.delete(asked)
    assert stored(target, asked) == []
    assert stored(target, other) != []
    pruned = httpx.post(f"{url}/threads/prune", json={"thread_ids": [other], "strategy": "delete"})
    assert pruned.json() == {"pruned_count": 1}
    assert stored(target, other) == []


def test_the_demo(frameworks: Path, tmp_path: Path) -> None:
    demo = ROOT / "examples" / "agent_server" / "demo.py"
    environment = {**os.environ, "PYTHONPATH": str(CLIENT), "DEMO_PYTHON": str(frameworks)}
    done = subprocess.run(
        [sys.executable, str(demo)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok: ") == 3
    assert "kill -9: the first Agent Server is gone" in done.stdout
