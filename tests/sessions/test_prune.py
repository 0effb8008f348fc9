"""Pruning gives the space back, while loads and saves go on as if nothing were going on."""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from benchmarks.stored import stored_bytes
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.config import Settings
from lockstitch_server.core.sessions.session import Retention
from lockstitch_server.engine.maintenance.pruner import Pruner
from lockstitch_server.rpc.call_context import DEFAULT_TENANT
from lockstitch_server.runtime.startup import open_store
from tests.conformance.builders import blob, contents, page, save, state, summary
from tests.conformance.session_builders import prune
from tests.support.api import RawApi, raw_api

STEPS = 1000
LAST = 10
VALUE_BYTES = 4000


def step_of(session: str, step: int) -> Checkpoint:
    """A checkpoint with a value that is another at each step, and with a list that grows."""
    value = random.Random(f"{session} {step}").randbytes(VALUE_BYTES)
    said = state(*(f"{number}" * 20 for number in range(step % 50)), custom={"v": _channel(step, value)})
    return Checkpoint(session_id=session, step=step, checkpoint_id=f"{step:020d}", state=said)


def _channel(step: int, value: bytes) -> object:
    return {"version": f"{step}", "blob": blob(value)}


@pytest.mark.slow
async def test_space_is_given_back(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The last 10 of 1,000 steps take what they take in a store that never held more."""
    async with raw_api(settings) as api:
        for step in range(STEPS):
            await save(api, step_of("s", step))
        answer = await prune(api, "s", retention={"keep_last": LAST})
        assert answer.checkpoints == STEPS - LAST
        assert (await summary(api, "s")).checkpoint_count == LAST
        for found in (await page(api, "s")).checkpoints:
            assert found.state == step_of("s", found.step).state
    await _vacuum(settings.store)
    pruned = await stored_bytes(settings.store)
    other = await _second(settings.store, tmp_path, request)
    async with raw_api(settings.model_copy(update={"store": other})) as api:
        for step in range(STEPS - LAST, STEPS):
            await save(api, step_of("s", step))
    await _vacuum(other)
    assert pruned <= 1.5 * await stored_bytes(other)


@pytest.mark.slow
async def test_nobody_sees_a_hole(replicas: list[RawApi]) -> None:
    """Saves on one server, prunes on another, loads on both."""
    done = asyncio.Event()

    async def save_on() -> int:
        step = 0
        while not done.is_set():
            await save(replicas[0], step_of("s", step))
            step += 1
        return step

    async def load_on(api: RawApi) -> int:
        count = 0
        while not done.is_set():
            for found in (await page(api, "s", page_size=5)).checkpoints:
                assert found.state == step_of("s", found.step).state
                assert len(contents(found)) == found.step % 50
                count += 1
        return count

    saving = asyncio.create_task(save_on())
    loading = [asyncio.create_task(load_on(api)) for api in replicas]
    pruned = 0
    while pruned < 150:
        pruned += (await prune(replicas[1], "s", retention={"keep_last": 3})).checkpoints
    done.set()
    saved, loaded = await saving, await asyncio.gather(*loading)
    await prune(replicas[1], "s", retention={"keep_last": 3})
    left = await summary(replicas[0], "s")
    assert (left.checkpoint_count, left.latest_step) == (3, saved - 1)
    assert min(loaded) > 0
    assert left.stored_bytes < 10 * VALUE_BYTES


async def _second(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Another database of the same kind."""
    if url.startswith("sqlite:"):
        return f"sqlite:///{tmp_path}/other.db"
    server = request.getfixturevalue("postgres")
    return str(server.url(server.create_database()))


async def _vacuum(url: str) -> None:
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as file:
            file.execute("VACUUM")
        return
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM FULL")
    finally:
        await connection.close()


async def test_a_save_that_depends_on_what_is_about_to_go(settings: Settings) -> None:
    """A checkpoint saved between the look at a session and the deletion keeps the ancestors that it depends on."""
    async with raw_api(settings) as api, open_store(settings) as store:
        for step in range(5):
            await save(api, Checkpoint(session_id="s", step=step, checkpoint_id=f"{step}", parent_id=f"{step - 1}"))
        saved = False

        async def save_meanwhile() -> None:
            nonlocal saved
            if not saved:
                saved = True
                late = Checkpoint(session_id="s", step=9, checkpoint_id="9", parent_id="2", depends_on="1")
                await save(api, late)

        pruner = Pruner(store, Retention())
        done = await pruner.prune(DEFAULT_TENANT, "s", Retention(keep_last=1), dry_run=False, pause=save_meanwhile)
        assert saved
        assert [found.checkpoint_id for found in (await page(api, "s")).checkpoints] == ["9", "2", "1"]
        assert done.checkpoints == 3
