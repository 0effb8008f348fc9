"""More calls than the database can take: saves go on, and what nobody waits for any more is not begun."""

import asyncio
import threading
from pathlib import Path
from typing import Any, Literal

import pytest

from lockstitch.v1.checkpoint_service_pb2 import ListCheckpointsRequest, LoadLatestRequest
from lockstitch_server.config import Settings
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage.session_repository import SessionRepository
from tests.conformance.builders import checkpoint, save
from tests.support.api import raw_api

Kind = Literal["snapshot", "transaction"]
kinds = pytest.mark.parametrize("kind", ["snapshot", "transaction"])

MANY = 20
PATIENCE = 60.0


@kinds
async def test_abandoned_work_is_not_begun_on_sqlite(tmp_path: Path, kind: Kind) -> None:
    began, go_on, begun = threading.Event(), threading.Event(), list[int]()

    async def hold(_: SessionRepository) -> None:
        began.set()
        go_on.wait(PATIENCE)

    async def note(_: SessionRepository) -> None:
        begun.append(1)

    async with open_store(Settings(store=f"sqlite:///{tmp_path}/lockstitch.db")) as store:
        run = store.snapshot if kind == "snapshot" else store.transaction
        holding = asyncio.create_task(run(hold))
        await asyncio.to_thread(began.wait, PATIENCE)
        abandoned = [asyncio.create_task(run(note)) for _ in range(MANY)]
        await asyncio.sleep(0)
        for task in abandoned:
            task.cancel()
        await asyncio.wait(abandoned)
        go_on.set()
        await holding
        await run(note)
    assert len(begun) == 1


@kinds
async def test_abandoned_work_is_not_begun_on_postgres(postgres_url: str, kind: Kind) -> None:
    go_on, begun = asyncio.Event(), list[int]()

    async def note(_: SessionRepository) -> None:
        begun.append(1)
        await go_on.wait()

    async with open_store(Settings(store=postgres_url, migrate=True, pool_size=2)) as store:
        run = store.snapshot if kind == "snapshot" else store.transaction
        calls = [asyncio.create_task(run(note)) for _ in range(MANY)]
        async with asyncio.timeout(PATIENCE):
            while len(begun) < store.readers:
                await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        go_on.set()
        await run(note)
    assert len(begun) == store.readers + 1


@kinds
async def test_other_calls_leave_a_connection_to_saves(postgres_url: str, kind: Kind) -> None:
    go_on = asyncio.Event()

    async def wait(_: SessionRepository) -> None:
        await go_on.wait()

    async with raw_api(Settings(store=postgres_url, migrate=True, pool_size=2)) as api:
        run = api.store.snapshot if kind == "snapshot" else api.store.transaction
        calls = [asyncio.create_task(run(wait)) for _ in range(MANY)]
        await asyncio.sleep(0)
        for step in (1, 2):
            await asyncio.wait_for(save(api, checkpoint("session", step)), PATIENCE)
        assert not any(call.done() for call in calls)
        go_on.set()
        await asyncio.gather(*calls)


async def test_a_load_does_not_wait_for_all_lists_on_sqlite(tmp_path: Path) -> None:
    began, go_on, ended = threading.Event(), threading.Event(), list[str]()

    async def hold(_: SessionRepository) -> None:
        began.set()
        go_on.wait(PATIENCE)

    async def note(_: SessionRepository) -> None:
        ended.append("list")

    async with raw_api(Settings(store=f"sqlite:///{tmp_path}/lockstitch.db")) as api:
        await save(api, checkpoint("session", 1))
        store: Any = api.store
        holding = asyncio.create_task(store.snapshot(hold))
        await asyncio.to_thread(began.wait, PATIENCE)
        lists = [asyncio.create_task(store.snapshot(note)) for _ in range(MANY)]
        await asyncio.sleep(0)
        waiting = store._reader._tx.qsize()
        load = asyncio.create_task(api.load_latest(LoadLatestRequest(session_id="session")))
        load.add_done_callback(lambda _: ended.append("load"))
        async with asyncio.timeout(PATIENCE):
            while store._reader._tx.qsize() == waiting:
                await asyncio.sleep(0.01)
        go_on.set()
        await asyncio.gather(holding, load, *lists)
    assert ended.index("load") < MANY / 2


async def test_health_probes_do_not_wait_for_long_filters(tmp_path: Path) -> None:
    text = f"[{'1,' * 30_000}1]"
    async with raw_api(Settings(store=f"sqlite:///{tmp_path}/lockstitch.db")) as api:
        request = ListCheckpointsRequest(metadata={"name": text})
        lists = [asyncio.create_task(api.list_checkpoints(request)) for _ in range(10 * MANY)]
        await asyncio.sleep(0)
        await asyncio.wait_for(api.store.ping(), PATIENCE)
        ended = sum(each.done() for each in lists)
        for each in lists:
            each.cancel()
        await asyncio.wait(lists)
    assert ended < len(lists) / 2
