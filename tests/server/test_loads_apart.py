"""A load on Postgres asks twice at most, and what changes between its questions is never mixed into an answer."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from lockstitch.v1.checkpoint_pb2 import Checkpoint, PendingWrite, TypedBlob
from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, LoadLatestResponse, SaveRequest, SaveWritesRequest
from lockstitch.v1.session_service_pb2 import DeleteSessionsRequest, PruneSessionsRequest, RetentionPolicy
from lockstitch_server.config import Settings
from lockstitch_server.core.format.parts import Segment
from lockstitch_server.core.format.rows import LogRef
from lockstitch_server.storage.postgres.catalog import PostgresCatalog
from lockstitch_server.storage.postgres.statements import SMALL_WRITES
from lockstitch_server.storage.postgres.store import PostgresStore
from tests.support.api import Api, raw_api

Between = Callable[[], Awaitable[Any]]
SESSION = "agent"
SIZE = 2500


@pytest.fixture
async def api(postgres_url: str) -> AsyncIterator[Api]:
    async with raw_api(Settings(store=postgres_url, migrate=True)) as api:
        yield api


def save_of(word: str, step: int = 1, messages: int = 1) -> SaveRequest:
    """A state that does not fit into the row of its checkpoint, however well it is packed."""
    checkpoint = Checkpoint(session_id=SESSION, step=step)
    for number in range(messages):
        content = random.Random(f"{word} {number}").randbytes(SIZE).hex()
        checkpoint.state.messages.items.add(role="user", content=content)
    return SaveRequest(checkpoint=checkpoint)


def writes_of(size: int, task_id: str = "t", step: int = 1) -> SaveWritesRequest:
    write = PendingWrite(
        task_id=task_id, channel="c", value=TypedBlob(type="bytes", data=random.Random(size).randbytes(size))
    )
    return SaveWritesRequest(session_id=SESSION, checkpoint_id=f"{step:020}", writes=[write])


async def load(api: Api) -> LoadLatestResponse:
    return await api.load_latest(LoadLatestRequest(session_id=SESSION))


def happens(monkeypatch: pytest.MonkeyPatch, between: Between) -> list[bool]:
    """Have something happen, once, before a load asks for logs. Gives whether it has."""
    done: list[bool] = []
    ask = PostgresCatalog.segments_as_of

    async def later(
        catalog: PostgresCatalog, logs: Sequence[LogRef], revisions: Mapping[bytes, int]
    ) -> Mapping[LogRef, Sequence[Segment]]:
        if not done:
            done.append(True)
            await between()
        return await ask(catalog, logs, revisions)

    monkeypatch.setattr(PostgresCatalog, "segments_as_of", later)
    return done


def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each transaction that is read in."""
    taken: list[bool] = []
    read = PostgresStore.snapshot

    async def counted(store: PostgresStore, unit: Any) -> Any:
        taken.append(True)
        return await read(store, unit)

    monkeypatch.setattr(PostgresStore, "snapshot", counted)
    return taken


async def delete(api: Api) -> None:
    await api.unary("DeleteSessions", DeleteSessionsRequest(session_ids=[SESSION], tombstone=Duration()))


async def begin_anew(api: Api) -> None:
    await delete(api)
    await api.save(save_of("new"))


CHANGES: dict[str, Callable[[Api], Awaitable[Any]]] = {
    "another checkpoint": lambda api: api.save(save_of("old", 2, messages=2)),
    "other content": lambda api: api.save(save_of("new")),
    "another session of the same name": begin_anew,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_changes_in_between_is_loaded_as_a_whole(
    api: Api, monkeypatch: pytest.MonkeyPatch, change: Callable[[Api], Awaitable[Any]]
) -> None:
    await api.save(save_of("old"))
    done = happens(monkeypatch, lambda: change(api))
    found = await load(api)
    assert done
    assert found == await load(api)


async def test_what_is_deleted_in_between_is_not_there(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.save(save_of("old"))
    done = happens(monkeypatch, lambda: delete(api))
    assert not (await load(api)).HasField("checkpoint")
    assert done


async def test_what_is_pruned_in_between_is_not_missed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.save(save_of("old"))

    async def prune() -> None:
        await api.save(save_of("new", 2))
        retention = RetentionPolicy(keep_last=1)
        await api.unary("PruneSessions", PruneSessionsRequest(session_ids=[SESSION], retention=retention))

    done = happens(monkeypatch, prune)
    assert (await load(api)).checkpoint.step == 2
    assert done


async def test_without_a_change_it_takes_no_transaction(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.save_writes(writes_of(2 * SMALL_WRITES, step=0))
    await api.save(save_of("old"))
    await api.save_writes(writes_of(SMALL_WRITES // 4, "b"))
    await api.save_writes(writes_of(SMALL_WRITES // 4, "a"))
    taken = snapshots(monkeypatch)
    found = await load(api)
    assert [write.task_id for write in found.pending_writes] == ["a", "b"]
    assert found.checkpoint.state == save_of("old").checkpoint.state
    assert not taken


async def test_many_pending_writes_are_all_there(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.save(save_of("old"))
    await api.save_writes(writes_of(SMALL_WRITES))
    taken = snapshots(monkeypatch)
    found = await load(api)
    assert [len(write.value.data) for write in found.pending_writes] == [SMALL_WRITES]
    assert taken
