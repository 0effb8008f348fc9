"""With leases, the runs of one saver are told apart, though they share the lease of their thread."""

import asyncio
import os
import threading
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.types import Command

import lockstitch
from lockstitch.adapters.langgraph import LeasePolicy, LockstitchSaver
from tests.adapters.checkpoints import checkpoint, config, metadata
from tests.adapters.graphs import State, answers, approval, crowd, said
from tests.client.forwarding import forwarding_server
from tests.support.server import LockstitchServer

WAIT_SECONDS = 60.0


def leasing(target: str) -> LockstitchSaver:
    return LockstitchSaver(target, lease=LeasePolicy(holder="worker"))


def one_node(saver: LockstitchSaver, node: Any = lambda state: {"log": ["done"]}) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile(checkpointer=saver)


async def test_of_two_runs_of_one_thread_one_is_refused(server: LockstitchServer, thread_id: str) -> None:
    both = asyncio.Barrier(2)

    async def node(state: State) -> State:
        await asyncio.sleep(0.1)
        return {"log": ["done"]}

    async def run(saver: LockstitchSaver, name: str) -> Any:
        await both.wait()
        return await one_node(saver, node).ainvoke({"log": [name]}, config(thread_id))

    async with leasing(server.target) as saver:
        told = await asyncio.gather(run(saver, "A"), run(saver, "B"), return_exceptions=True)
        (refused,) = [each for each in told if isinstance(each, Exception)]
        (finished,) = [each for each in told if not isinstance(each, Exception)]
        assert isinstance(refused, lockstitch.ExpectedLatestMismatch | lockstitch.LeaseLost)
        assert (await one_node(saver).aget_state(config(thread_id))).values == finished
        assert (await one_node(saver).ainvoke({"log": ["C"]}, config(thread_id)))["log"][-2:] == ["C", "done"]


@pytest.mark.parametrize("reads", ["nobody", "another thread", "the run itself"])
def test_a_stale_run_never_overwrites_whoever_reads_meanwhile(
    server: LockstitchServer, thread_id: str, reads: str
) -> None:
    began, go = threading.Event(), threading.Event()
    told: list[Any] = []

    def node(state: State) -> State:
        began.set()
        assert go.wait(WAIT_SECONDS)
        return {"log": ["stale"]}

    with leasing(server.target) as one, leasing(server.target) as other:

        def run() -> None:
            try:
                for _ in one_node(one, node).stream({"log": ["A"]}, config(thread_id), durability="exit"):
                    if reads == "the run itself":
                        one_node(one).get_state(config(thread_id))
            except lockstitch.LockstitchError as error:
                told.append(type(error))

        one_node(other).invoke({"log": ["first"]}, config(thread_id))
        other.release_thread(thread_id)
        running = threading.Thread(target=run)
        running.start()
        assert began.wait(WAIT_SECONDS)
        one_node(other).invoke({"log": ["from another process"]}, config(thread_id))
        other.release_thread(thread_id)
        if reads == "another thread":
            one_node(one).get_state(config(thread_id))
        go.set()
        running.join(WAIT_SECONDS)
        assert told == [lockstitch.ExpectedLatestMismatch]
        assert "stale" not in one_node(other).get_state(config(thread_id)).values["log"]


async def test_writes_of_a_stale_run_are_refused(server: LockstitchServer, thread_id: str) -> None:
    """A run that is resumed writes its answer before it saves a checkpoint."""
    async with leasing(server.target) as one, leasing(server.target) as other:
        put = await other.aput(config(thread_id), checkpoint({"a": 1}), metadata(), {"a": 1})
        await other.arelease_thread(thread_id)
        assert await one.aget_tuple(config(thread_id)) is not None  # a run begins
        await other.aput(put, checkpoint({"a": 2}, {"a": 2}), metadata(1), {"a": 2})
        await other.arelease_thread(thread_id)
        with pytest.raises(lockstitch.ExpectedLatestMismatch):
            await one.aput_writes(put, [("a", 3)], "task")
        with pytest.raises(lockstitch.LeaseLost):
            await one.aput_writes(put, [("a", 3)], "task")
        found = await other.aget_tuple(put)
        assert found is not None
        assert found.pending_writes == []
        assert await one.aget_tuple(config(thread_id)) is not None  # another run begins
        await one.aput_writes(config(thread_id, (await latest(one, thread_id))), [("a", 3)], "task")


async def latest(saver: LockstitchSaver, thread_id: str) -> str:
    found = await saver.aget_tuple(config(thread_id))
    assert found is not None
    checkpoint_id: str = found.config["configurable"]["checkpoint_id"]
    return checkpoint_id


def test_a_thread_that_was_deleted_can_be_begun_again(server: LockstitchServer, thread_id: str) -> None:
    with leasing(server.target) as saver, leasing(server.target) as other:
        for delete in (saver.delete_thread, other.delete_thread, lambda name: saver.prune([name], strategy="delete")):
            approval(saver).invoke(said("one"), config(thread_id))
            delete(thread_id)
            if delete == other.delete_thread:  # whose lease that was is not known to the other
                with pytest.raises(lockstitch.LeaseLost):
                    approval(saver).invoke(said("two"), config(thread_id))
            approval(saver).invoke(said("two"), config(thread_id))
            assert len(approval(saver).get_state(config(thread_id)).values["messages"]) == 2
            saver.delete_thread(thread_id)


async def test_a_run_under_way_does_not_bring_a_deleted_thread_back(server: LockstitchServer, thread_id: str) -> None:
    async with leasing(server.target) as saver:
        put = await saver.aput(config(thread_id), checkpoint({}), metadata(), {})
        assert await saver.aget_tuple(config(thread_id)) is not None
        put = await saver.aput(put, checkpoint({}), metadata(1), {})
        await saver.adelete_thread(thread_id)
        for attempt in (saver.aput(put, checkpoint({}), metadata(2), {}), saver.aput_writes(put, [("a", 1)], "task")):
            with pytest.raises(lockstitch.LeaseLost):
                await attempt
        assert await saver.aget_tuple(config(thread_id)) is None


def test_runs_are_deleted_under_ones_own_lease(server: LockstitchServer, thread_id: str) -> None:
    run_id = str(uuid4())
    with leasing(server.target) as saver, leasing(server.target) as other:
        for name in (thread_id, f"{thread_id}-2", f"{thread_id}-3"):
            where: RunnableConfig = {**config(name), "metadata": {"run_id": run_id}}
            one_node(saver).invoke({"log": ["x"]}, where)
        with pytest.raises(lockstitch.LeaseHeld):
            other.delete_for_runs([run_id])
        saver.delete_for_runs([run_id])
        assert list(saver.list(None, filter={"run_id": run_id})) == []


def test_reading_threads_costs_no_memory_that_stays(server: LockstitchServer, thread_id: str) -> None:
    with leasing(server.target) as saver:
        for number in range(100):
            assert saver.get_tuple(config(f"{thread_id}-{number}")) is None
        leases = saver._settings.leases
        assert leases is not None
        assert not leases._held
        assert len(leases._seen) <= 16


def test_forks_need_not_go_on_from_the_latest(server: LockstitchServer, thread_id: str) -> None:
    with leasing(server.target) as saver:
        graph = approval(saver)
        graph.invoke(said("sew"), config(thread_id))
        past = graph.get_state(config(thread_id)).config
        graph.invoke(Command(resume=True), config(thread_id))
        assert graph.invoke(None, graph.get_state(past).parent_config)["log"][-1] == "plan"
        forked = graph.update_state(past, {"log": ["by hand"]}, as_node="plan")
        assert graph.invoke(Command(resume=True), forked)["log"][-1] == "acted"
        graph.update_state(config(thread_id), None, as_node="__copy__")
        states = list(graph.get_state_history(config(thread_id)))
        graph.update_state(states[-1].config, None, as_node="__copy__")
        assert graph.invoke(said("again"), config(thread_id))["messages"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_graphs_with_subgraphs_run_under_a_lease(server: LockstitchServer, thread_id: str, durability: Any) -> None:
    with leasing(server.target) as saver:
        graph = crowd(saver)
        graph.invoke(said("go"), config(thread_id), durability=durability)
        result = graph.invoke(answers(graph, config(thread_id)), config(thread_id), durability=durability)
        assert result["log"][-1].endswith("heard")


async def test_a_run_goes_on_after_its_lease_was_given_back(server: LockstitchServer, thread_id: str) -> None:
    async with leasing(server.target) as one, leasing(server.target) as other:
        assert await one.aget_tuple(config(thread_id)) is None
        put = await one.aput(config(thread_id), checkpoint({}), metadata(), {})
        await one.arelease_thread(thread_id)
        put = await one.aput(put, checkpoint({}), metadata(1), {})
        await one.arelease_thread(thread_id)
        await other.aput(put, checkpoint({}), metadata(2), {})
        await other.arelease_thread(thread_id)
        with pytest.raises(lockstitch.ExpectedLatestMismatch):
            await one.aput(put, checkpoint({}), metadata(2), {})


async def test_two_savers_are_told_apart_whatever_their_holder(server: LockstitchServer, thread_id: str) -> None:
    async with leasing(server.target) as one, leasing(server.target) as other:
        put = await one.aput(config(thread_id), checkpoint({}), metadata(), {})
        with pytest.raises(lockstitch.LeaseHeld) as told:
            await other.aput(put, checkpoint({}), metadata(), {})
        assert told.value.holder == "worker"


async def test_a_lease_whose_answer_was_lost_is_found_again(server: LockstitchServer, thread_id: str) -> None:
    async with (
        forwarding_server(server.target, AcquireLease=1) as forwarder,
        LockstitchSaver(forwarder.target, lease=True, retry=False) as saver,
    ):
        assert await saver.aget_tuple(config(thread_id)) is None  # opens the connection
        with pytest.raises(lockstitch.Unavailable):
            await saver.aput(config(thread_id), checkpoint({}), metadata(), {})
        put = await saver.aput(config(thread_id), checkpoint({}), metadata(), {})
        await saver.aput_writes(put, [("a", 1)], "task")


async def test_a_task_that_was_cancelled_while_it_took_the_lease_is_followed_by_another(
    server: LockstitchServer, thread_id: str
) -> None:
    async with leasing(server.target) as saver:
        tasks = [asyncio.create_task(saver.aput(config(thread_id), checkpoint({}), metadata(), {})) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert tasks[1].exception() is None


def test_a_forked_process_does_not_have_the_leases_of_its_parent(server: LockstitchServer, thread_id: str) -> None:
    with leasing(server.target) as saver:
        saver.put(config(thread_id), checkpoint({}), metadata(), {})
        leases = saver._settings.leases
        assert leases is not None
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            leases._after_fork()
            os.write(writing, f"{len(leases._held)}\n".encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 10) == b"0\n"
        os.close(reading)
        os.close(writing)
        assert leases._held
