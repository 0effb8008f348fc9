"""A lease belongs to the call that took it, not to everybody who has the same name."""

import asyncio
import threading

import pytest

import lockstitch
from lockstitch import Checkpoint, LeaseHeld
from tests.client.either import Kind, open_client
from tests.client.forwarding import forwarding_server
from tests.support.server import LockstitchServer

QUICK = lockstitch.RetryPolicy(initial_backoff=0.01, max_backoff=0.05)


@pytest.mark.parametrize("holder", ["", "worker"])
def test_one_of_two_threads_gets_the_lease(server: LockstitchServer, session_id: str, holder: str) -> None:
    taken, done = threading.Event(), threading.Event()
    saved: list[int] = []

    def work() -> None:
        with lockstitch.Client(server.target) as client, client.session(session_id).runner(holder=holder) as runner:
            taken.set()
            assert done.wait(60)
            saved.append(runner.save(Checkpoint(session_id=session_id, step=1)).revision)

    first = threading.Thread(target=work)
    first.start()
    assert taken.wait(60)
    with lockstitch.Client(server.target) as client:
        with pytest.raises(LeaseHeld) as told, client.session(session_id).runner(holder=holder):
            pass
        assert told.value.holder == (holder or told.value.holder)
        done.set()
        first.join(60)
        assert saved
        with client.session(session_id).runner(holder=holder) as runner:  # it was given back
            assert runner.latest.checkpoint is not None


async def test_runners_of_one_client_are_told_apart(server: LockstitchServer, session_id: str) -> None:
    async with lockstitch.AsyncClient(server.target) as client:
        runner = client.session(session_id).runner()
        entered = await asyncio.gather(runner.__aenter__(), _refused(client, session_id), return_exceptions=True)
        assert [type(each).__name__ for each in entered].count("LeaseHeld") == 1


async def _refused(client: lockstitch.AsyncClient, session_id: str) -> None:
    async with client.session(session_id).runner():
        pass


async def test_a_call_whose_answer_was_lost_gets_its_lease(
    server: LockstitchServer, kind: Kind, session_id: str
) -> None:
    async with (
        forwarding_server(server.target, AcquireLease=2) as forwarder,
        open_client(kind, forwarder.target, retry=QUICK) as client,
    ):
        lease = await client.acquire_lease(session_id, "worker", ttl=60)
        assert forwarder.calls["AcquireLease"] == 3
        await client.save(Checkpoint(session_id=session_id, step=1), lease_token=lease.token)
        with pytest.raises(LeaseHeld):
            await client.acquire_lease(session_id, "worker", ttl=60)


async def test_a_lease_is_found_again_by_its_acquisition(server: LockstitchServer, kind: Kind, session_id: str) -> None:
    async with (
        forwarding_server(server.target, AcquireLease=1) as forwarder,
        open_client(kind, forwarder.target) as client,
        open_client(kind, forwarder.target, retry=False) as impatient,
    ):
        with pytest.raises(lockstitch.Unavailable):
            await impatient.acquire_lease(session_id, "worker", acquisition_id="mine")
        lease = await client.acquire_lease(session_id, "worker", acquisition_id="mine")
        assert (await client.acquire_lease(session_id, "worker", acquisition_id="mine")).token == lease.token


async def test_a_runner_that_cannot_load_gives_its_lease_back(server: LockstitchServer, session_id: str) -> None:
    async with (
        forwarding_server(server.target, LoadLatest=1) as forwarder,
        lockstitch.AsyncClient(forwarder.target, retry=False) as client,
    ):
        runner = client.session(session_id).runner()
        with pytest.raises(lockstitch.Unavailable):
            await runner.__aenter__()
        async with client.session(session_id).runner():
            pass
