"""Sessions that are over and leave much: saves begin them again, while servers clear them, and after a crash."""

import asyncio
from typing import Any

import pytest

from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    LoadLatestRequest,
    LoadLatestResponse,
    SaveStreamRequest,
)
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.core.planning.operations import Operation
from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.engine import clearing, held_saves
from lockstitch_server.engine.committer import MOST_HELD_BYTES
from lockstitch_server.engine.maintenance.pruner import Pruner
from lockstitch_server.engine.maintenance.sessions import Sessions
from lockstitch_server.engine.maintenance.sweeper import Sweeper, SweepSettings
from lockstitch_server.storage import Store, session_repository
from tests.conformance.builders import checkpoint, contents, latest, refused, save, save_request, state, steps, summary
from tests.conformance.session_builders import PATIENCE, SECOND, acquire
from tests.robustness.crowd import until
from tests.support.api import RawApi
from tests.support.streams import batch, flat, save_all
from tests.upkeep.stores import faults_in

ROWS = 5
"""That one transaction deletes."""
STEPS = 20
LONG = "x" * 500
"""So long that it has a row of its own."""
TENANT, DEAD = "default", "dead"


@pytest.fixture
async def apis(replicas: list[RawApi], monkeypatch: pytest.MonkeyPatch) -> list[RawApi]:
    """Two servers on one store, which has a large session that has expired."""
    monkeypatch.setattr(session_repository, "STEP_ROWS", ROWS)
    for step in range(STEPS):
        await save(replicas[0], checkpoint(DEAD, step, state=state(f"{LONG} {step}")), ttl=SECOND)
    await asyncio.sleep(1.05)
    return replicas


async def clear_one_step(store: Store) -> None:
    """What a server has done that died after its first step."""
    steps_done = 0

    class Crashes:
        async def transaction(self, unit: Any) -> Any:
            nonlocal steps_done
            if steps_done:
                raise Failure(Reason.STORE_UNAVAILABLE, "crashed")
            steps_done += 1
            return await store.transaction(unit)

    crashing: Any = Crashes()
    with pytest.raises(Failure, match="crashed"):
        await clearing.clear(crashing, TENANT, DEAD)


async def rows_of(store: Store) -> int:
    async def unit(repository: session_repository.SessionRepository) -> int:
        session = await repository.get(TENANT, DEAD)
        return len(await repository.names(session)) + len(await repository.logs(session))

    return await store.snapshot(unit)


async def test_what_is_half_cleared_cannot_be_read_and_begins_again(apis: list[RawApi]) -> None:
    await clear_one_step(apis[0].store)
    assert 0 < await rows_of(apis[0].store) < 2 * STEPS
    for api in apis:
        assert await api.load_latest(LoadLatestRequest(session_id=DEAD)) == LoadLatestResponse()
    assert (await save(apis[1], checkpoint(DEAD, 7, state=state(LONG)))).outcome == SAVE_OUTCOME_CREATED
    assert await steps(apis[0], DEAD) == [7]
    assert await rows_of(apis[0].store) == 2
    assert await faults_in(apis[0].store) == []


async def test_two_servers_begin_it_while_it_is_swept(apis: list[RawApi]) -> None:
    store = apis[0].store
    sessions, pruner = Sessions(store, 64), Pruner(store, Retention())
    sweeper = Sweeper(store, sessions, pruner, SweepSettings(3600, 10, 0))
    saves = [save(apis[step % 2], checkpoint(DEAD, step, state=state(f"new {step}"))) for step in range(10)]
    saved, _ = await asyncio.gather(asyncio.gather(*saves), sweeper.sweep())
    assert {answer.outcome for answer in saved} == {SAVE_OUTCOME_CREATED}
    assert await steps(apis[0], DEAD) == [*range(9, -1, -1)]
    assert contents(await latest(apis[1], DEAD)) == ["new 9"]
    assert await faults_in(store) == []


class Gate:
    """Lets sessions be cleared when a test wants it. Counts the saves that are held."""

    def __init__(self) -> None:
        self.held = 0
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.failure: Failure | None = None

    async def clear(self, store: Store, tenant: str, session_id: str) -> bool:
        self.reached.set()
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        return await clearing.clear(store, tenant, session_id)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    hold = held_saves.HeldSaves.hold

    def counted(self: held_saves.HeldSaves, operation: Operation) -> held_saves.Held | Failure:
        gate.held += 1
        return hold(self, operation)

    monkeypatch.setattr(held_saves, "clear", gate.clear)
    monkeypatch.setattr(held_saves.HeldSaves, "hold", counted)
    return gate


async def test_no_other_save_waits_for_it(apis: list[RawApi], gate: Gate) -> None:
    api = apis[0]
    async with asyncio.timeout(PATIENCE):
        begun = asyncio.create_task(save(api, checkpoint(DEAD, 1)))
        await gate.reached.wait()
        later = asyncio.create_task(save(api, checkpoint(DEAD, 2), expected_latest={"step": 1}))
        message = batch(
            SaveStreamRequest(save=save_request(checkpoint=checkpoint(name, 3))) for name in (DEAD, "other")
        )
        mixed = asyncio.create_task(save_all(api, [message]))
        await until(lambda: gate.held == 3)
        assert (await save(api, checkpoint("another"))).outcome == SAVE_OUTCOME_CREATED
        assert await steps(api, "other") == [3]
        assert not begun.done()
        assert await steps(api, DEAD) == []
        gate.open.set()
        assert [(await one).outcome for one in (begun, later)] == [SAVE_OUTCOME_CREATED] * 2
        assert [answer.saved.outcome for answer in flat((await mixed)[0])] == [SAVE_OUTCOME_CREATED] * 2
    assert await steps(api, DEAD) == [3, 2, 1]


async def test_what_cannot_be_cleared_fails_the_saves_that_wait(apis: list[RawApi], gate: Gate) -> None:
    gate.failure = Failure(Reason.STORE_UNAVAILABLE, "away")
    gate.open.set()
    assert (await refused(save(apis[0], checkpoint(DEAD, 1)))).reason == "STORE_UNAVAILABLE"
    gate.failure = None
    assert (await save(apis[0], checkpoint(DEAD, 1))).outcome == SAVE_OUTCOME_CREATED


async def test_what_waits_is_bounded(apis: list[RawApi], gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    api = apis[0]
    monkeypatch.setattr(held_saves, "OVERHEAD", MOST_HELD_BYTES // 2)
    async with asyncio.timeout(PATIENCE):
        begun = asyncio.create_task(save(api, checkpoint(DEAD, 1)))
        await gate.reached.wait()
        assert (await refused(save(api, checkpoint(DEAD, 2)))).reason == "OVERLOADED"
        gate.open.set()
        await begun
    assert (await save(api, checkpoint(DEAD, 2))).outcome == SAVE_OUTCOME_CREATED


async def test_a_lease_of_another_is_kept_to(apis: list[RawApi]) -> None:
    token = await acquire(apis[0], DEAD)
    assert (await refused(save(apis[1], checkpoint(DEAD, 1)))).reason == "LEASE_LOST"
    assert await rows_of(apis[0].store) == 2 * STEPS
    assert (await save(apis[1], checkpoint(DEAD, 1), lease_token=token)).outcome == SAVE_OUTCOME_CREATED
    assert (await refused(save(apis[1], checkpoint(DEAD, 2)))).reason == "LEASE_LOST"
    assert (await summary(apis[0], DEAD)).checkpoint_count == 1
