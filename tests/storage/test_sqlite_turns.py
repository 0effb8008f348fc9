"""On SQLite, a save waits for one other transaction at most, however many there are."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest

from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.sqlite import SqliteStore

SECONDS = 60


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    store = SqliteStore(":memory:")
    await store.open()
    yield store
    await store.close()


async def test_a_save_passes_the_transactions_that_wait(store: SqliteStore) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), list[str]()

    async def work(repository: SessionRepository, name: str) -> None:
        begun.set()
        assert go_on.wait(SECONDS)
        done.append(name)

    steps = [asyncio.create_task(store.transaction(partial(work, name=f"step {number}"))) for number in range(5)]
    assert await asyncio.to_thread(begun.wait, SECONDS)
    save = asyncio.create_task(store.transaction(partial(work, name="save"), by_key=True))
    await asyncio.sleep(0)  # it waits for the thread
    go_on.set()
    await asyncio.gather(save, *steps)
    assert done[:2] == ["step 0", "save"]
    assert len(done) == 6
