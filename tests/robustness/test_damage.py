"""A byte of the store changes by itself: whoever loads what it belongs to is told, and the rest goes on."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import asyncpg
import grpc
import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint, CustomChannel, Message, TypedBlob, VersionedState
from lockstitch.v1.checkpoint_service_pb2 import (
    ListCheckpointsRequest,
    LoadLatestRequest,
    LoadLatestResponse,
    LoadLatestStreamRequest,
    LoadRequest,
    SaveRequest,
    WalkAncestorsRequest,
)
from lockstitch_server.config import Settings
from lockstitch_server.core.format.compression import unpack_row
from tests.robustness.ledger import fingerprint
from tests.robustness.workload import MakeSave, checkpoint, delta_save, full_save, pending_writes
from tests.support.api import Api, ApiError, raw_api
from tests.support.postgres import Postgres

SESSION = "session"
STEPS = 6


class Place(NamedTuple):
    """Where a byte changes: the first of these in the one row of a table that holds them, if there is no condition."""

    table: str
    column: str
    there: bytes = b""
    where: str = ""


RECORD_OF_3 = Place("checkpoints", "record", where="step = 3")
EXTRA_OF_5 = Place("segments", "data", checkpoint(SESSION, 5).state.extra.entries["notes"].encode())
"""An extra entry that changes with step 5."""
MESSAGE_3 = Place("segments", "data", checkpoint(SESSION, 3).state.messages.items[3].content.encode())
"""The message that step 3 adds, and all later ones have."""
WRITE_OF_3 = Place("writes", "data", pending_writes("task-3", 1)[0].value.data)

Flip = Callable[[Place], Awaitable[None]]


@pytest.fixture
async def api(store_url: str) -> AsyncIterator[Api]:
    async with raw_api(Settings(store=store_url, migrate=True)) as opened:
        yield opened


@pytest.fixture
def flip(store_url: str, api: Api) -> Flip:
    """Changes a byte behind the server's back."""

    async def on_sqlite(place: Place) -> None:
        with closing(sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            _flip_on_sqlite(connection, place)

    async def on_postgres(place: Place) -> None:
        connection = await asyncpg.connect(store_url)
        try:
            await _flip_on_postgres(connection, place)
        finally:
            await connection.close()

    return on_postgres if store_url.startswith("postgresql:") else on_sqlite


@pytest.mark.parametrize(
    ("place", "lost"), [(RECORD_OF_3, {3}), (EXTRA_OF_5, {5}), (MESSAGE_3, {3, 4, 5}), (WRITE_OF_3, {3})]
)
async def test_only_what_has_the_byte_is_lost(api: Api, flip: Flip, place: Place, lost: set[int]) -> None:
    await _save_all(api, full_save)
    await flip(place)
    assert await _lost(api, range(STEPS)) == lost
    await _assert_told_everywhere(api, latest_is_lost=STEPS - 1 in lost)


@pytest.mark.parametrize(("place", "lost"), [(EXTRA_OF_5, {5}), (MESSAGE_3, {3, 4, 5})])
async def test_what_came_by_deltas_is_checked_too(api: Api, flip: Flip, place: Place, lost: set[int]) -> None:
    """Earlier checkpoints may be lost with it: what was appended without looking is checked by rows."""
    await _save_all(api, delta_save)
    await flip(place)
    assert lost <= await _lost(api, range(STEPS))


async def test_columns_are_checked_too(api: Api, store_url: str) -> None:
    await _save_all(api, full_save)
    change = "checkpoints SET parent_id = '' WHERE step = 3"
    if store_url.startswith("postgresql:"):
        connection = await asyncpg.connect(store_url)
        await connection.execute(f"UPDATE lockstitch.{change}")
        await connection.close()
    else:
        with closing(sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)) as file:
            file.execute(f"UPDATE {change}")
    assert await _lost(api, range(STEPS)) == {3}


@pytest.mark.parametrize("place", [RECORD_OF_3, EXTRA_OF_5, WRITE_OF_3])
async def test_saving_goes_on(api: Api, flip: Flip, place: Place) -> None:
    """A full save that brings other bytes in place of the damaged ones is whole."""
    await _save_all(api, full_save)
    await flip(place)
    for step in (10, 11):
        await api.save(full_save(SESSION, step))
    assert await _lost(api, (10, 11)) == set()


async def test_another_history_is_whole(api: Api, flip: Flip) -> None:
    await _save_all(api, full_save)
    await flip(MESSAGE_3)
    forked = full_save(SESSION, STEPS)
    forked.checkpoint.state.messages.items[3].CopyFrom(Message(role="user", content="something else"))
    await api.save(forked)
    loaded = await api.load_latest(LoadLatestRequest(session_id=SESSION))
    assert fingerprint(loaded.checkpoint) == fingerprint(forked.checkpoint)


@pytest.mark.parametrize(("place", "step"), [(RECORD_OF_3, 4), (MESSAGE_3, 5)])
async def test_a_delta_on_what_is_damaged_is_refused_so_that_clients_send_all(
    api: Api, flip: Flip, place: Place, step: int
) -> None:
    await _save_all(api, full_save)
    await flip(place)
    with pytest.raises(ApiError) as caught:
        await api.save(delta_save(SESSION, step, variant=1))
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UNKNOWN_BASE")


async def test_a_damaged_record_can_be_replaced(api: Api, flip: Flip) -> None:
    await _save_all(api, full_save)
    await flip(RECORD_OF_3)
    await api.save(full_save(SESSION, 3))
    assert await _lost(api, range(STEPS)) == set()


@pytest.mark.parametrize("make", [full_save, delta_save])
async def test_what_keeps_damaged_bytes_is_never_wrong(api: Api, flip: Flip, make: MakeSave) -> None:
    """Saves look at digests, not at stored bytes: those that build on damaged ones are told on loading."""
    await _save_all(api, make)
    await flip(MESSAGE_3)
    await api.save(make(SESSION, STEPS, 0))
    assert await _lost(api, [STEPS]) == {STEPS}


async def test_a_page_that_cannot_be_read_on_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "lockstitch.db"
    await _check_damaged_page(f"sqlite:///{path}", lambda: _damage_page(path, 4096))


async def test_a_page_that_cannot_be_read_on_postgres(own_postgres: Postgres) -> None:
    def damage() -> None:
        file = own_postgres.execute("SELECT pg_relation_filepath('lockstitch.segments')")
        own_postgres.stop()
        _damage_page(own_postgres.data / file, 8192)
        own_postgres.start()

    await _check_damaged_page(own_postgres.url(), damage)


async def _check_damaged_page(url: str, damage: Callable[[], None]) -> None:
    """One session is lost; another goes on, although both are asked for together."""
    settings = Settings(store=url, migrate=True)
    async with raw_api(settings) as api:
        await api.save(_large("damaged"))
        await api.save(_large("sound"))
    await asyncio.to_thread(damage)
    async with raw_api(settings) as api:
        loads = [api.load_latest(LoadLatestRequest(session_id=name)) for name in ("damaged", "sound")]
        failed, loaded = await asyncio.gather(*loads, return_exceptions=True)
        assert isinstance(failed, ApiError)
        _assert_data_loss(failed)
        assert isinstance(loaded, LoadLatestResponse)
        assert loaded.checkpoint.state == _large("sound").checkpoint.state
        await api.save(full_save("sound", 1))


def _noise(session: str) -> bytes:
    """Many pages of bytes that cannot be packed."""
    return random.Random(session).randbytes(100_000)


def _large(session: str) -> SaveRequest:
    """A session that fills many pages."""
    channel = CustomChannel(blob=TypedBlob(data=_noise(session)))
    return SaveRequest(checkpoint=Checkpoint(session_id=session, state=VersionedState(custom={"large": channel})))


def _damage_page(file: Path, size: int) -> None:
    """Overwrite the beginning of a page of the damaged session."""
    page = file.read_bytes().index(_noise("damaged")[50_000:50_016]) // size
    with file.open("r+b") as opened:
        opened.seek(page * size)
        opened.write(b"\xff" * 16)


async def _save_all(api: Api, make: MakeSave) -> None:
    for step in range(STEPS):
        request: SaveRequest = make(SESSION, step, 0) if step else full_save(SESSION, 0)
        request.writes.extend(pending_writes(f"task-{step}", 1))
        await api.save(request)


async def _lost(api: Api, steps: "range | list[int] | tuple[int, ...]") -> set[int]:
    """The steps of which a load says DATA_LOSS. All others load exactly."""
    lost = set()
    for step in steps:
        try:
            loaded = await api.load(LoadRequest(session_id=SESSION, step=step))
        except ApiError as error:
            _assert_data_loss(error)
            lost.add(step)
        else:
            assert fingerprint(loaded.checkpoint) == fingerprint(checkpoint(SESSION, step))
    return lost


async def _assert_told_everywhere(api: Api, *, latest_is_lost: bool) -> None:
    """Lists and walks that come upon the damage say so; what does not come upon it works."""
    with pytest.raises(ApiError) as caught:
        await api.list_checkpoints(ListCheckpointsRequest(session_id=SESSION, include_writes=True))
    _assert_data_loss(caught.value)
    request = LoadLatestStreamRequest(requests=[LoadLatestRequest(session_id=SESSION)])
    (answer,) = [answer async for answer in api.load_latest_stream(request)]
    assert answer.error.code == (grpc.StatusCode.DATA_LOSS.value[0] if latest_is_lost else 0)
    if not latest_is_lost:
        walk = WalkAncestorsRequest(session_id=SESSION, include_writes=True)
        with pytest.raises(ApiError) as caught:
            [ancestor async for ancestor in api.walk_ancestors(walk)]
        _assert_data_loss(caught.value)


def _assert_data_loss(error: ApiError) -> None:
    assert (error.code, error.reason) == (grpc.StatusCode.DATA_LOSS, "DATA_LOSS")


def _flip_on_sqlite(connection: sqlite3.Connection, place: Place) -> None:
    table, column, there, where = place
    size = "size" if table == "segments" else "0"
    rows = connection.execute(f"SELECT rowid, {column}, {size} FROM {table} WHERE {where or 'true'}").fetchall()
    ((row, data),) = [(row, data) for row, data, size in rows if there in _unpacked(data, size)]
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (_flipped(data, there), row))


async def _flip_on_postgres(connection: "asyncpg.Connection[asyncpg.Record]", place: Place) -> None:
    table, column, there, where = place
    size = "size" if table == "segments" else "0"
    rows = await connection.fetch(
        f"SELECT ctid, {column} AS data, {size} AS size FROM lockstitch.{table} WHERE {where or 'true'}"
    )
    ((row, data),) = [(row["ctid"], row["data"]) for row in rows if there in _unpacked(row["data"], row["size"])]
    changed = _flipped(data, there)
    await connection.execute(f"UPDATE lockstitch.{table} SET {column} = $1 WHERE ctid = $2", changed, row)


def _unpacked(data: bytes, size: int) -> bytes:
    return unpack_row(data, size) if size else data


def _flipped(data: bytes, there: bytes) -> bytes:
    """The data with a bit changed: at the beginning of what is there, or in the middle of it all."""
    at = data.find(there) if there and there in data else len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
