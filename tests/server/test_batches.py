"""A batch on a distributed database is processed bucket by bucket."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from lockstitch_server.config import Settings
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.engine.batches import run_batch
from lockstitch_server.runtime.startup import open_store
from lockstitch_server.storage.postgres.distributed_executor import DistributedExecutor
from lockstitch_server.storage.session_repository import SessionRepository
from tests.support.buckets import with_buckets

BROKEN = 1
NODE_IS_AWAY = """
DO $$ BEGIN
    RAISE 'connection to the remote node postgres@db-2:5432 failed' USING ERRCODE = 'connection_failure';
END $$
"""


class Item(NamedTuple):
    """Something of a session."""

    key: bytes


class Work:
    """Takes items. The bucket BROKEN is away."""

    def __init__(self) -> None:
        self.batches: list[list[Item]] = []
        self.running = self.most = 0

    async def run(self, items: Sequence[Item]) -> Sequence[Item | Failure]:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.batches.append(list(items))
        self.running -= 1
        if items[0].key[0] == BROKEN:
            raise Failure(Reason.STORE_UNAVAILABLE, "away")
        return items


async def test_buckets_fail_alone_and_keep_their_order() -> None:
    work, items = Work(), [Item(bytes([number % 5, number])) for number in range(50)]
    results = await run_batch(work.run, items, asyncio.Semaphore(3))
    for item, result in zip(items, results, strict=True):
        assert isinstance(result, Failure) if item.key[0] == BROKEN else result == item
    assert sorted(work.batches) == [[item for item in items if item.key[0] == bucket] for bucket in range(5)]
    assert work.most == 3


async def test_nothing_waits_for_a_node_that_is_away(postgres_url: str) -> None:
    """Sessions of other nodes would wait with it."""
    await with_buckets(postgres_url)
    backends = []

    async def unit(repository: SessionRepository) -> None:
        assert isinstance(repository.executor, DistributedExecutor)
        connection = repository.executor._connection
        backends.append(await connection.fetchval("SELECT pg_backend_pid()"))
        if len(backends) <= 2:
            await connection.execute(NODE_IS_AWAY)

    async with open_store(Settings(store=postgres_url)) as store:
        for use in (store.transaction, store.snapshot):
            with pytest.raises(Failure) as raised:
                await use(unit)
            assert raised.value.reason is Reason.STORE_UNAVAILABLE
        await store.transaction(unit)
    assert len(backends) == 3
    assert len(set(backends)) == 1, "the connection to the coordinator was given up"
