"""Agent Framework's CheckpointStorage: what its protocol promises, on a real server."""

import asyncio
import copy
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from agent_framework import WorkflowCheckpoint, WorkflowCheckpointException

import lockstitch
from lockstitch.adapters.agent_framework import LockstitchCheckpointStorage
from tests.adapters.killing import killed_often
from tests.support.paths import CLIENT, ROOT
from tests.support.server import LockstitchServer

BEGIN = datetime(2026, 11, 30, tzinfo=UTC)


@dataclass
class Draft:
    text: str


ALLOWED = [f"{Draft.__module__}:Draft"]


@pytest.fixture(params=["sqlite_server", "postgres_server"])
def target(request: pytest.FixtureRequest) -> str:
    server: LockstitchServer = request.getfixturevalue(request.param)
    return server.target


@pytest.fixture
async def storage(target: str) -> AsyncIterator[LockstitchCheckpointStorage]:
    session_id = f"case-{uuid4()}"
    async with LockstitchCheckpointStorage(session_id, target, allowed_checkpoint_types=ALLOWED) as storage:
        yield storage


def made(step: int = 0, name: str = "desk", **fields: Any) -> WorkflowCheckpoint:
    time = (BEGIN + timedelta(seconds=step)).isoformat()
    given: dict[str, Any] = {"timestamp": time, "iteration_count": step, **fields}
    return WorkflowCheckpoint(workflow_name=name, graph_signature_hash="0" * 64, **given)


async def test_a_checkpoint_is_what_it_was(storage: LockstitchCheckpointStorage) -> None:
    state = {"draft": Draft("a"), "log": ["x" * 100] * 9, "deep": {"er": [{"n": 1}]}, "$channel": None, "t": (1, {2})}
    saved = made(state=state, metadata={"superstep": 1})
    original = copy.deepcopy(saved)
    assert await storage.save(saved) == saved.checkpoint_id
    saved.state["log"].append("later")
    assert await storage.load(saved.checkpoint_id) == original
    assert await storage.list_checkpoints(workflow_name="desk") == [original]


async def test_what_was_loaded_belongs_to_the_caller(storage: LockstitchCheckpointStorage) -> None:
    saved = made(state={"log": ["x" * 300]})
    await storage.save(saved)
    (await storage.load(saved.checkpoint_id)).state["log"].append("mine")
    latest = await storage.get_latest(workflow_name="desk")
    assert latest == saved


async def test_lists_have_one_workflow_and_the_order_of_time(storage: LockstitchCheckpointStorage) -> None:
    first, second, other = made(1), made(2), made(3, "other")
    for checkpoint in (second, other, first):
        await storage.save(checkpoint)
    assert await storage.list_checkpoint_ids(workflow_name="desk") == [first.checkpoint_id, second.checkpoint_id]
    assert await storage.list_checkpoints(workflow_name="desk") == [first, second]
    assert await storage.get_latest(workflow_name="desk") == second
    assert await storage.get_latest(workflow_name="other") == other
    assert await storage.get_latest(workflow_name="unknown") is None
    assert await storage.list_checkpoints(workflow_name="unknown") == []


async def test_the_latest_is_latest_in_any_time_zone(storage: LockstitchCheckpointStorage) -> None:
    early, late = made(timestamp="2026-11-30T12:00:00+02:00"), made(timestamp="2026-11-30T10:30:00")
    for checkpoint in (late, early):
        await storage.save(checkpoint)
    assert await storage.get_latest(workflow_name="desk") == late


async def test_a_deleted_checkpoint_is_gone(storage: LockstitchCheckpointStorage) -> None:
    first, second = made(1), made(2)
    await storage.save(first)
    await storage.save(second)
    assert await storage.delete(second.checkpoint_id)
    assert not await storage.delete(second.checkpoint_id)
    with pytest.raises(WorkflowCheckpointException, match=second.checkpoint_id):
        await storage.load(second.checkpoint_id)
    assert await storage.get_latest(workflow_name="desk") == first


async def test_saved_again_at_another_time_it_is_one_checkpoint(storage: LockstitchCheckpointStorage) -> None:
    first = made(5, state={"n": 1})
    again = made(3, state={"n": 2}, checkpoint_id=first.checkpoint_id)
    await storage.save(first)
    await storage.save(again)
    assert await storage.load(first.checkpoint_id) == again
    assert await storage.list_checkpoints(workflow_name="desk") == [again]
    assert await storage.delete(first.checkpoint_id)
    assert await storage.list_checkpoint_ids(workflow_name="desk") == []


async def test_parents_are_parents_on_the_server_too(storage: LockstitchCheckpointStorage, target: str) -> None:
    first = made(1)
    second = made(2, previous_checkpoint_id=first.checkpoint_id)
    fork = made(3, previous_checkpoint_id=first.checkpoint_id)
    orphan = made(4, previous_checkpoint_id="never saved")
    await storage.save(first)
    await storage.save(second)
    async with LockstitchCheckpointStorage(storage.session_id, target) as elsewhere:  # it has to look the parent up
        await elsewhere.save(fork)
        await elsewhere.save(orphan)
    assert await storage.list_checkpoints(workflow_name="desk") == [first, second, fork, orphan]
    async with lockstitch.AsyncClient(target) as client:
        found = [item.checkpoint async for item in client.list_checkpoints(storage.session_id)]
    ids = {item.step: item.checkpoint_id for item in found}
    assert {item.step: item.parent_id for item in found} == {1: "", 2: ids[1], 3: ids[1], 4: ""}


async def test_what_cannot_be_loaded_is_not_saved(storage: LockstitchCheckpointStorage, target: str) -> None:
    async with LockstitchCheckpointStorage(storage.session_id, target) as strict:
        for state in ({"draft": Draft("a")}, {"pickled": lambda: None}):
            with pytest.raises(WorkflowCheckpointException):
                await strict.save(made(state=state))
    for wrong in (made(timestamp="yesterday"), made(checkpoint_id="x" * 97), made(checkpoint_id="")):
        with pytest.raises(WorkflowCheckpointException):
            await storage.save(wrong)
    assert await storage.list_checkpoint_ids(workflow_name="desk") == []


async def test_other_checkpoints_are_refused(storage: LockstitchCheckpointStorage, target: str) -> None:
    async with lockstitch.AsyncClient(target) as client:
        await client.save(lockstitch.Checkpoint(session_id=storage.session_id, namespace="desk"))
    with pytest.raises(WorkflowCheckpointException, match="not one of a workflow"):
        await storage.get_latest(workflow_name="desk")


async def test_two_storages_on_one_session_lose_nothing(storage: LockstitchCheckpointStorage, target: str) -> None:
    async with LockstitchCheckpointStorage(storage.session_id, target) as other:
        saved = [made(step, state={"log": [step]}) for step in range(40)]
        await asyncio.gather(*((storage, other)[step % 2].save(one) for step, one in enumerate(saved)))
        assert await other.list_checkpoints(workflow_name="desk") == saved


@pytest.mark.slow
async def test_1000_entries_take_little_more_than_their_bytes(
    storage: LockstitchCheckpointStorage, target: str
) -> None:
    log: list[dict[str, Any]] = []
    previous = None
    for step in range(1000):
        log.append(
            {"step": step, "id": uuid4().hex, "text": "Order 20 spools, and tell me when they are on their way."}
        )
        previous = await storage.save(made(step, state={"log": log}, previous_checkpoint_id=previous))
    async with lockstitch.AsyncClient(target) as client:
        stored = (await client.get_session(storage.session_id)).summary.stored_bytes
    assert stored <= 1.5 * sum(len(str(entry)) for entry in log) + 400 * len(log)
    latest = await storage.get_latest(workflow_name="desk")
    assert latest is not None
    assert latest.state["log"] == log


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
async def test_a_killed_server_loses_no_saved_checkpoint(backend: str, request: pytest.FixtureRequest) -> None:
    store = request.getfixturevalue("postgres_url") if backend == "postgres" else ""
    with LockstitchServer(store, ["--migrate"] if store else []) as server:
        async with LockstitchCheckpointStorage("case", server.target, timeout=120) as storage:
            saved: list[WorkflowCheckpoint] = []
            async with killed_often(server) as done:
                while not done.is_set() or len(saved) < 20:
                    previous = saved[-1].checkpoint_id if saved else None
                    checkpoint = made(len(saved), state={"log": list(range(99))}, previous_checkpoint_id=previous)
                    await storage.save(checkpoint)
                    saved.append(checkpoint)
            assert await storage.list_checkpoints(workflow_name="desk") == saved


def run_demo(tmp_path: Path, python: str) -> None:
    demo = ROOT / "examples" / "agent_framework" / "demo.py"
    environment = {**os.environ, "PYTHONPATH": str(CLIENT), "DEMO_PYTHON": python}
    result = subprocess.run(
        [sys.executable, str(demo)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("ok: ") == 3
    assert "kill -9: the first process is gone" in result.stdout


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    run_demo(tmp_path, sys.executable)


@pytest.mark.slow
@pytest.mark.timeout(600)  # it may install an environment
def test_the_demo_with_the_oldest_release(tmp_path: Path, oldest: Path) -> None:
    run_demo(tmp_path, str(oldest))
