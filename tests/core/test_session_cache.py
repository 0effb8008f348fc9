"""The cache of sessions: it keeps within its bounds, and facts that are out of date do no harm."""

import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import Checkpoint, Message, MessagesDelta, PendingWrite, StateDelta, TypedBlob
from lockstitch.v1.checkpoint_service_pb2 import (
    ListSessionsRequest,
    LoadLatestRequest,
    LoadRequest,
    SaveRequest,
    SaveWritesRequest,
)
from lockstitch_server.config import Settings
from lockstitch_server.core.format.parts import Tail
from lockstitch_server.core.format.rows import CheckpointRow, ExpectedVersion, SessionChange, SessionRow
from lockstitch_server.core.planning.facts import SessionFacts
from lockstitch_server.core.planning.session_cache import RECORD_FACTOR, SESSION_BYTES, TAIL_BYTES, SessionCache
from tests.support.api import RawApi, raw_api

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
SIZES = st.integers(0, 3000)
PUTS = st.lists(st.tuples(KEYS, st.lists(SIZES, max_size=3), SIZES), max_size=30)


def facts(key: bytes, tails: Sequence[int], record: int) -> SessionFacts:
    """Facts with tails and a record of these sizes."""
    latest = {"": CheckpointRow(key, "", "1", "", 1, 1, bytes(record)), "other": None}
    return SessionFacts(
        SessionRow(key, "", key.decode(), 1, 1),
        False,
        latest,
        {n: Tail(0, size, 0, bytes(size)) for n, size in enumerate(tails)},
    )


@given(PUTS, st.integers(0, 50_000))
def test_the_newest_are_kept_within_bounds(puts: list[tuple[bytes, list[int], int]], most: int) -> None:
    cache, model = SessionCache(most), OrderedDict[bytes, tuple[SessionFacts, int]]()
    for key, tails, record in puts:
        put = facts(key, tails, record)
        cache.put(key, put)
        model.pop(key, None)
        model[key] = put, SESSION_BYTES + sum(TAIL_BYTES + size for size in tails) + RECORD_FACTOR * record
        while sum(size for _, size in model.values()) > most:
            model.popitem(last=False)
        assert {key: cache.get(key) for key in model} == {key: kept for key, (kept, _) in model.items()}
        assert not [key for key, _, _ in puts if key not in model and cache.get(key) is not None]


@given(PUTS)
def test_all_are_kept_where_there_is_room(puts: list[tuple[bytes, list[int], int]]) -> None:
    cache = SessionCache(10_000_000)
    latest = {key: facts(key, tails, record) for key, tails, record in puts}
    cache.update({key: facts(key, [], 0) for key in latest})
    cache.update(latest)
    assert {key: cache.get(key) for key in latest} == latest
    for key in latest:
        cache.drop(key)
        cache.drop(key)
        assert cache.get(key) is None


def test_one_that_is_too_large_is_not_kept() -> None:
    cache = SessionCache(SESSION_BYTES)
    cache.put(b"a", facts(b"a", [], 0))
    cache.put(b"a", facts(b"a", [1], 0))
    assert cache.get(b"a") is None
    cache.put(b"b", facts(b"b", [], 0))
    assert cache.get(b"b") is not None


# Two that do not know of each other


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    on_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/lockstitch.db" if on_file else request.getfixturevalue("postgres_url")
    return Settings(store=url, migrate=True)


@pytest.fixture
async def apis(settings: Settings) -> AsyncIterator[list[RawApi]]:
    async with raw_api(settings) as one, raw_api(settings) as two:
        yield [one, two]


async def test_what_another_has_changed_is_planned_again(apis: list[RawApi], monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves of one session, by turns: from the second on, each one's cache is out of date."""
    held = [_watched(api, monkeypatch) for api in apis]
    for step in range(12):
        await apis[step % 2].save(_save(step))
    assert held == [[False] * 5, [False] * 5]
    for api in apis:
        latest = (await api.load_latest(LoadLatestRequest(session_id="s"))).checkpoint
        assert [item.content for item in latest.state.messages.items] == [_content(step) for step in range(12)]


async def test_what_nobody_else_has_changed_is_taken_at_once(
    apis: list[RawApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = _watched(apis[0], monkeypatch)
    for step in range(12):
        await apis[0].save(_save(step))
    assert held == [True] * 11


async def test_pending_writes_are_known_too(apis: list[RawApi], monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread as LangGraph saves it: each checkpoint, and then what its tasks have written."""
    held = _watched(apis[0], monkeypatch)
    for step in range(4):
        await apis[0].save(_save(step))
        assert (await apis[0].save_writes(_writes(step, "a"))).stored == 1
        assert (await apis[0].save_writes(_writes(step, "a", "b"))).stored == 1
    assert held == [True] * 11


async def test_pending_writes_that_were_there_are_known_soon(
    apis: list[RawApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who has not seen the session begin has to ask, but not for ever."""
    await apis[0].save(_save(0))
    await apis[0].save_writes(_writes(0, "a"))
    await apis[0].save_writes(_writes(2, "a"))  # which is not there yet
    held = _watched(apis[1], monkeypatch)
    await apis[1].save(_save(1))  # asks for the session
    assert (await apis[1].save_writes(_writes(1, "a"))).stored == 1  # asks what there is
    assert (await apis[1].save_writes(_writes(1, "a"))).stored == 0
    await apis[1].save(_save(2))  # asks again
    assert (await apis[1].save_writes(_writes(2, "a"))).stored == 0
    assert (await apis[1].save_writes(_writes(3, "a"))).stored == 1
    await apis[1].save(_save(3))
    await apis[1].save(_save(4))
    assert held == [True] * 5


async def test_pending_writes_that_another_has_made_are_found(apis: list[RawApi]) -> None:
    for step in range(4):
        await apis[step % 2].save(_save(step))
        assert (await apis[0].save_writes(_writes(step, "a"))).stored == 1
        assert (await apis[1].save_writes(_writes(step, "a", "b"))).stored == 1
        assert (await apis[0].save_writes(_writes(step, "a", "b", "c"))).stored == 1
    for step in range(4):
        found = await apis[0].load(LoadRequest(session_id="s", checkpoint_id=f"{step:04d}"))
        assert [write.task_id for write in found.pending_writes] == ["a", "b", "c"]


async def test_what_pending_writes_take_is_known_too(apis: list[RawApi]) -> None:
    """The room of one that is replaced is given back, be it known from the save before or read."""
    for session_id, number, sizes in (("one", 0, (900,)), ("two", 0, (500, 1, 900)), ("six", 1, (1, 500, 900))):
        await apis[0].save(SaveRequest(checkpoint=Checkpoint(session_id=session_id, checkpoint_id="0000")))
        for turn, size in enumerate(sizes):
            value = TypedBlob(data=random.Random(size).randbytes(size))
            writes = [PendingWrite(task_id="task", index=index, channel="c", value=value) for index in (-1, -2)]
            request = SaveWritesRequest(session_id=session_id, checkpoint_id="0000", writes=writes)
            assert (await apis[number * turn % 2].save_writes(request)).stored == 2
    one, six, two = (await apis[0].list_sessions(ListSessionsRequest())).sessions
    assert one.stored_bytes == two.stored_bytes == six.stored_bytes > 1800


def _writes(step: int, *tasks: str) -> SaveWritesRequest:
    writes = [PendingWrite(task_id=task, channel="c", value=TypedBlob(data=task.encode())) for task in tasks]
    return SaveWritesRequest(session_id="s", checkpoint_id=f"{step:04d}", writes=writes)


def _watched(api: RawApi, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the plans that were made from the cache held, one after the other."""
    held: list[bool] = []
    commit = api.store.apply_if_unchanged

    async def watched(basis: Sequence[ExpectedVersion], changes: Sequence[SessionChange], now: int) -> bool:
        held.append(await commit(basis, changes, now))
        return held[-1]

    monkeypatch.setattr(api.store, "apply_if_unchanged", watched)
    return held


def _save(step: int) -> SaveRequest:
    """A delta on the step before."""
    checkpoint = Checkpoint(session_id="s", checkpoint_id=f"{step:04d}", step=step)
    item = Message(role="user", content=_content(step))
    if step == 0:
        checkpoint.state.messages.items.append(item)
        return SaveRequest(checkpoint=checkpoint)
    delta = StateDelta(messages=MessagesDelta(append=[item]))
    return SaveRequest(checkpoint=checkpoint, base_checkpoint_id=f"{step - 1:04d}", delta=delta)


def _content(step: int) -> str:
    return f"{step} " * 300
