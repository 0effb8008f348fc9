"""Rows that are not as a plan expects: nothing is written, and what is stored stays as it is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockstitch_server.core.format import checksum
from lockstitch_server.core.format.parts import Segment
from lockstitch_server.core.format.rows import ExpectedVersion, LogRef, NewRow, SessionChange, SessionRow
from lockstitch_server.core.ids import session_key
from lockstitch_server.storage.factory import create_store
from lockstitch_server.storage.session_repository import SessionRepository
from lockstitch_server.storage.store import Store

TENANT, SESSION = "tenant", "s"
KEY = session_key(TENANT, SESSION)
LOG = 1
STORED = b"acknowledged" * 10
START = 1_800_000_000_000_000


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store with a session that has one log of one row."""
    url = f"sqlite:///{tmp_path}/a.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    store = create_store(url, migrate=True)
    await store.open()
    try:
        change = SessionChange(row(START), is_new=True, segments=[new_row(0, STORED)])
        await store.transaction(lambda repository: repository.apply([change]))
        await store.apply_if_unchanged([], [], store.clock())  # it learns the database's time
        yield store
    finally:
        await store.close()


def row(revision: int) -> SessionRow:
    return SessionRow(KEY, TENANT, SESSION, revision * 1000, revision * 1000, revision, LOG, 0, len(STORED))


def new_row(start: int, data: bytes) -> NewRow:
    return NewRow(LOG, start, len(data), data, checksum.crc(data))


def grown(size: int, data: bytes) -> SessionChange:
    """A change that adds to the log's row, which must have this size."""
    change = SessionChange(row(START + 1), is_new=False, ends=[(LOG, 0, size)])
    change.tails.append((LOG, Segment(0, data, checksum.crc(STORED[:size] + data))))
    return change


def sealed(size: int, data: bytes) -> SessionChange:
    """A change that puts another row in place of the log's row, which must have this size."""
    return SessionChange(row(START + 1), is_new=False, ends=[(LOG, 0, size)], seals=[new_row(0, data)])


async def stored(store: Store) -> tuple[int, bytes]:
    """The session's revision, and the bytes of the log."""

    async def read(repository: SessionRepository) -> tuple[int, bytes]:
        rows = await repository.catalog.sessions([KEY])
        ref = LogRef(KEY, LOG, 10**6)
        segments = (await repository.catalog.segments([ref]))[ref]
        return rows[KEY].revision, b"".join(segment.data for segment in segments)

    return await store.snapshot(read)


async def applied(store: Store, change: SessionChange) -> bool:
    expected = ExpectedVersion(KEY, START, None)
    return await store.apply_if_unchanged([expected], [change], store.clock())


async def test_a_row_of_the_expected_size_grows(store: Store) -> None:
    assert await applied(store, grown(len(STORED), b"more"))
    assert await stored(store) == (START + 1, STORED + b"more")


@pytest.mark.parametrize("size", [len(STORED) - 1, len(STORED) + 1])
async def test_a_row_of_another_size_does_not_grow(store: Store, size: int) -> None:
    assert not await applied(store, grown(size, b"more"))
    with pytest.raises(Exception, match="log"):
        await store.transaction(lambda repository: repository.apply([grown(size, b"more")]))
    assert await stored(store) == (START, STORED)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_a_row_of_another_size_is_not_replaced(store: Store) -> None:
    """Postgres replaces no rows."""
    assert not await applied(store, sealed(len(STORED) - 1, bytes(len(STORED) + 1)))
    assert await stored(store) == (START, STORED)


async def test_a_new_row_does_not_take_the_place_of_another(store: Store) -> None:
    """It fails the transaction: the row that is there belongs to a save that was acknowledged."""
    change = SessionChange(row(START + 1), is_new=False, segments=[new_row(0, b"other")])
    with pytest.raises(Exception, match=r"(?i)unique"):
        await applied(store, change)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.transaction(lambda repository: repository.apply([change]))
    assert await stored(store) == (START, STORED)
