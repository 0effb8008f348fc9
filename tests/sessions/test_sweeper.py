"""Sweeps: policies are kept to, sessions that are over leave nothing, and one server at a time does it."""

import asyncio
from typing import Any

import pytest

from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.engine.maintenance import sessions as engine_sessions
from lockstitch_server.engine.maintenance.pruner import Pruner
from lockstitch_server.engine.maintenance.sessions import Sessions
from lockstitch_server.engine.maintenance.sweeper import Sweeper, SweepSettings
from lockstitch_server.storage.session_scan import sessions_after
from tests.conformance.builders import checkpoint, ids, save, summary
from tests.conformance.session_builders import SECOND, acquire, delete, get, lapsed, refused_as, update
from tests.support.api import RawApi

ALL = Retention()


def sweeper(api: RawApi, retention: Retention = ALL, batch: int = 2, **fields: Any) -> Sweeper:
    pruner, sessions = Pruner(api.store, retention), Sessions(api.store, 64)
    return Sweeper(api.store, sessions, pruner, SweepSettings(3600, batch, 0), **fields)


async def rows(api: RawApi) -> int:
    """How many sessions the database has a row of."""
    return len(await api.store.snapshot(lambda repository: sessions_after(repository, b"", 1000)))


async def test_policies_are_kept_to(replicas: list[RawApi]) -> None:
    api = replicas[0]
    for name in ("a", "b", "c", "d", "e"):
        for step in range(1, 6):
            await save(api, checkpoint(name, step))
    await update(api, "b", retention={"keep_last": 1})
    await update(api, "c", retention={})
    sweeping = sweeper(api, Retention(keep_last=3))
    assert await sweeping.sweep()
    assert [len(await ids(api, name)) for name in ("a", "b", "c", "d", "e")] == [3, 1, 5, 3, 3]
    assert (sweeping.stats.sweeps, sweeping.stats.checkpoints, sweeping.stats.sessions) == (1, 10, 5)
    assert sweeping.stats.bytes > 0
    assert await sweeping.sweep()
    assert (sweeping.stats.sweeps, sweeping.stats.checkpoints) == (2, 10)


async def test_what_has_expired_goes(replicas: list[RawApi], monkeypatch: pytest.MonkeyPatch) -> None:
    api = replicas[0]
    for step in range(5):
        await save(api, checkpoint("expired", step), ttl=SECOND)
    await save(api, checkpoint("stays"))
    await asyncio.sleep(1.1)
    sweeping = sweeper(api)
    assert await sweeping.sweep()
    assert (sweeping.stats.cleared, sweeping.stats.forgotten) == (1, 0)
    assert not await api.store.snapshot(lambda repository: _has_content(repository, "expired"))
    monkeypatch.setattr(engine_sessions, "GRACE_NS", 0)
    assert await sweeping.sweep()
    assert (sweeping.stats.cleared, sweeping.stats.forgotten) == (1, 1)
    assert await rows(api) == 1
    assert (await summary(api, "stays")).checkpoint_count == 1


async def _has_content(repository: Any, session: str) -> bool:
    return bool(await repository.has_content(await repository.get("default", session)))


async def test_tombstones_stay_for_their_time(replicas: list[RawApi], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_sessions, "GRACE_NS", 0)
    api = replicas[0]
    await save(api, checkpoint("short"))
    await save(api, checkpoint("long"))
    await delete(api, "short", tombstone={"nanos": 1000})
    await delete(api, "long")
    sweeping = sweeper(api)
    assert await sweeping.sweep()
    assert await rows(api) == 1
    assert await refused_as(save(api, checkpoint("long")), "SESSION_DELETED")


async def test_what_never_was_more_than_a_lease_goes(replicas: list[RawApi], monkeypatch: pytest.MonkeyPatch) -> None:
    api = replicas[0]
    token = await acquire(api, "lapsed", ttl=SECOND)
    await acquire(api, "held")
    await lapsed(api, "lapsed")
    sweeping = sweeper(api)
    assert await sweeping.sweep()
    assert await rows(api) == 2
    monkeypatch.setattr(engine_sessions, "BLANK_NS", 0)
    assert await sweeping.sweep()
    assert await rows(api) == 1
    assert (await get(api, "held")).lease.holder == "me"
    assert await acquire(api, "lapsed") > token


async def test_one_at_a_time(replicas: list[RawApi]) -> None:
    one, two = (sweeper(api) for api in replicas)
    for number in range(5):
        await save(replicas[0], checkpoint(f"{number}"))
    assert await one.sweep()
    assert not await two.sweep()
    assert await one.sweep()
    await one.resign()
    assert await two.sweep()
    assert not await one.sweep()


async def test_makes_way_while_saves_wait(replicas: list[RawApi]) -> None:
    busy = True
    sweeping = sweeper(replicas[0], Retention(keep_last=1), is_busy=lambda: busy)
    for number in range(3):
        for step in range(3):
            await save(replicas[0], checkpoint(f"{number}", step))
    task = asyncio.create_task(sweeping.sweep())
    await asyncio.sleep(0.5)
    assert sweeping.stats.checkpoints == 0
    busy = False
    assert await asyncio.wait_for(task, 30)
    assert sweeping.stats.checkpoints == 6
