"""What older servers stored is read, checked, exported, replaced and added to as ever."""

import asyncio
import base64
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from lockstitch.v1.checkpoint_pb2 import PendingWrite, TypedBlob
from lockstitch.v1.checkpoint_service_pb2 import LoadRequest, SaveOutcome, SaveRequest
from lockstitch_server.core.archive import frames
from lockstitch_server.engine.restorer import Restored, restore
from lockstitch_server.startup import StartupError
from lockstitch_server.storage.keeper import Keeper
from lockstitch_server.storage.migrations import APPLICATION_ID, VERSION_TABLE, upgrade
from tests.robustness.workload import delta_save, full_save, writes_save
from tests.support.api import RawApi
from tests.support.postgres import Postgres
from tests.upkeep.stores import content, exported, faults_in, opened

HERE = Path(__file__).parent / "old_rows"
ARCHIVE = (HERE / "same.archive").read_bytes()
STEP_OF_WRITES = 3
OLD_VERSION = "0002"
"""Of the schema that the rows are of; the step after it changes their checksums."""

Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/lockstitch.db"


@asynccontextmanager
async def old_store(url: str) -> AsyncIterator[RawApi]:
    """A store with the old rows in it."""
    await asyncio.to_thread(_create_old, url)
    tables: Tables = json.loads((HERE / "rows.json").read_text(), object_hook=_bytes)
    _fill(Path(url.removeprefix("sqlite:///")), tables)
    async with opened(url) as api:
        yield api


def _create_old(url: str) -> None:
    with create_engine(url).begin() as connection:
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        upgrade(connection, OLD_VERSION)


def _bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"]) if "base64" in value else value


def _fill(path: Path, tables: Tables) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for table, rows in tables.items():
            for row in rows:
                places = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", [*row.values()])
        connection.commit()


async def test_on_postgres_they_are_refused(postgres: Postgres) -> None:
    """Only the server can make checksums, and SQL alone makes the schema there."""
    name = postgres.create_database()
    url = postgres.url(name)
    async with opened(url) as api:
        await api.save(full_save("session", 1))
    postgres.execute(f"UPDATE lockstitch.{VERSION_TABLE} SET version_num = '{OLD_VERSION}'", name)
    with pytest.raises(StartupError, match="import the archive into a new database"):
        async with opened(url):
            pass
    postgres.drop_database(name)


async def test_all_is_there(url: str) -> None:
    """Beside what the archive holds, imported today."""
    async with old_store(url) as old, opened("memory://") as new:
        tally = Restored()
        await restore(new.store, frames(io.BytesIO(ARCHIVE)), tally)
        assert (tally.created, tally.failures) == (4, [])
        assert await content(old) == await content(new)
        assert await faults_in(old.store) == await faults_in(new.store) == []


async def test_what_is_exported_is_what_was_exported(url: str) -> None:
    async with old_store(url) as api:
        found = frames(io.BytesIO(await exported(api.store)))
        assert sorted(map(bytes, _contents(found))) == sorted(map(bytes, _contents(frames(io.BytesIO(ARCHIVE)))))


def _contents(found: Iterator[Any]) -> Iterator[bytes]:
    return (frame.SerializeToString() for frame in found if frame.WhichOneof("frame") != "header")


async def test_what_is_saved_again_is_known(url: str) -> None:
    async with old_store(url) as api:
        for save in (full_save("worked", 3), delta_save("worked", 5)):
            assert (await api.save(save)).outcome == SaveOutcome.SAVE_OUTCOME_UNCHANGED
        before = await content(api)
        writes = [write for write in await _writes(api) if write.task_id != "newer"]
        assert (await api.save_writes(writes_save("worked", STEP_OF_WRITES, writes))).stored == 0
        assert await content(api) == before


async def test_it_goes_on(url: str) -> None:
    """Writes beside old ones, and in place of them; checkpoints on top."""
    async with old_store(url) as api:
        before = await _writes(api)
        replacing = PendingWrite(task_id="task", index=-1, channel="__error__", value=TypedBlob(data=b"again"))
        added = PendingWrite(task_id="zz", channel="messages", value=TypedBlob(data=b"new" * 99))
        stays = PendingWrite(task_id="t", channel="not taken")
        answer = await api.save_writes(writes_save("worked", STEP_OF_WRITES, [replacing, added, stays]))
        assert answer.stored == 2
        after = await _writes(api)
        kept = [write for write in before if (write.task_id, write.index) != ("task", -1)]
        assert [write for write in after if write not in (replacing, added)] == kept
        assert replacing in after
        assert added in after
        await api.save(delta_save("worked", 6))
        assert await faults_in(api.store) == []


async def test_steps_that_ids_do_not_tell_are_found(url: str) -> None:
    """What they are searched by has changed since."""
    async with old_store(url) as api:
        for step in range(8):
            assert (await api.load(LoadRequest(session_id="graph", step=step))).checkpoint.step == step
        loaded = await api.load(LoadRequest(session_id="graph", step=7))
        loaded.checkpoint.checkpoint_id += "-later"
        await api.save(SaveRequest(checkpoint=loaded.checkpoint))
        again = await api.load(LoadRequest(session_id="graph", step=7))
        assert again.checkpoint.checkpoint_id == loaded.checkpoint.checkpoint_id


async def test_what_they_were_searched_by_goes_with_them(tmp_path: Path) -> None:
    async with old_store(f"sqlite:///{tmp_path}/lockstitch.db") as api:
        await api.store.keep(_delete_graph)
    with closing(sqlite3.connect(tmp_path / "lockstitch.db")) as connection:
        left = "SELECT count(*) FROM terms WHERE checkpoint NOT IN (SELECT id FROM checkpoints)"
        assert connection.execute(left).fetchone() == (0,)


async def _delete_graph(keeper: Keeper) -> None:
    session = await keeper.lock("default", "graph")
    await keeper.delete_checkpoints(session, await keeper.all_checkpoints(session))
    await keeper.put(session)


async def _writes(api: RawApi) -> list[PendingWrite]:
    loaded = await api.load(LoadRequest(session_id="worked", step=STEP_OF_WRITES))
    return list(loaded.pending_writes)
