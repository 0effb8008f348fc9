"""Rows that are not found under their keys: a load says so, and never gives a shorter answer."""

import random
from collections.abc import AsyncIterator, Awaitable

import grpc
import pytest

from lockstitch.v1.checkpoint_pb2 import PendingWrite, TypedBlob
from lockstitch.v1.checkpoint_service_pb2 import (
    ListSessionsRequest,
    LoadLatestRequest,
    LoadLatestStreamRequest,
    LoadRequest,
    SaveRequest,
    SaveWritesRequest,
)
from lockstitch.v1.session_service_pb2 import (
    CopySessionRequest,
    DeleteCheckpointsRequest,
    PruneSessionsRequest,
    RetentionPolicy,
)
from lockstitch_server.config import Settings
from lockstitch_server.core.format.content import MOST
from lockstitch_server.core.ids import session_key
from lockstitch_server.engine.maintenance.repairer import repair
from lockstitch_server.engine.maintenance.verifier import verify
from lockstitch_server.storage.session_repository import SessionRepository
from tests.robustness.workload import checkpoint_id, delta_save, full_save, pending_writes, writes_save
from tests.support.api import ApiError, RawApi, raw_api
from tests.support.sql_execution import Execute, executor_of

STEPS = 4
LAST = STEPS - 1
OTHER_KEY = f"key = {{bytes}}{'00' * 16}'"
OF_SESSION = f"key = {{bytes}}{session_key('default', 'damaged').hex()}'"
OF_LATEST = f"WHERE {OF_SESSION} AND namespace = '' AND checkpoint_id = '{checkpoint_id(LAST)}'"


@pytest.fixture
async def api(store_url: str) -> AsyncIterator[RawApi]:
    async with raw_api(Settings(store=store_url, migrate=True)) as opened:
        yield opened


@pytest.fixture
async def execute(store_url: str, api: RawApi) -> Execute:
    """Runs SQL behind the server's back, on sessions "damaged" and "sound"."""
    for name in ("damaged", "sound"):
        for step in range(STEPS):
            request = (delta_save if step % 2 else full_save)(name, step)
            request.writes.extend(pending_writes(f"task-{step}", 2))
            await api.save(request)
        await api.save_writes(writes_save(name, LAST, pending_writes("later", 1)))
        within = full_save(name, 1)
        within.checkpoint.namespace = "sub"
        await api.save(within)

    return executor_of(store_url)


async def is_data_loss(call: Awaitable[object]) -> str:
    with pytest.raises(ApiError) as caught:
        await call
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.DATA_LOSS, "DATA_LOSS")
    assert caught.value.metadata["session_id"] == "damaged"
    assert "'damaged'" in caught.value.message
    return str(caught.value.message)


def latest(session: str, namespace: str = "") -> LoadLatestRequest:
    return LoadLatestRequest(session_id=session, namespace=namespace)


async def streamed(api: RawApi, session: str) -> int:
    """The code that LoadLatestStream gives for a session."""
    (answer,) = [each async for each in api.load_latest_stream(LoadLatestStreamRequest(requests=[latest(session)]))]
    return int(answer.error.code)


CHECKPOINT_LOST = {
    "id": f"UPDATE {{schema}}checkpoints SET checkpoint_id = '!' {OF_LATEST}",
    "namespace": f"UPDATE {{schema}}checkpoints SET namespace = 'other' {OF_LATEST}",
    "key": f"UPDATE {{schema}}checkpoints SET {OTHER_KEY} {OF_LATEST}",
    "row": f"DELETE FROM {{schema}}checkpoints {OF_LATEST}",
}
WRITE_LOST = {
    "id": f"UPDATE {{schema}}writes SET checkpoint_id = '!' {OF_LATEST} AND task_id = 'later'",
    "namespace": f"UPDATE {{schema}}writes SET namespace = 'other' {OF_LATEST} AND task_id = 'later'",
    "key": f"UPDATE {{schema}}writes SET {OTHER_KEY} {OF_LATEST} AND task_id = 'later'",
    "row": f"DELETE FROM {{schema}}writes {OF_LATEST} AND task_id = 'later'",
    "all rows": f"DELETE FROM {{schema}}writes {OF_LATEST}",
}


@pytest.mark.parametrize("kind", CHECKPOINT_LOST)
async def test_the_latest_checkpoint_is_missing(api: RawApi, execute: Execute, kind: str) -> None:
    await execute(CHECKPOINT_LOST[kind])
    message = await is_data_loss(api.load_latest(latest("damaged")))
    assert "latest checkpoint" in message
    assert await streamed(api, "damaged") == grpc.StatusCode.DATA_LOSS.value[0]
    await is_data_loss(api.load(LoadRequest(session_id="damaged", step=LAST)))
    await is_data_loss(api.load(LoadRequest(session_id="damaged", checkpoint_id=checkpoint_id(LAST))))
    await the_rest_is_there(api)


@pytest.mark.parametrize("kind", WRITE_LOST)
async def test_a_pending_write_of_the_latest_checkpoint_is_missing(api: RawApi, execute: Execute, kind: str) -> None:
    await execute(WRITE_LOST[kind])
    message = await is_data_loss(api.load_latest(latest("damaged")))
    assert "pending writes" in message
    assert await streamed(api, "damaged") == grpc.StatusCode.DATA_LOSS.value[0]
    await is_data_loss(api.load(LoadRequest(session_id="damaged", step=LAST)))
    await the_rest_is_there(api)


async def the_rest_is_there(api: RawApi) -> None:
    """Others load; saving goes on, and the damage stays where it is; the check names it, a repair accepts it."""
    assert (await api.load_latest(latest("damaged", "sub"))).checkpoint.step == 1
    assert (await api.load_latest(latest("sound"))).checkpoint.step == LAST
    assert len((await api.load_latest(latest("sound"))).pending_writes) == 3
    for step in range(LAST):
        loaded = await api.load(LoadRequest(session_id="damaged", step=step))
        assert (loaded.checkpoint.step, len(loaded.pending_writes)) == (step, 2)
    faults = [fault async for _, found in verify(api.store) for fault in found]
    assert {"latest_lost", "writes_lost"} & {fault.kind for fault in faults}
    done = [sentence async for sentence in repair(api.store, faults)]
    assert any("is counted again" in sentence for sentence in done)
    await api.load_latest(latest("damaged", "sub"))
    await api.save(full_save("damaged", 9))
    assert (await api.load_latest(latest("damaged"))).checkpoint.step == 9


async def test_a_later_checkpoint_can_be_saved(api: RawApi, execute: Execute) -> None:
    await execute(CHECKPOINT_LOST["row"])
    await is_data_loss(api.load_latest(latest("damaged")))
    await api.save(full_save("damaged", STEPS))
    assert (await api.load_latest(latest("damaged"))).checkpoint.step == STEPS


LIST_DAMAGES = {
    "no checkpoints": f"UPDATE {{schema}}sessions SET checkpoint_count = 0 WHERE {OF_SESSION}",
    "fewer than none": f"UPDATE {{schema}}sessions SET checkpoint_count = -5 WHERE {OF_SESSION}",
    "deleted": f"UPDATE {{schema}}sessions SET expire_at = 0 WHERE {OF_SESSION}",
    "expired": f"UPDATE {{schema}}sessions SET expire_at = updated_at - 1 WHERE {OF_SESSION}",
    "expired too early": f"UPDATE {{schema}}sessions SET ttl = 60000000000, expire_at = updated_at WHERE {OF_SESSION}",
}


@pytest.mark.parametrize("kind", LIST_DAMAGES)
async def test_a_list_shows_a_session_that_damage_would_hide(api: RawApi, execute: Execute, kind: str) -> None:
    await execute(LIST_DAMAGES[kind])
    for page_size in (1, 10):
        found, token = list[str](), ""
        while True:
            page = await api.list_sessions(ListSessionsRequest(page_size=page_size, page_token=token))
            found += [
                each.session_id
                for each in page.sessions
                if not each.HasField("error") or each.error.code == grpc.StatusCode.DATA_LOSS.value[0]
            ]
            token = page.next_page_token
            if not token:
                break
        assert sorted(found) == ["damaged", "sound"]


async def test_a_list_leaves_out_what_has_no_checkpoints_any_more(api: RawApi, execute: Execute) -> None:
    """Also before the logs of such sessions are collected, when a page takes several looks at the store."""
    emptied = [f"emptied-{number}" for number in range(5)]
    for name in emptied:
        await api.save(full_save(name, 0))

    async def empty(repository: SessionRepository) -> None:
        for name in emptied:
            session = await repository.lock("default", name)
            await repository.delete_checkpoints(session, await repository.all_checkpoints(session))
            await repository.put(session)

    await api.store.transaction(empty)
    page = await api.list_sessions(ListSessionsRequest(page_size=1))
    rest = await api.list_sessions(ListSessionsRequest(page_size=1, page_token=page.next_page_token))
    assert sorted(each.session_id for each in [*page.sessions, *rest.sessions]) == ["damaged", "sound"]
    assert not rest.next_page_token


ROUNDS = 120
NAMESPACES = ["", *[f"sub-{number}" for number in range(MOST + 2)]]


async def test_what_is_noted_is_what_is_there(api: RawApi, rng: random.Random) -> None:
    """After saves, replacements, forks, pending writes before and after, deletions, copies."""
    steps = dict.fromkeys(NAMESPACES, 0)
    for number in range(ROUNDS):
        namespace = rng.choice(NAMESPACES[: rng.choice([2, len(NAMESPACES)])])
        await one_change(api, rng, namespace, steps)
        if number % 40 == 39:
            faults = [fault async for _, found in verify(api.store) for fault in found if not fault.harmless]
            assert faults == []
            await loads_everything(api)


async def loads_everything(api: RawApi) -> None:
    for namespace in NAMESPACES:
        await api.load_latest(latest("session", namespace))
        await api.load_latest(latest("copy", namespace))


async def one_change(api: RawApi, rng: random.Random, namespace: str, steps: dict[str, int]) -> None:
    kind = rng.choice(["save"] * 6 + ["again", "writes", "writes", "early writes", "rewind", "prune", "delete", "copy"])
    step = steps[namespace]
    if kind == "save":
        steps[namespace] = step = step + 1
    elif kind == "again":
        step = rng.randint(0, step)
    if kind in ("save", "again"):
        await api.save(some_save(rng, namespace, step))
    elif kind in ("writes", "early writes"):
        named = checkpoint_id(step + (kind == "early writes") - (rng.random() < 0.2))
        request = SaveWritesRequest(session_id="session", namespace=namespace, checkpoint_id=named)
        request.writes.extend(some_writes(rng))
        await api.save_writes(request)
    elif kind == "prune":
        retention = RetentionPolicy(keep_last=3)
        await api.unary("PruneSessions", PruneSessionsRequest(session_ids=["session"], retention=retention))
    elif kind == "copy":
        await copied(api)
    else:
        await deleted(api, rng, namespace, kind)
        steps[namespace] = max(step - 1, 0)


async def copied(api: RawApi) -> None:
    request = CopySessionRequest(source_session_id="session", target_session_id="copy")
    try:
        await api.unary("CopySession", request)
    except ApiError as error:
        assert error.reason in ("SESSION_ALREADY_EXISTS", "SESSION_NOT_FOUND")  # noqa: PT017 - either is right


async def deleted(api: RawApi, rng: random.Random, namespace: str, kind: str) -> None:
    request = DeleteCheckpointsRequest(session_id="session")
    if kind == "delete":
        request.metadata.entries["color"] = rng.choice(['"red"', '"blue"', '"green"'])
    else:
        found = await api.load_latest(latest("session", namespace))
        if not found.checkpoint.parent_id:
            return
        request.after.namespace, request.after.checkpoint_id = namespace, found.checkpoint.parent_id
    try:
        await api.unary("DeleteCheckpoints", request)
    except ApiError as error:
        assert error.reason == "CHECKPOINT_NOT_FOUND"  # noqa: PT017 - the parent may be deleted already


def some_save(rng: random.Random, namespace: str, step: int) -> SaveRequest:
    request = full_save("session", step, variant=rng.randrange(3))
    request.checkpoint.namespace = namespace
    request.checkpoint.parent_id = checkpoint_id(step - 1) if step else ""
    request.checkpoint.metadata["color"] = rng.choice(['"red"', '"blue"', '"green"', '"white"'])
    if rng.random() < 0.4:
        request.writes.extend(some_writes(rng))
    return request


def some_writes(rng: random.Random) -> list[PendingWrite]:
    return [
        PendingWrite(
            task_id=rng.choice("abc"),
            index=rng.choice([-2, -1, 0, 1, 2]),
            channel="c",
            value=TypedBlob(data=rng.randbytes(rng.choice([3, 3000]))),
        )
        for _ in range(rng.randint(1, 5))
    ]
