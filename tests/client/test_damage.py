"""Lists go on behind what is damaged, and say so."""

import sqlite3
from contextlib import closing

import pytest

import lockstitch
from lockstitch import AsyncClient, Checkpoint
from tests.client.either import Kind, open_client
from tests.support.server import LockstitchServer


async def test_a_list_gives_all_others_first(own_server: LockstitchServer, kind: Kind) -> None:
    async with open_client(kind, own_server.target) as client:
        for step in range(4):
            await client.save(Checkpoint(session_id="session", step=step))
        with closing(sqlite3.connect(own_server.store.removeprefix("sqlite:///"))) as connection:
            connection.execute("UPDATE checkpoints SET record = x'0011' WHERE step = 2")
            connection.commit()
        found = list[int]()
        with pytest.raises(lockstitch.DataLoss):
            await _collect(client, found)
        assert found == [3, 1, 0]
        pages = [page async for page in client.list_checkpoints("session").pages()]
        (damaged,) = (each for page in pages for each in page.damaged)
        assert (damaged.session_id, damaged.namespace, damaged.checkpoint_id) == ("session", "", f"{2:020d}")
        assert isinstance(damaged.error, lockstitch.DataLoss)


async def _collect(client: AsyncClient, found: list[int]) -> None:
    async for each in client.list_checkpoints("session", page_size=2):
        found.append(each.checkpoint.step)  # noqa: PERF401 - what comes before the error counts
