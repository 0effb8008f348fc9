"""Merging of rows: what is loaded stays the same, saves notice nothing, and damage stays where it is."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import asyncpg
import pytest

from benchmarks.growing import GrowingSession
from lockstitch.v1.checkpoint_service_pb2 import LoadRequest
from lockstitch_server.config import Settings
from lockstitch_server.config.store import Merge
from lockstitch_server.core.ids import session_key
from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.engine.damage import DamageLog
from lockstitch_server.engine.maintenance.merger import Merger, MergeSettings, merging
from lockstitch_server.engine.maintenance.pruner import Pruner
from lockstitch_server.engine.maintenance.sessions import Sessions
from lockstitch_server.engine.maintenance.sweeper import Sweeper, SweepSettings
from lockstitch_server.engine.maintenance.verifier import verify
from lockstitch_server.storage.merging import long_logs, rows_of_log
from lockstitch_server.storage.session_repository import SessionRepository
from tests.conformance.builders import exactly, latest
from tests.support.api import ApiError, RawApi, raw_api

TENANT = "default"
SESSION = "session"
STEPS = 160
ROW_BYTES = 32 * 1024
PATIENCE = 30.0
"""Seconds in which the background gets to what is expected of it."""


def merger_of(api: RawApi, damage: DamageLog | None = None) -> Merger:
    return Merger(api.store, MergeSettings(0, ROW_BYTES, 9), damage=damage)


async def grown(api: RawApi, steps: int = STEPS, session: str = SESSION) -> GrowingSession:
    """A session that was saved by deltas."""
    growing = GrowingSession(session)
    await grow_by(api, growing, steps)
    return growing


async def grow_by(api: RawApi, growing: GrowingSession, steps: int) -> None:
    for _ in range(steps):
        growing.advance()
        await api.save(growing.delta_save())


async def every_step(api: RawApi, steps: int = STEPS) -> list[bytes]:
    answers = [await api.load(LoadRequest(session_id=SESSION, step=step)) for step in range(steps)]
    return [exactly(answer.checkpoint) for answer in answers]


async def row_sizes(api: RawApi, session: str = SESSION) -> list[int]:
    """The sizes of the rows of all logs."""
    key = session_key(TENANT, session)

    async def unit(repository: SessionRepository) -> list[int]:
        logs = await long_logs(repository, key)
        return [row.size for log in logs for row in await rows_of_log(repository, (key, log), 0, 10**6)]

    return await api.store.snapshot(unit)


async def revision(api: RawApi) -> int:
    session = await api.store.snapshot(lambda repository: repository.get(TENANT, SESSION))
    return session.row.revision


async def faults(api: RawApi) -> list[str]:
    """What `lockstitch check` finds, but for logs that nothing names any more."""
    found = [fault async for _, some in verify(api.store) for fault in some]
    return [fault.what for fault in found if not fault.harmless]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_every_step_loads_the_same_before_and_after(replicas: list[RawApi]) -> None:
    one, other = replicas
    await grown(one)
    before, rows = await every_step(other), await row_sizes(one)
    merger = merger_of(other)
    await merger.merge_session(TENANT, SESSION)
    after = await row_sizes(one)
    assert sum(after) == sum(rows)
    assert max(rows[:-1]) < ROW_BYTES * 0.7 < max(after) <= ROW_BYTES
    assert merger.stats.rows > len(rows) / 2
    assert await every_step(one) == before
    assert await every_step(other) == before
    expected = GrowingSession(SESSION)
    for found in before:
        expected.advance()
        assert found == exactly(expected.checkpoint)
    assert await faults(one) == []


async def test_a_session_goes_on_as_its_server_knows_it(replicas: list[RawApi]) -> None:
    """A merge by another server leaves all as it is that the next save builds on."""
    one, other = replicas
    growing, merger = GrowingSession(SESSION), merger_of(other)
    for _ in range(10):
        await grow_by(one, growing, STEPS // 10)
        before = await revision(one)
        await merger.merge_session(TENANT, SESSION)
        assert await revision(one) == before
    loaded = await one.load(LoadRequest(session_id=SESSION, step=STEPS - 1))
    assert loaded.checkpoint == growing.checkpoint
    assert merger.stats.rows
    assert await faults(one) == []


async def test_servers_merge_what_they_save_beside_their_saves(settings: Settings) -> None:
    often = settings.model_copy(update={"merge": Merge(interval_seconds=0.001, row_bytes=ROW_BYTES)})
    async with raw_api(often) as one, raw_api(often) as other, merging(one.merger), merging(other.merger):
        assert one.merger is not None
        assert other.merger is not None
        sessions = [GrowingSession(f"session-{number}") for number in range(3)]
        for _ in range(20):
            # Who saves changes, so that what the other one knows of a session is out of date.
            for api in (one, other):
                await asyncio.gather(*(grow_by(api, session, 5) for session in sessions))
        stats = one.merger.stats, other.merger.stats
        await until(lambda: any(each.rows for each in stats))
        for session in sessions:
            name = session.checkpoint.session_id
            assert (await latest(other, name)) == session.checkpoint
            assert max(await row_sizes(one, name)) > ROW_BYTES * 0.7
        assert [each.failures for each in stats] == [0, 0]
        assert await faults(one) == []


def sweeper_of(api: RawApi, merger: Merger) -> Sweeper:
    sessions, pruner = Sessions(api.store, 64), Pruner(api.store, Retention())
    return Sweeper(api.store, sessions, pruner, SweepSettings(3600, 2, 0), merger=merger)


async def test_a_sweep_merges_what_was_left(replicas: list[RawApi]) -> None:
    """After a crash, for example, and in stores of older servers."""
    one, other = replicas
    for number in range(3):
        await grown(one, 100, f"session-{number}")
    await grown(one, 3, "short")
    merger = merger_of(other)
    assert await sweeper_of(other, merger).sweep()
    for number in range(3):
        assert max(await row_sizes(one, f"session-{number}")) > ROW_BYTES * 0.7
    merged = merger.stats.rows
    assert merged
    await sweeper_of(other, merger).sweep()
    assert merger.stats.rows == merged
    assert await faults(one) == []


async def test_merges_wait_while_saves_wait(replicas: list[RawApi]) -> None:
    busy = True
    api = replicas[0]
    merger = Merger(api.store, MergeSettings(0.001, ROW_BYTES, 1), lambda: busy)
    async with merging(merger):
        changes = []
        apply = api.store.apply_if_unchanged

        async def noted(expected: Any, planned: Any, now: int) -> bool:
            changes.extend(planned)
            return await apply(expected, planned, now)

        api.store.apply_if_unchanged = noted  # type: ignore[method-assign,assignment]
        await grown(api, 100)
        merger.note(changes)
        await asyncio.sleep(0.5)
        assert merger.stats.rows == 0
        busy = False
        await until(lambda: merger.stats.rows > 0)


async def test_damaged_rows_stay_as_they_are(replicas: list[RawApi], settings: Settings) -> None:
    """So that what else is in their log can still be loaded, and `check` names the row."""
    one, other = replicas
    await grown(one)
    before = await every_step(one)
    sizes = await row_sizes(one)
    start = sum(sizes[: len(sizes) // 2])
    await damage_row(settings.store, start)
    found, damage = await faults(one), DamageLog()
    assert found == [f"log 1: the row at {start} is damaged"]
    merger = merger_of(other, damage)
    await merger.merge_session(TENANT, SESSION)
    assert merger.stats.rows
    assert damage.sessions == 1
    assert await faults(one) == found
    readable = [step for step in range(STEPS) if len(before[step]) < start]
    for step in readable:
        loaded = await one.load(LoadRequest(session_id=SESSION, step=step))
        assert exactly(loaded.checkpoint) == before[step]
    with pytest.raises(ApiError) as lost:
        await one.load(LoadRequest(session_id=SESSION, step=STEPS - 1))
    assert lost.value.reason == "DATA_LOSS"


async def test_damage_of_a_merged_row_is_found(replicas: list[RawApi], settings: Settings) -> None:
    one, other = replicas
    await grown(one)
    await merger_of(other).merge_session(TENANT, SESSION)
    before, sizes = await every_step(one), await row_sizes(one)
    number = next(number for number, size in enumerate(sizes) if number and size > ROW_BYTES * 0.7)
    start = sum(sizes[:number])
    await damage_row(settings.store, start)
    assert await faults(one) == [f"log 1: the row at {start} is damaged"]
    for step in range(STEPS):
        if len(before[step]) < start:
            loaded = await one.load(LoadRequest(session_id=SESSION, step=step))
            assert exactly(loaded.checkpoint) == before[step]
    with pytest.raises(ApiError) as lost:
        await one.load(LoadRequest(session_id=SESSION, step=STEPS - 1))
    assert lost.value.reason == "DATA_LOSS"


async def damage_row(url: str, start: int) -> None:
    """Change one byte in the middle of a row of log 1."""
    where = f"log = 1 AND start = {start}"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            ((data,),) = connection.execute(f"SELECT data FROM segments WHERE {where}").fetchall()
            connection.execute(f"UPDATE segments SET data = ? WHERE {where}", (flipped(data),))
            connection.commit()
        return
    database = await asyncpg.connect(url)
    data = await database.fetchval(f"SELECT data FROM lockstitch.segments WHERE {where}")
    await database.execute(f"UPDATE lockstitch.segments SET data = $1 WHERE {where}", flipped(data))
    await database.close()


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
