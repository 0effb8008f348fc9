"""The sliding expiry of sessions."""

import asyncio

import pytest
import pytest_asyncio

from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    LoadLatestRequest,
    LoadLatestResponse,
    LoadLatestStreamRequest,
    LoadRequest,
    SaveWritesRequest,
)
from tests.conformance.builders import (
    checkpoint,
    contents,
    ids,
    latest,
    list_request,
    node,
    page,
    pending,
    refused,
    save,
    save_request,
    sessions_request,
    state,
    steps,
    summary,
    values,
    walk,
    write,
)
from tests.conformance.conftest import NUMBERS
from tests.conformance.session_builders import copy, update
from tests.support.api import Api
from tests.support.streams import error_of, save_all

NODE = "a node of expired sessions"
SECOND = {"seconds": 1}
HOUR = {"seconds": 3600}
NS = 10**9
MANY = 520
"""More than one transaction deletes (STEP_ROWS)."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="expired")
async def expired_sessions(api: Api) -> list[str]:
    """Sessions whose time is over, which tests take from the end. One wait for all of them."""
    names = [f"expired-{next(NUMBERS)}." for _ in range(8)]
    for name in names:
        for step in (1, 2):
            said = state("x" * 500, "y" * step)
            sent = checkpoint(name, step, checkpoint_id=f"{step}", state=said, ran_nodes=[node(NODE)])
            await save(api, sent, ttl=SECOND, writes=[write(data=b"old")])
        await update(api, name, set_labels={"a": "b"})
    await asyncio.sleep(1.05)
    return names


class TestExpiry:
    async def test_a_session_ends_so_long_after_its_last_save(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 1), ttl=HOUR)
        last = await save(api, checkpoint(session, 2))
        assert await self._expires_after(api, session, last.saved_at.ToNanoseconds()) == 3600 * NS

    async def test_a_repetition_is_a_save_too(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session), ttl=HOUR)
        before = await summary(api, session)
        await save(api, checkpoint(session))
        after = await summary(api, session)
        assert after.expire_at.ToNanoseconds() > before.expire_at.ToNanoseconds()
        assert (after.revision, after.updated_at) == (before.revision, before.updated_at)

    async def test_the_setting_can_be_changed(self, api: Api, session: str) -> None:
        for seconds in (3600, 60, 7200):
            saved = await save(api, checkpoint(session, seconds), ttl={"seconds": seconds})
            assert await self._expires_after(api, session, saved.saved_at.ToNanoseconds()) == seconds * NS

    @pytest.mark.parametrize(
        "ttl", [{"seconds": 60}, {"seconds": 60, "nanos": 1}, {"seconds": 36_500 * 86_400}], ids=str
    )
    async def test_may_be_short_or_long(self, api: Api, session: str, ttl: dict[str, int]) -> None:
        saved = await save(api, checkpoint(session), ttl=ttl)
        after = ttl["seconds"] * NS + ttl.get("nanos", 0)
        assert await self._expires_after(api, session, saved.saved_at.ToNanoseconds()) == after

    async def test_a_save_that_fails_does_not_move_it(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session), ttl=HOUR)
        before = await summary(api, session)
        await refused(save(api, checkpoint(session, 2), ttl={"seconds": 9}, expected_latest={"none": True}))
        assert await summary(api, session) == before

    async def _expires_after(self, api: Api, session: str, since: int) -> int:
        return (await summary(api, session)).expire_at.ToNanoseconds() - since


class TestExpired:
    async def test_cannot_be_loaded(self, api: Api, expired: list[str]) -> None:
        request = LoadLatestRequest(session_id=expired[0])
        assert await api.load_latest(request) == LoadLatestResponse()
        (streamed,) = [each async for each in api.load_latest_stream(LoadLatestStreamRequest(requests=[request]))]
        assert streamed.loaded == LoadLatestResponse()
        for by in (LoadRequest(session_id=expired[0], checkpoint_id="1"), LoadRequest(session_id=expired[0], step=1)):
            assert (await refused(api.load(by))).reason == "CHECKPOINT_NOT_FOUND"
        assert (await refused(walk(api, expired[0]))).reason == "CHECKPOINT_NOT_FOUND"

    async def test_is_not_listed(self, api: Api, expired: list[str]) -> None:
        answer = await api.list_sessions(sessions_request(session_id_prefix="expired-"))
        assert not {each.session_id for each in answer.sessions} & {expired[0]}
        assert not (await page(api, expired[0])).checkpoints
        assert (await page(api, expired[0], include_total=True)).total_size == 0
        everywhere = list_request(page_size=1000, ran_node=node(NODE), include_total=True)
        found = await api.list_checkpoints(everywhere)
        assert expired[0] not in {each.session_id for each in found.checkpoints}
        assert found.total_size == len(found.checkpoints)

    async def test_cannot_be_the_base_of_a_delta(self, api: Api, expired: list[str]) -> None:
        request = save_request(
            checkpoint={"session_id": expired[0], "checkpoint_id": "3"}, base_checkpoint_id="2", delta={}
        )
        assert (await refused(api.save(request))).reason == "UNKNOWN_BASE"

    async def test_has_no_latest(self, api: Api, expired: list[str]) -> None:
        request = save(api, checkpoint(expired[0], 3), expected_latest={"step": 2})
        assert (await refused(request)).metadata == {}

    async def test_begins_anew_with_the_next_save(self, api: Api, expired: list[str]) -> None:
        name = expired.pop()
        saved = await save(api, checkpoint(name, 3, checkpoint_id="3"), expected_latest={"none": True})
        assert saved.outcome == SAVE_OUTCOME_CREATED
        assert await ids(api, name) == ["3"]
        found = await summary(api, name)
        assert (found.checkpoint_count, found.created_at, found.updated_at) == (1, saved.saved_at, saved.saved_at)
        assert found.stored_bytes < 500
        assert not found.HasField("expire_at")
        assert await pending(api, name, "3") == []
        assert await self._ran(api, name) == []

    async def test_the_same_again_is_new(self, api: Api, expired: list[str]) -> None:
        name = expired.pop()
        said = state("x" * 500, "y" * 2)
        sent = checkpoint(name, 2, checkpoint_id="2", state=said, ran_nodes=[node(NODE)])
        assert (await save(api, sent)).outcome == SAVE_OUTCOME_CREATED
        assert contents(await latest(api, name)) == ["x" * 500, "yy"]
        assert await ids(api, name) == await self._ran(api, name) == ["2"]
        assert await pending(api, name, "2") == []

    async def test_begins_anew_with_writes(self, api: Api, expired: list[str]) -> None:
        name = expired.pop()
        request = SaveWritesRequest(session_id=name, checkpoint_id="2", writes=[write(data=b"new")])
        assert (await api.save_writes(request)).stored == 1
        assert await ids(api, name) == []
        await save(api, checkpoint(name, 2, checkpoint_id="2"))
        assert values(await pending(api, name, "2")) == [b"new"]

    async def test_begins_anew_for_all_saves_of_a_batch(self, api: Api, expired: list[str]) -> None:
        name = expired.pop()
        batch = [checkpoint(name, step, checkpoint_id=f"{step}", state=state("x" * 500)) for step in (3, 4, 5)]
        saved = await asyncio.gather(*(save(api, each) for each in batch))
        assert {each.outcome for each in saved} == {SAVE_OUTCOME_CREATED}
        assert await ids(api, name) == ["5", "4", "3"]

    async def test_its_revisions_go_on(self, api: Api, expired: list[str]) -> None:
        name = expired.pop()
        assert (await save(api, checkpoint(name))).revision > 2

    async def test_leaves_no_labels_to_the_session_begun_anew(self, api: Api, expired: list[str]) -> None:
        name = expired.pop()
        await save(api, checkpoint(name))
        assert dict((await summary(api, name)).labels) == {}

    async def _ran(self, api: Api, session: str) -> list[str]:
        return await ids(api, session, ran_node=node(NODE))


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="large")
async def large_expired_sessions(api: Api) -> list[str]:
    """Expired sessions that leave more than one transaction deletes: checkpoints, rows of logs and pending writes."""
    names = [f"large-{next(NUMBERS)}." for _ in range(2)]
    for name in names:
        saves = [
            save_request(
                checkpoint=checkpoint(name, step, state=state("x" * 500, f"{step}"), ran_nodes=[node(NODE)]),
                writes=[write(data=b"old")],
                ttl=SECOND if step == MANY - 1 else None,
            )
            for step in range(MANY)
        ]
        answers = await save_all(api, saves)
        assert {answer.saved.outcome for answer in answers} == {SAVE_OUTCOME_CREATED}
        await update(api, name, set_labels={"a": "b"})
    await asyncio.sleep(1.05)
    return names


class TestLargeExpired:
    async def test_begins_again_with_the_saves_of_a_stream_in_their_order(
        self, api: Api, session: str, large: list[str]
    ) -> None:
        name = large.pop()
        chain = [
            save_request(
                checkpoint=checkpoint(name, step, state=state(f"{step}")),
                expected_latest={"step": step - 1} if step else {"none": True},
            )
            for step in range(3)
        ]
        other = save_request(checkpoint=checkpoint(session))
        wrong = save_request(checkpoint=checkpoint(name, 7), expected_latest={"step": 7})
        *answers, refusal = await save_all(api, [*chain[:2], other, chain[2], wrong])
        assert {answer.saved.outcome for answer in answers} == {SAVE_OUTCOME_CREATED}
        assert error_of(refusal).reason == "EXPECTED_LATEST_MISMATCH"
        assert await steps(api, name) == [2, 1, 0]
        assert contents(await latest(api, name)) == ["2"]
        assert await pending(api, name, f"{2:020d}") == []
        assert await ids(api, name, ran_node=node(NODE)) == []
        found = await summary(api, name)
        assert (found.checkpoint_count, dict(found.labels), found.HasField("expire_at")) == (3, {}, False)

    async def test_can_be_the_target_of_a_copy(self, api: Api, session: str, large: list[str]) -> None:
        name = large.pop()
        await save(api, checkpoint(session, state=state("copied")))
        await copy(api, session, name)
        assert await steps(api, name) == [1]
        assert contents(await latest(api, name)) == ["copied"]
        assert (await summary(api, name)).checkpoint_count == 1
