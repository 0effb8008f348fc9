"""What runs beside saves: locks of sessions that are just beginning, imports, and collections of logs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lockstitch.v1.checkpoint_service_pb2 import SaveRequest
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.format.reading import CheckpointQuery
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.planning.operations import Save, Saved
from lockstitch_server.core.planning.session_cache import SessionCache
from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.engine.batching_queue import Bounds
from lockstitch_server.engine.committer import Committer
from lockstitch_server.engine.maintenance.exporter import Exported, export
from lockstitch_server.engine.maintenance.pruner import Pruner
from lockstitch_server.engine.maintenance.restorer import Restored, restore
from lockstitch_server.engine.maintenance.sessions import Sessions, Update
from lockstitch_server.engine.maintenance.verifier import verify
from lockstitch_server.engine.reads.loader import Loader, LoadQuery
from lockstitch_server.saving.intake import save_operation
from lockstitch_server.storage.factory import create_store
from lockstitch_server.storage.postgres.executor import PostgresExecutor
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store

TENANT, SESSION = "tenant", "s"
KEY = session_key(TENANT, SESSION)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Store]:
    store = create_store(f"sqlite:///{tmp_path / 'a.db'}", migrate=True)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def postgres_store(postgres_url: str) -> AsyncIterator[Store]:
    store = create_store(postgres_url, migrate=True)
    await store.open()
    yield store
    await store.close()


def committer(store: Store) -> Committer:
    return Committer(store, SessionCache(10**7), 10**6, 100)


def save(step: int, *messages: str, expected: str = "") -> Save:
    """Messages that take a log each time they change."""
    request = SaveRequest()
    request.checkpoint.session_id = SESSION
    request.checkpoint.step = step
    request.checkpoint.state.messages.version = 1
    for message in messages:
        request.checkpoint.state.messages.items.add(role="user", content=message * 200)
    if expected:
        request.expected_latest.checkpoint_id = expected
    return save_operation(request, TENANT)


async def saved(committer: Committer, *operations: Save) -> None:
    results = await committer.commit(operations)
    assert all(isinstance(result, Saved) for result in results), results


async def check(store: Store, *steps: int) -> None:
    """Exactly these steps are there, and nothing is damaged."""
    assert [fault async for _, faults in verify(store) for fault in faults] == []
    loader = Loader(store, Bounds(100, 10**9, 100, 10**9))
    for step in range(1, 5):
        loaded = await loader.load(LoadQuery(KEY, TENANT, SESSION, "", "id", f"{step:020d}"))
        assert (getattr(loaded, "checkpoint_id", None) is not None) == (step in steps)


async def test_a_session_that_begins_between_lock_and_reading(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres locks no row that is not there: another server's saves must not be overwritten."""
    other = committer(postgres_store)
    ahead = iter([save(1, "one"), save(2, "one", "two")])
    fetch = PostgresExecutor.fetch

    async def with_saves_between(self: PostgresExecutor, name: str, values: Any) -> Any:
        rows = await fetch(self, name, values)
        if name in ("lock", "details") and (operation := next(ahead, None)) is not None:
            await saved(other, operation)
        return rows

    monkeypatch.setattr(PostgresExecutor, "fetch", with_saves_between)
    await Sessions(postgres_store, 10).update(TENANT, SESSION, Update(set_labels={"a": "1"}))
    assert next(ahead, None) is None
    await saved(committer(postgres_store), save(3, "three"))
    await check(postgres_store, 1, 2, 3)


async def test_an_import_onto_a_session_without_checkpoints(sqlite: Store) -> None:
    """A server that knows the session as empty must not go on from there."""
    here = committer(sqlite)
    await saved(here, save(1, "one"), save(2, "one", "two"))
    frames = [frame async for frame in export(sqlite, "test", Exported())]
    await Pruner(sqlite, Retention()).delete_found(CheckpointQuery(TENANT, 100, KEY, session_id=SESSION), SESSION, 0)
    (refused,) = await here.commit([save(3, "x", expected=f"{2:020d}")])
    assert isinstance(refused, Failure)
    await restore(sqlite, frames, imported := Restored())
    assert (imported.created, imported.failures) == (1, [])
    await saved(here, save(3, "three"))
    await check(sqlite, 1, 2, 3)


async def test_two_collections_at_once(sqlite: Store) -> None:
    await saved(committer(sqlite), *(save(step, str(step)) for step in (1, 2, 3)))
    pruner = Pruner(sqlite, Retention())
    queries = [CheckpointQuery(TENANT, 100, KEY, "", step, step, session_id=SESSION) for step in (1, 2)]
    await asyncio.gather(*(pruner.delete_found(query, SESSION, 0) for query in queries))
    await check(sqlite, 3)


async def test_an_import_while_a_collection_waits(sqlite: Store) -> None:
    await saved(committer(sqlite), *(save(step, str(step)) for step in (1, 2, 3)))
    frames = [frame async for frame in export(sqlite, "test", Exported())]

    async def delete(repository: SessionRepository) -> None:
        session = await repository.lock(TENANT, SESSION)
        gone = [row for row in await repository.all_checkpoints(session) if row.step < 3]
        await repository.delete_checkpoints(session, gone)
        await repository.put(session)

    async def pause() -> None:
        await restore(sqlite, frames, imported := Restored(), [SESSION], replace=True)
        assert imported.created == 1

    await sqlite.transaction(delete)
    await Pruner(sqlite, Retention()).collect(TENANT, SESSION, pause)
    await check(sqlite, 1, 2, 3)
