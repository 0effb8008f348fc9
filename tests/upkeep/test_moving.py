"""Sessions move from any store to any other, as they are."""

import io
import itertools
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, SaveOutcome
from lockstitch.v1.session_service_pb2 import AcquireLeaseRequest, GetSessionRequest
from lockstitch_server.core.format.archive import ArchiveInvalid, frames
from lockstitch_server.engine.maintenance.restorer import Restored, restore
from lockstitch_server.storage import Store
from tests.robustness.workload import delta_save, full_save
from tests.support.api import RawApi
from tests.support.postgres import Postgres
from tests.upkeep.stores import SESSIONS, SETTLED, STEPS, content, exported, faults_in, fill, opened

KINDS = ("memory", "sqlite", "postgres")


@pytest.fixture
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """One store of each kind that the test asks for."""
    with ExitStack() as stack:
        yield [_url(kind, f"{tmp_path}/{number}.db", request, stack) for number, kind in enumerate(request.param)]


def _url(kind: str, path: str, request: pytest.FixtureRequest, stack: ExitStack) -> str:
    if kind != "postgres":
        return "memory://" if kind == "memory" else f"sqlite:///{path}"
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create_database()
    stack.callback(server.drop_database, name)
    return server.url(name)


async def put(store: Store, archive: bytes) -> Restored:
    tally = Restored()
    await restore(store, frames(io.BytesIO(archive)), tally)
    return tally


@pytest.mark.parametrize("urls", list(itertools.product(KINDS, KINDS)), indirect=True, ids="-".join)
async def test_all_that_callers_can_see(urls: list[str]) -> None:
    async with opened(urls[0]) as source, opened(urls[1]) as target:
        await fill(source)
        archive = await exported(source.store)
        tally = await put(target.store, archive)
        assert (tally.created, tally.unchanged, tally.failures) == (len(SESSIONS) + 2, 0, [])
        assert await content(target) == await content(source)
        assert await faults_in(source.store) == await faults_in(target.store) == []
        await _goes_on(source, target)


async def _goes_on(source: RawApi, target: RawApi) -> None:
    """Deltas, repetitions and leases meet what they would have met at home."""
    again = await target.save(full_save(SESSIONS[0], STEPS - 2, variant=1))
    assert again.outcome == SaveOutcome.SAVE_OUTCOME_UNCHANGED
    for api in (source, target):
        await api.save(delta_save(SESSIONS[0], STEPS))
    loads = [await api.load_latest(LoadLatestRequest(session_id=SESSIONS[0])) for api in (source, target)]
    assert loads[0].checkpoint == loads[1].checkpoint
    settings = [await api.unary("GetSession", GetSessionRequest(session_id=SETTLED)) for api in (source, target)]
    assert settings[0].retention == settings[1].retention
    assert settings[0].ttl == settings[1].ttl
    assert (settings[0].lease.holder, settings[1].lease.holder) == ("me", "")
    tokens = [
        (await api.unary("AcquireLease", AcquireLeaseRequest(session_id=SETTLED, holder="me"))).lease.token
        for api in (source, target)
    ]
    assert tokens[1] > 0


@pytest.mark.parametrize("urls", [("sqlite", "sqlite"), ("sqlite", "postgres")], indirect=True, ids="-".join)
async def test_again_and_where_others_are(urls: list[str]) -> None:
    async with opened(urls[0]) as source, opened(urls[1]) as target:
        await fill(source)
        archive = await exported(source.store)
        await target.save(full_save(SESSIONS[1], 0))
        await put(target.store, archive)
        tally = await put(target.store, archive)
        assert (tally.created, tally.unchanged) == (0, len(SESSIONS) + 1)
        (failure,) = tally.failures
        assert SESSIONS[1] in failure
        assert "other content" in failure
        kept = await target.load_latest(LoadLatestRequest(session_id=SESSIONS[1]))
        assert kept.checkpoint.step == 0


@pytest.mark.parametrize("urls", [("memory", "memory")], indirect=True, ids="-".join)
async def test_what_is_no_whole_archive(urls: list[str]) -> None:
    """Every session that was read before is there, whole; of the others there is nothing."""
    rng = random.Random(3)
    async with opened(urls[0]) as source:
        await fill(source)
        archive = await exported(source.store)
        whole = {bytes(each.SerializeToString()) for each in await content(source)}
    for _ in range(30):
        spoiled = bytearray(archive)
        place = rng.randrange(len(archive))
        if rng.random() < 0.5:
            del spoiled[place:]
        else:
            spoiled[place] ^= 1 << rng.randrange(8)
        async with opened(urls[1]) as target:
            with pytest.raises(ArchiveInvalid):
                await put(target.store, bytes(spoiled))
            assert {each.SerializeToString() for each in await content(target)} <= whole
            assert await faults_in(target.store) == []


@pytest.mark.parametrize("urls", [("memory", "memory")], indirect=True, ids="-".join)
async def test_two_archives_in_one_file_are_refused(urls: list[str]) -> None:
    async with opened(urls[0]) as source:
        await fill(source)
        archive = await exported(source.store)
    async with opened(urls[1]) as target:
        with pytest.raises(ArchiveInvalid, match=f"ends at byte {len(archive)}, but the file goes on"):
            await put(target.store, archive + archive)
        assert await faults_in(target.store) == []


@pytest.mark.parametrize("data", [b"", b"nothing of the kind", b"lockstitch archive\n"])
async def test_what_is_no_archive_at_all(data: bytes) -> None:
    async with opened("memory://") as target:
        with pytest.raises(ArchiveInvalid):
            await put(target.store, data)
