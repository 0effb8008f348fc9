"""Whole sessions, from either client."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest

import lockstitch
from lockstitch import AsyncClient, Checkpoint, Retention, message
from tests.client.either import Kind, open_client
from tests.support.server import LockstitchServer

PATIENCE = 60.0


async def save(client: AsyncClient, session_id: str, *steps: int, **fields: Any) -> None:
    for step in steps:
        checkpoint = Checkpoint(session_id=session_id, checkpoint_id=f"{step:03d}", step=step, **fields)
        checkpoint.state.messages.items.extend(message("user", f"message {number}") for number in range(step))
        await client.save(checkpoint)


async def ids(client: AsyncClient, session_id: str) -> list[str]:
    return [found.checkpoint.checkpoint_id async for found in client.list_checkpoints(session_id)]


async def test_settings_of_a_session(client: AsyncClient, session_id: str) -> None:
    with pytest.raises(lockstitch.SessionNotFound):
        await client.get_session(session_id)
    await save(client, session_id, 1)
    policy = Retention(keep_last=3, max_age=timedelta(days=7))
    updated = await client.update_session(session_id, set_labels={"a": "b", "c": "d"}, ttl=60, retention=policy)
    assert dict(updated.summary.labels) == {"a": "b", "c": "d"}
    assert (updated.ttl, updated.retention, updated.lease) == (timedelta(seconds=60), policy, None)
    assert await client.get_session(session_id) == updated
    cleared = await client.update_session(session_id, remove_labels=["a"], clear_ttl=True, clear_retention=True)
    assert (dict(cleared.summary.labels), cleared.ttl, cleared.retention) == ({"c": "d"}, None, None)


async def test_deletion(client: AsyncClient, session_id: str) -> None:
    await save(client, session_id, 1, 2)
    assert await client.delete_sessions([session_id, "of nobody"]) == 1
    with pytest.raises(lockstitch.SessionDeleted):
        await save(client, session_id, 3)


async def test_rewind_and_going_on(client: AsyncClient, session_id: str) -> None:
    await save(client, session_id, 1, 2, 3)
    rewound = await client.rewind(session_id, "001")
    assert rewound.deleted == 2
    await save(client, session_id, 2)
    assert await ids(client, session_id) == ["002", "001"]
    with pytest.raises(lockstitch.NotFound):
        await client.rewind(session_id, "003")


async def test_deletion_by_metadata(client: AsyncClient, session_id: str) -> None:
    await save(client, session_id, 1, 2, metadata={"run": '"a"'})
    await save(client, session_id, 3, metadata={"run": '"b"'})
    assert (await client.delete_checkpoints(session_id, {"run": '"a"'})).deleted == 2
    assert await ids(client, session_id) == ["003"]


async def test_copy(client: AsyncClient, session_id: str) -> None:
    await save(client, session_id, 1, 2, 3)
    target = f"{session_id} copy"
    copied = await client.copy_session(session_id, target, checkpoint_id="002", labels={"fork": "1"}, ttl=60)
    assert copied.checkpoint_count == 2
    assert await client.copy_session(session_id, target, checkpoint_id="002", labels={"fork": "1"}, ttl=60) == copied
    assert await ids(client, target) == ["002", "001"]
    with pytest.raises(lockstitch.AlreadyExists):
        await client.copy_session(session_id, target)


async def test_pruning_goes_through_all_pages(client: AsyncClient, session_id: str) -> None:
    for number in range(5):
        await save(client, f"{session_id}{number}", 1, 2, 3)
    policy = Retention(keep_last=2)
    told = await client.prune_sessions(retention=policy, dry_run=True, page_size=2)
    assert told.checkpoints >= 5
    names = [f"{session_id}{number}" for number in range(5)]
    done = await client.prune_sessions(names, retention=policy)
    assert (done.checkpoints, done.sessions) == (5, 5)
    assert done.bytes > 0


async def test_watch_goes_on_when_the_server_has_gone(
    own_server: LockstitchServer, kind: Kind, session_id: str
) -> None:
    async with open_client(kind, own_server.target) as client:
        seen: list[int] = []

        async def follow() -> None:
            async for event in client.watch_session(session_id, heartbeats=True, heartbeat=1, timeout=PATIENCE):
                if event.HasField("saved"):
                    seen.append(event.saved.step)
                began.set()
                if len(seen) == 20:
                    return

        began = asyncio.Event()
        following = asyncio.create_task(follow())
        await asyncio.wait_for(began.wait(), PATIENCE)
        await save(client, session_id, *range(1, 11))
        own_server.kill()
        own_server.start()
        await save(client, session_id, *range(11, 21))
        await asyncio.wait_for(following, PATIENCE)
    assert seen == list(range(1, 21))


async def test_watch_from_where_it_ended(client: AsyncClient, session_id: str) -> None:
    await save(client, session_id, 1)
    watch = client.watch_session(session_id, heartbeats=True)
    token = (await anext(aiter(watch))).resume_token
    await save(client, session_id, 2, 3)
    events = aiter(client.watch_session(session_id, token))
    assert [(await anext(events)).saved.step for _ in range(2)] == [2, 3]
    await client.rewind(session_id, "001")
    with pytest.raises(lockstitch.ResumeTooOld):
        await anext(aiter(client.watch_session(session_id, token)))


async def test_leases(client: AsyncClient, session_id: str) -> None:
    lease = await client.acquire_lease(session_id, "one", ttl=60)
    assert (lease.holder, lease.ttl) == ("one", timedelta(seconds=60))
    with pytest.raises(lockstitch.LeaseHeld) as caught:
        await client.acquire_lease(session_id, "two")
    assert caught.value.holder == "one"
    with pytest.raises(lockstitch.LeaseLost):
        await save(client, session_id, 1)
    await client.save(Checkpoint(session_id=session_id), lease_token=lease.token)
    assert (await client.renew_lease(session_id, lease.token, ttl=90)).ttl == timedelta(seconds=90)
    details = await client.get_session(session_id)
    assert details.lease is not None
    assert (details.lease.holder, details.lease.token) == ("one", 0)
    assert await client.release_lease(session_id, lease.token)
    with suppress(lockstitch.Aborted):
        assert not await client.release_lease(session_id, lease.token)
    await save(client, session_id, 1)


async def test_break_lease(client: AsyncClient, session_id: str) -> None:
    lease = await client.acquire_lease(session_id, "hangs", ttl=60)
    assert await client.break_lease(session_id, acquired_at=lease.acquired_at)
    assert not await client.break_lease(session_id)
    with pytest.raises(lockstitch.LeaseLost):
        await client.renew_lease(session_id, lease.token)


# Runners


async def test_a_runner_saves_under_its_lease(server: LockstitchServer, session_id: str) -> None:
    async with AsyncClient(server.target) as client, AsyncClient(server.target) as other:
        await save(client, session_id, 1)
        async with client.session(session_id).runner(holder="me") as runner:
            assert runner.latest.checkpoint is not None
            assert runner.latest.checkpoint.step == 1
            with pytest.raises(lockstitch.LeaseLost):
                await save(other, session_id, 2)
            with pytest.raises(lockstitch.LeaseHeld):
                await other.acquire_lease(session_id, "other")
            await runner.save(Checkpoint(session_id=session_id, checkpoint_id="002", step=2))
            await runner.save_writes("002", [lockstitch.PendingWrite(task_id="t", channel="c")])
        await save(other, session_id, 3)


@pytest.mark.slow
async def test_a_runner_outlives_its_first_lease(server: LockstitchServer, session_id: str) -> None:
    async with AsyncClient(server.target) as client, client.session(session_id).runner(ttl=5) as runner:
        for step in range(14):
            await asyncio.sleep(0.5)
            await runner.save(Checkpoint(session_id=session_id, step=step))


async def test_a_runner_waits_for_its_turn(server: LockstitchServer, session_id: str) -> None:
    async with AsyncClient(server.target) as client:
        lease = await client.acquire_lease(session_id, "another", ttl=60)
        waiting = asyncio.create_task(_run_once(client, session_id))
        await asyncio.sleep(0.3)
        await client.release_lease(session_id, lease.token)
        await asyncio.wait_for(waiting, PATIENCE)


async def _run_once(client: AsyncClient, session_id: str) -> None:
    async with client.session(session_id).runner(holder="me", wait=PATIENCE) as runner:
        await runner.save(Checkpoint(session_id=session_id, step=1))


async def test_a_runner_that_loses_its_lease_is_stopped(server: LockstitchServer, session_id: str) -> None:
    """Its lease is given back for it, and another takes the session."""
    async with AsyncClient(server.target) as client:

        async def work() -> None:
            async with client.session(session_id).runner(holder="me", ttl=3) as runner:
                await client.release_lease(session_id, runner.lease_token)
                await client.acquire_lease(session_id, "me", ttl=60)
                await asyncio.sleep(PATIENCE)

        with pytest.raises(lockstitch.LeaseLost):
            await work()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_a_runner_that_cannot_renew_is_stopped(own_server: LockstitchServer, session_id: str) -> None:
    """The server hangs: nobody says that the lease is lost, and it is."""
    async with AsyncClient(own_server.target) as client:
        runner = client.session(session_id).runner(ttl=5)

        async def work() -> None:
            async with runner:
                await runner.save(Checkpoint(session_id=session_id))
                own_server.freeze()
                await asyncio.sleep(PATIENCE)

        with pytest.raises(lockstitch.LeaseLost):
            await work()
        with pytest.raises(lockstitch.LeaseLost):
            runner.check()
        own_server.thaw()


async def test_a_runner_that_fails_gives_its_lease_back(server: LockstitchServer, session_id: str) -> None:
    async with AsyncClient(server.target) as client:
        with pytest.raises(ValueError, match="mine"):
            async with client.session(session_id).runner():
                raise ValueError("mine")
        await save(client, session_id, 1)


def test_a_blocking_runner(own_server: LockstitchServer, session_id: str) -> None:
    with lockstitch.Client(own_server.target) as client:
        with client.session(session_id).runner(holder="me", ttl=20) as runner:
            assert runner.latest.checkpoint is None
            for step in range(5):
                runner.save(Checkpoint(session_id=session_id, step=step))
            with pytest.raises(lockstitch.LeaseHeld):
                client.acquire_lease(session_id, "me")
            client.release_lease(session_id, runner.lease_token)
            client.acquire_lease(session_id, "me")
            with pytest.raises(lockstitch.LeaseLost):
                runner.save(Checkpoint(session_id=session_id, step=9))
            with pytest.raises(lockstitch.LeaseLost):
                runner.check()
        latest = client.load_latest(session_id).checkpoint
        assert latest is not None
        assert latest.step == 4


def test_the_clients_have_the_same_calls() -> None:
    names = {name for name in dir(lockstitch.AsyncClient) if not name.startswith("_")}
    assert names == {name for name in dir(cast("Any", lockstitch.Client)) if not name.startswith("_")}
