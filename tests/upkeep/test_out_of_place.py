"""Damage to the first byte of a key, on a distributed database: the row is where no statement looks for it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from google.protobuf.message import Message

from lockstitch_server.config import Settings
from lockstitch_server.engine.maintenance.repairer import repair
from lockstitch_server.engine.maintenance.verifier import OUT_OF_PLACE
from lockstitch_server.runtime.startup import open_store
from tests.support.buckets import with_buckets
from tests.support.postgres import Postgres
from tests.upkeep.stores import SESSIONS, content, faults_in, faults_of, fill, opened

KEY = f"(SELECT key FROM lockstitch.sessions WHERE session_id = '{SESSIONS[0]}')"
OTHER = "set_byte(key, 0, get_byte(key, 0) # 1)"
"""The key as damage has left it."""
REPLACED = f"""
CREATE TABLE damaged AS
    SELECT {OTHER} AS key, step, revision, tenant_hash, crc, namespace, checkpoint_id, parent_id,
           '\\x00'::bytea AS record, terms, bucket
    FROM lockstitch.checkpoints WHERE key = {KEY} AND step = 3;
INSERT INTO lockstitch.checkpoints (key, step, revision, tenant_hash, crc, namespace, checkpoint_id, parent_id, record,
                                    terms, bucket)
SELECT * FROM damaged
"""
"""A checkpoint that was damaged, and has been saved again since."""


class Damaged(NamedTuple):
    """A store. execute: runs SQL on it. before: what callers saw before it was damaged."""

    url: str
    execute: Callable[[str], str]
    before: list[Message]


@pytest.fixture
async def store(postgres: Postgres, database: str) -> Damaged:
    url = await with_buckets(postgres.url(database))
    async with opened(url) as api:
        await fill(api)
        before = await content(api)
    return Damaged(url, lambda sql: postgres.execute(sql, database), before)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


async def repaired(store: Damaged) -> list[str]:
    """Repair all that is found, which must be out of place or follow from that."""
    async with open_store(Settings(store=store.url)) as opened_store:
        faults = await faults_in(opened_store)
        assert OUT_OF_PLACE in {fault.kind for fault in faults}, faults
        assert all(fault.what and fault.mend for fault in faults)
        return [sentence async for sentence in repair(opened_store, faults)]


async def assert_as_before(store: Damaged) -> None:
    assert await faults_of(store.url) == []
    async with opened(store.url) as api:
        assert await content(api) == store.before


async def test_rows_are_put_back_or_deleted_if_they_were_replaced(store: Damaged) -> None:
    """All rows of a session in a table, each in turn. Without the session's own row, its other rows are no strays."""
    for table in ("sessions", "checkpoints", "segments", "writes"):
        store.execute(f"UPDATE lockstitch.{table} SET key = {OTHER} WHERE key = {KEY}")
        assert await repaired(store)
        await assert_as_before(store)
    store.execute(REPLACED)
    told = await repaired(store)
    assert any("later rows have replaced them: 1" in sentence for sentence in told), told
    await assert_as_before(store)


async def test_rows_of_a_session_that_is_gone_become_strays(store: Damaged) -> None:
    """A second repair deletes them."""
    store.execute(
        f"UPDATE lockstitch.segments SET key = {OTHER} WHERE key = {KEY};"
        f"DELETE FROM lockstitch.checkpoints WHERE key = {KEY}; DELETE FROM lockstitch.writes WHERE key = {KEY};"
        f"DELETE FROM lockstitch.sessions WHERE session_id = '{SESSIONS[0]}'"
    )
    await repaired(store)
    assert [fault.kind for fault in await faults_of(store.url)] == ["stray"]
    async with open_store(Settings(store=store.url)) as opened_store:
        assert [sentence async for sentence in repair(opened_store, await faults_in(opened_store))]
    assert await faults_of(store.url) == []


async def test_rows_are_put_back_whose_key_is_damaged_in_another_byte(store: Damaged) -> None:
    """They are in the bucket of their session, under a key that no session has."""
    for table in ("checkpoints", "segments", "writes"):
        store.execute(f"UPDATE lockstitch.{table} SET key = set_byte(key, 5, get_byte(key, 5) # 1) WHERE key = {KEY}")
        async with open_store(Settings(store=store.url)) as opened_store:
            told = [sentence async for sentence in repair(opened_store, await faults_in(opened_store))]
        assert any("are put back" in sentence for sentence in told), told
        assert [fault for fault in await faults_of(store.url) if not fault.harmless] == []
