"""Pruning: old checkpoints go, the latest of every namespace stays."""

import asyncio

import pytest

from tests.conformance.builders import (
    assert_same,
    blob,
    checkpoint,
    contents,
    ids,
    latest,
    list_request,
    load,
    pending,
    refused,
    save,
    state,
    summary,
    write,
)
from tests.conformance.session_builders import acquire, ask, prune, update
from tests.conformance.suite.deletion import saved
from tests.support.api import Api

LAST_TWO = {"keep_last": 2}


def big(version: int) -> dict[str, object]:
    return {"custom": {"big": {"version": f"{version}", "blob": blob(bytes([version]) * 3000)}}}


class TestPruneSessions:
    async def test_keeps_the_last_of_every_namespace(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, 3, 4, 5)
        for step in range(3):
            await save(api, checkpoint(session, step, namespace="inner"))
        expected = [await load(api, session, name) for name in ("5", "4")]
        answer = await prune(api, session, retention=LAST_TWO)
        assert (answer.checkpoints, answer.sessions, answer.next_page_token) == (4, 1, "")
        assert await ids(api, session, namespace="") == ["5", "4"]
        assert len(await ids(api, session, namespace="inner")) == 2
        for kept in expected:
            assert_same(await load(api, session, kept.checkpoint_id), kept)
        assert (await prune(api, session, retention=LAST_TWO)).checkpoints == 0

    async def test_gives_bytes_back(self, api: Api, session: str) -> None:
        for step in range(1, 9):
            said = state("x" * 500, **big(step))
            await save(api, checkpoint(session, step, checkpoint_id=f"{step}", state=said), writes=[write(data=b"y")])
        before = await summary(api, session)
        told = await prune(api, session, retention=LAST_TWO, dry_run=True)
        assert await summary(api, session) == before
        done = await prune(api, session, retention=LAST_TWO)
        assert done == told
        after = await summary(api, session)
        assert done.bytes == before.stored_bytes - after.stored_bytes > 6 * 3000
        assert after.checkpoint_count == 2
        assert after.updated_at == before.updated_at
        assert await pending(api, session, "8") != []
        assert_same((await latest(api, session)).state, state("x" * 500, **big(8)))

    async def test_saves_go_on(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, 3, 4)
        await prune(api, session, retention={"keep_last": 1})
        await saved(api, session, 5)
        assert [len(contents(await load(api, session, name))) for name in ("4", "5")] == [4, 5]
        assert (await summary(api, session)).checkpoint_count == 2

    async def test_by_age(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2)
        await asyncio.sleep(1.2)
        await saved(api, session, 3)
        policy = {"max_age": {"seconds": 1}}
        assert (await prune(api, session, retention={"max_age": {"seconds": 3600}})).checkpoints == 0
        assert (await prune(api, session, retention=policy)).checkpoints == 2
        await asyncio.sleep(1.2)
        assert (await prune(api, session, retention=policy)).checkpoints == 0
        assert await ids(api, session) == ["3"]

    async def test_by_the_sessions_own_policy(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, 3)
        assert (await prune(api, session)).checkpoints == 0
        await update(api, session, retention={"keep_last": 1})
        assert (await prune(api, session)).checkpoints == 2

    async def test_a_lease_does_not_stand_in_the_way(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, 3)
        await acquire(api, session)
        assert (await prune(api, session, retention={"keep_last": 1})).checkpoints == 2

    async def test_many(self, api: Api, session: str) -> None:
        await asyncio.gather(*(save(api, checkpoint(session, step)) for step in range(1, 701)))
        assert (await prune(api, session, retention={"keep_last": 3})).checkpoints == 697
        assert len(await ids(api, session, page_size=1000)) == 3

    async def test_all_of_the_tenant_by_pages(self, api: Api, session: str) -> None:
        names = [f"{session}{number}" for number in range(5)]
        for name in names:
            await saved(api, name, 1, 2, 3)
        token, pages, checkpoints = "", 0, 0
        while True:
            answer = await prune(
                api, retention={"keep_last": 2, "max_age": {"seconds": 86_400}}, page_size=100, page_token=token
            )
            pages, checkpoints = pages + 1, checkpoints + answer.checkpoints
            if not (token := answer.next_page_token):
                break
        assert checkpoints >= 5
        assert [await ids(api, name) for name in names] == [["3", "2"]] * 5

    async def test_the_token_is_for_the_same_request(self, api: Api, session: str) -> None:
        for number in range(3):
            await saved(api, f"{session}{number}", 1)
        answer = await prune(api, page_size=1, dry_run=True)
        assert answer.next_page_token
        error = await refused(prune(api, page_size=1, page_token=answer.next_page_token))
        assert error.reason == "INVALID_PAGE_TOKEN"

    async def test_what_is_not_there_is_skipped(self, api: Api, session: str) -> None:
        for dry_run in (False, True):
            answer = await prune(api, session, retention=LAST_TWO, dry_run=dry_run)
            assert (answer.checkpoints, answer.sessions) == (0, 0)

    async def test_holes_are_never_seen(self, api: Api, session: str) -> None:
        """Loads and saves beside prunes."""
        done = False

        async def load_on() -> None:
            while not done:
                for found in (await api.list_checkpoints(list_request(session_id=session))).checkpoints:
                    assert len(contents(found)) == found.step

        loading = asyncio.gather(load_on(), load_on())
        for step in range(1, 41):
            await saved(api, session, step + 100)
            await prune(api, session, retention={"keep_last": 3})
        done = True
        await loading
        assert (await summary(api, session)).checkpoint_count == 3

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"session_ids": [""]}, "session_ids[0]"),
            ({"session_ids": ["a"] * 1001}, "session_ids"),
            ({"retention": {"max_age": {"nanos": 1}}}, "retention.max_age"),
            ({"page_size": -1}, "page_size"),
        ],
        ids=range(4),
    )
    async def test_must_make_sense(self, api: Api, fields: dict[str, object], field: str) -> None:
        error = await refused(ask(api, "PruneSessions", **fields))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", field)
