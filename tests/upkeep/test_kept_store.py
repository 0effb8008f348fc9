"""The store of the first release is read, checked, exported and added to as ever."""

import io
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, SaveOutcome
from lockstitch.v1.session_service_pb2 import AcquireLeaseRequest
from lockstitch_server.core.format.archive import frames
from lockstitch_server.core.format.compression import MARK as PACKED
from lockstitch_server.core.format.pending_writes import MARK as SEVERAL
from lockstitch_server.core.format.pending_writes import MOST_WRITES
from lockstitch_server.engine.maintenance.restorer import Restored, restore
from tests.fixtures.store.make import CENTURY, HERE, answers, expected, opened
from tests.robustness.ledger import fingerprint
from tests.robustness.workload import checkpoint, delta_save, full_save
from tests.support.api import RawApi
from tests.support.buckets import with_buckets
from tests.support.postgres import Postgres
from tests.upkeep.stores import content, exported, faults_in


@pytest.fixture(params=["sqlite", "postgres", "distributed"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """The kind of a store, and the URL of a copy of it."""
    if request.param == "sqlite":
        shutil.copy(HERE / "sqlite.db", tmp_path / "store.db")
        yield "sqlite", f"sqlite:///{tmp_path}/store.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create_database()
    connection = await asyncpg.connect(server.url(name))
    await connection.execute((HERE / "postgres.sql").read_text())
    await connection.close()
    if request.param == "distributed":
        await with_buckets(server.url(name))
    yield "postgres", server.url(name)
    server.drop_database(name)


async def test_all_of_it_is_read_as_it_was(kept: tuple[str, str]) -> None:
    kind, url = kept
    async with opened(url) as api:
        assert missing(await answers(api), expected(kind)) == []
        assert await faults_in(api.store) == []


def missing(found: Any, wanted: Any, path: str = "") -> list[str]:
    """Where an answer differs from one of the first release. Later servers may say more."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            line
            for name, value in wanted.items()
            for line in (missing(found[name], value, f"{path}.{name}") if name in found else [f"{path}.{name}"])
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(found) == len(wanted):
        pairs = enumerate(zip(found, wanted, strict=True))
        return [line for number, (one, other) in pairs for line in missing(one, other, f"{path}[{number}]")]
    return [] if found == wanted else [f"{path}: {found!r}, not {wanted!r}"]


async def test_an_archive_of_it_holds_all_of_it(kept: tuple[str, str]) -> None:
    async with opened(kept[1]) as api, opened("memory://") as other:
        archive = await exported(api.store)
        await _restored(other, archive)
        assert await content(other) == await content(api)


async def _restored(api: RawApi, archive: bytes) -> None:
    tally = Restored()
    await restore(api.store, frames(io.BytesIO(archive)), tally)
    assert tally.failures == []


async def test_it_goes_on(kept: tuple[str, str]) -> None:
    async with opened(kept[1]) as api:
        again = full_save("other", 0, variant=0)
        assert (await api.save(again)).outcome == SaveOutcome.SAVE_OUTCOME_UNCHANGED
        for step in (2, 3):
            await api.save((delta_save if step % 2 else full_save)("other", step))
        latest = await api.load_latest(LoadLatestRequest(session_id="other"))
        assert fingerprint(latest.checkpoint) == fingerprint(checkpoint("other", 3))
        request = AcquireLeaseRequest(session_id="settled", holder="worker-2", ttl=Duration(seconds=60))
        lease = await api.unary("AcquireLease", request)
        assert lease.lease.token > 0
        save = full_save("settled", 2)
        save.lease_token = lease.lease.token
        save.ttl.CopyFrom(CENTURY)
        await api.save(save)
        assert await faults_in(api.store) == []


KINDS = {
    "a packed record": "SELECT 1 FROM checkpoints WHERE substr(record, 1, 1) = :packed",
    "a record as it is": "SELECT 1 FROM checkpoints WHERE substr(record, 1, 1) <> :packed",
    "a packed row of a log": "SELECT 1 FROM segments WHERE length(data) < size AND substr(data, 1, 1) <> :packed",
    "a row of a log as it is": "SELECT 1 FROM segments WHERE length(data) = size",
    "several pending writes in a row": "SELECT 1 FROM writes WHERE substr(data, 1, 2) = :eight",
    "a pending write as it came": "SELECT 1 FROM writes WHERE substr(data, 1, 1) <> :several",
    "pending writes of no checkpoint": (
        "SELECT 1 FROM writes w WHERE NOT EXISTS (SELECT 1 FROM checkpoints c WHERE c.key = w.key "
        "AND c.namespace = w.namespace AND c.checkpoint_id = w.checkpoint_id)"
    ),
    "a deleted session": "SELECT 1 FROM sessions WHERE expire_at = 0 AND tombstone_until > 0",
    "an expiry": "SELECT 1 FROM sessions WHERE ttl > 0 AND expire_at > 0",
    "labels and retention": "SELECT 1 FROM sessions WHERE labels <> '{}' AND keep_last = 7",
    "a lease": "SELECT 1 FROM sessions WHERE lease_token > 0 AND lease_holder <> ''",
    "a copy": "SELECT 1 FROM sessions WHERE origin IS NOT NULL",
    "deleted checkpoints": "SELECT 1 FROM sessions WHERE deletion_revision > 0 AND checkpoint_count > 0",
    "search terms": "SELECT 1 FROM terms",
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_holds_rows_of_every_kind(kind: str) -> None:
    with closing(sqlite3.connect(f"file:{HERE}/sqlite.db?mode=ro&immutable=1", uri=True)) as file:
        values = {"packed": PACKED, "several": SEVERAL, "eight": SEVERAL + bytes([MOST_WRITES])}
        used = {name: value for name, value in values.items() if f":{name}" in KINDS[kind]}
        assert file.execute(KINDS[kind], used).fetchone() == (1,)
