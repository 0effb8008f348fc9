"""A batch on a distributed database is worked on bucket by bucket."""

import asyncio
from collections.abc import Sequence

import pytest

from lockstitch_server.config import Settings
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.engine.by_bucket import run_by_bucket
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


class Work:
    """Takes items, which are keys. The bucket BROKEN is away."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.running = self.most = 0

    async def run(self, items: Sequence[bytes]) -> Sequence[bytes | Failure]:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.batches.append(list(items))
        self.running -= 1
        if items[0][0] == BROKEN:
            raise Failure(Reason.STORE_UNAVAILABLE, "away")
        return items


async def test_buckets_fail_alone_and_keep_their_order() -> None:
    work, items = Work(), [bytes([number % 5, number]) for number in range(50)]
    results = await run_by_bucket(work.run, items, lambda key: key, asyncio.Semaphore(3))
    for item, result in zip(items, results, strict=True):
        assert isinstance(result, Failure) if item[0] == BROKEN else result == item
    assert sorted(work.batches) == [[item for item in items if item[0] == bucket] for bucket in range(5)]
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
