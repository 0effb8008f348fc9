"""With leases, a thread has one writer: exactly one of two goes on, and the other is told."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

import lockstitch
from lockstitch.adapters.langgraph import LeasePolicy, LockstitchSaver
from tests.adapters.checkpoints import checkpoint, config, metadata
from tests.adapters.graphs import approval, history, said
from tests.support.paths import ROOT
from tests.support.server import LockstitchServer

Process = subprocess.Popen[str]
Saver = BaseCheckpointSaver[Any]
PROGRAM = Path(__file__).with_name("leaseholder.py")
WAIT_SECONDS = 60.0
LEASE_SECONDS = 3
"""Of a lease that is kept alive: long enough for a machine that has much else to do."""


@pytest.fixture
def other(server: LockstitchServer, thread_id: str) -> Iterator[Process]:
    """A process in the middle of a run, with a lease that it keeps alive."""
    command = [sys.executable, str(PROGRAM), server.target, thread_id, str(LEASE_SECONDS)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        yield process
        process.kill()


def finish(process: Process) -> str:
    """Let its node end, and read what became of the run."""
    said_last, _ = process.communicate("go on\n", WAIT_SECONDS)
    return said_last.strip()


def leasing(target: str, holder: str = "this process") -> LockstitchSaver:
    return LockstitchSaver(target, lease=LeasePolicy(ttl=LEASE_SECONDS, holder=holder))


def take_over(saver: LockstitchSaver, thread_id: str) -> None:
    """Write as soon as the other's lease has ended."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            approval(saver).invoke(said("mine"), config(thread_id))
            return
        except lockstitch.LeaseHeld:
            assert time.monotonic() < end
            time.sleep(0.2)


def test_while_one_process_writes_another_is_told(server: LockstitchServer, thread_id: str, other: Process) -> None:
    with leasing(server.target) as saver:
        for pause in (LEASE_SECONDS + 1, 0):  # it stays so beyond the lease's time
            with pytest.raises(lockstitch.LeaseHeld) as told:
                approval(saver).invoke(said("mine"), config(thread_id))
            assert told.value.holder == "the other process"
            time.sleep(pause)
        assert finish(other) == "done"
        approval(saver).invoke(said("mine"), config(thread_id))  # it gave its lease back


def test_a_process_that_died_is_followed_by_another(server: LockstitchServer, thread_id: str, other: Process) -> None:
    other.kill()
    with leasing(server.target) as saver:
        take_over(saver, thread_id)


@pytest.mark.slow
def test_a_process_that_stood_still_is_told(server: LockstitchServer, thread_id: str, other: Process) -> None:
    other.send_signal(signal.SIGSTOP)
    with leasing(server.target) as saver:
        take_over(saver, thread_id)
        before = history(approval(saver), config(thread_id))
        other.send_signal(signal.SIGCONT)
        assert finish(other) == "LeaseLost"
        assert history(approval(saver), config(thread_id)) == before


def write_twice(one: Saver, two: Saver, thread_id: str) -> list[dict[str, Any]]:
    """Two writers go on from the same checkpoint. Gives what the thread looks like then."""
    graphs = [approval(one), approval(two)]
    graphs[0].invoke(said("sew"), config(thread_id))
    past = graphs[0].get_state(config(thread_id)).config
    for graph, text in zip(graphs, ("one", "two"), strict=True):
        graph.update_state(past, {"log": [text]}, as_node="plan")
    return history(graphs[1], config(thread_id))


def test_without_leases_both_go_on_as_with_langgraphs_saver(server: LockstitchServer, thread_id: str) -> None:
    memory = InMemorySaver()
    with LockstitchSaver(server.target) as one, LockstitchSaver(server.target) as two:
        assert write_twice(one, two, thread_id) == write_twice(memory, memory, thread_id)


async def test_a_run_that_began_from_an_old_checkpoint_is_told(server: LockstitchServer, thread_id: str) -> None:
    async with leasing(server.target, "one") as one, leasing(server.target, "two") as two:
        assert await one.aget_tuple(config(thread_id)) is None  # a run begins
        put = await two.aput(config(thread_id), checkpoint({"a": 1}), metadata(), {"a": 1})
        await two.arelease_thread(thread_id)
        with pytest.raises(lockstitch.ExpectedLatestMismatch):
            await one.aput(config(thread_id), checkpoint({"a": 2}), metadata(), {"a": 1})
        with pytest.raises(lockstitch.LeaseLost):
            await one.aput_writes(put, [("a", 3)], "task")
        assert await one.aget_tuple(config(thread_id)) is not None  # another run begins
        await one.aput(put, checkpoint({"a": 2}), metadata(), {"a": 1})


async def test_tasks_and_threads_of_one_saver_share_a_lease(server: LockstitchServer, thread_id: str) -> None:
    async with leasing(server.target) as saver:
        put = await saver.aput(config(f"{thread_id}-other"), checkpoint({}), metadata(), {})
        where = config(thread_id, put["configurable"]["checkpoint_id"])
        await asyncio.gather(
            *(saver.aput_writes(where, [("a", number)], f"task-{number}") for number in range(20)),
            *(asyncio.to_thread(saver.put_writes, where, [("a", number)], f"sync-{number}") for number in range(5)),
        )
        graph = approval(saver)
        await graph.ainvoke(said("sew"), config(thread_id))
        clone = approval(saver)
        assert (await clone.ainvoke(Command(resume=True), config(thread_id)))["log"][-1] == "acted"


async def test_an_idle_lease_is_given_back(server: LockstitchServer, thread_id: str) -> None:
    policy = LeasePolicy(ttl=LEASE_SECONDS, idle=0.1, holder="one")
    async with LockstitchSaver(server.target, lease=policy) as one, leasing(server.target, "two") as two:
        put = await one.aput(config(thread_id), checkpoint({}), metadata(), {})
        await asyncio.to_thread(take_over, two, thread_id)
        with pytest.raises(lockstitch.LeaseHeld):
            await one.aput(put, checkpoint({}), metadata(), {})


@pytest.mark.parametrize("idle", [300, 0.001])
async def test_who_renews_a_lease_given_back_meanwhile_leaves_the_next_one_alone(
    server: LockstitchServer, thread_id: str, idle: float
) -> None:
    """Renewals go from lease to lease, and each may take its time."""
    policy = LeasePolicy(idle=idle, holder="one")
    async with LockstitchSaver(server.target, lease=policy) as saver, leasing(server.target, "two") as two:
        put = await saver.aput(config(thread_id), checkpoint({}), metadata(), {})
        leases = saver._settings.leases
        assert leases is not None
        given_back = leases._held[thread_id]
        await saver.arelease_thread(thread_id)
        await saver.aput_writes(put, [("a", 1)], "task")
        await asyncio.to_thread(leases._renew, thread_id, given_back)
        with pytest.raises(lockstitch.LeaseHeld):
            await two.aput_writes(put, [("a", 2)], "other task")
        await saver.aput_writes(put, [("a", 3)], "task")


def test_a_policy_has_limits() -> None:
    with pytest.raises(ValueError, match="ttl"):
        LeasePolicy(ttl=0.5)
    with pytest.raises(ValueError, match="idle"):
        LeasePolicy(idle=0)
