"""Preconditions of a save: expected_latest and lease_token."""

import asyncio
from typing import Any

import pytest

from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    SAVE_OUTCOME_UNCHANGED,
    LoadLatestRequest,
    SaveResponse,
    SaveWritesRequest,
)
from tests.conformance.builders import (
    checkpoint,
    contents,
    ids,
    latest,
    refused,
    revision,
    save,
    save_request,
    state,
    write,
)
from tests.support.api import Api, ApiError

Expected = dict[str, Any]
HOLDS: list[Expected] = [{"checkpoint_id": "b"}, {"step": 5}]
FAILS: list[Expected] = [{"checkpoint_id": "a"}, {"checkpoint_id": "B"}, {"checkpoint_id": "bb"}, {"step": 4},
                         {"step": 9}, {"step": 0}, {"none": True}]  # fmt: skip


async def save_two(api: Api, session: str) -> None:
    """The latest is "b" of step 5, though "a" has a higher step and came later."""
    await save(api, checkpoint(session, 5, checkpoint_id="b"))
    await save(api, checkpoint(session, 9, checkpoint_id="a"))


class TestExpectedLatest:
    @pytest.mark.parametrize("expected", HOLDS, ids=str)
    async def test_that_holds_lets_the_save_pass(self, api: Api, session: str, expected: Expected) -> None:
        await save_two(api, session)
        await save(api, checkpoint(session, checkpoint_id="c"), expected_latest=expected)
        assert (await latest(api, session)).checkpoint_id == "c"

    @pytest.mark.parametrize("expected", FAILS, ids=str)
    async def test_that_does_not_hold_aborts_the_save(self, api: Api, session: str, expected: Expected) -> None:
        await save_two(api, session)
        before = await revision(api, session)
        error = await refused(save(api, checkpoint(session, checkpoint_id="c"), expected_latest=expected))
        assert (error.code.name, error.reason) == ("ABORTED", "EXPECTED_LATEST_MISMATCH")
        assert error.metadata == {"latest_checkpoint_id": "b", "latest_step": "5"}
        assert await revision(api, session) == before
        assert await ids(api, session) == ["b", "a"]

    @pytest.mark.parametrize("expected", [{"checkpoint_id": "a"}, {"step": 0}], ids=str)
    async def test_of_a_session_that_is_not_there(self, api: Api, session: str, expected: Expected) -> None:
        error = await refused(save(api, checkpoint(session), expected_latest=expected))
        assert (error.reason, error.metadata) == ("EXPECTED_LATEST_MISMATCH", {})
        assert await revision(api, session) == 0

    async def test_none_lets_the_first_save_pass(self, api: Api, session: str) -> None:
        first = await save(api, checkpoint(session), expected_latest={"none": True})
        assert first.outcome == SAVE_OUTCOME_CREATED

    async def test_step_0_is_not_none(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 0))
        await save(api, checkpoint(session, 1), expected_latest={"step": 0})

    async def test_looks_at_its_own_namespace(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        await save(api, checkpoint(session, namespace="n"), expected_latest={"none": True})
        error = await refused(save(api, checkpoint(session, 2, namespace="n"), expected_latest={"none": True}))
        assert error.metadata == {"latest_checkpoint_id": f"{1:020d}", "latest_step": "1"}

    async def test_guards_a_replacement(self, api: Api, session: str) -> None:
        await save_two(api, session)
        other = checkpoint(session, 5, checkpoint_id="b", state=state("other"))
        await refused(save(api, other, expected_latest={"checkpoint_id": "a"}))
        assert contents(await latest(api, session)) == ["hi"]
        await save(api, other, expected_latest={"checkpoint_id": "b"})
        assert contents(await latest(api, session)) == ["other"]

    async def test_guards_a_delta(self, api: Api, session: str) -> None:
        await save_two(api, session)
        request = save_request(
            checkpoint={"session_id": session, "checkpoint_id": "c"},
            base_checkpoint_id="b",
            delta={"messages": {"append": [{"content": "more"}]}},
            expected_latest={"none": True},
        )
        await refused(api.save(request))
        request.expected_latest.step = 5
        await api.save(request)
        assert contents(await latest(api, session)) == ["hi", "more"]

    @pytest.mark.parametrize("expected", [*FAILS, {"checkpoint_id": "b"}], ids=str)
    async def test_does_not_stop_the_retry_of_a_save_that_landed(
        self, api: Api, session: str, expected: Expected
    ) -> None:
        await save_two(api, session)
        sent = checkpoint(session, checkpoint_id="c", state=state("x" * 500))
        first = await save(api, sent)
        again = await save(api, sent, expected_latest=expected)
        assert (again.outcome, again.revision) == (SAVE_OUTCOME_UNCHANGED, first.revision)

    async def test_does_not_stop_the_retry_of_a_delta_that_landed(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        request = save_request(
            checkpoint={"session_id": session, "checkpoint_id": "b"},
            base_checkpoint_id="a",
            delta={"messages": {"append": [{"content": "more"}]}},
            expected_latest={"checkpoint_id": "a"},
        )
        await api.save(request)
        await save(api, checkpoint(session, checkpoint_id="c"))
        assert (await api.save(request)).outcome == SAVE_OUTCOME_UNCHANGED

    async def test_a_retry_with_the_writes_it_brought(self, api: Api, session: str) -> None:
        sent = checkpoint(session)
        await save(api, sent, expected_latest={"none": True}, writes=[write()])
        again = await save(api, sent, expected_latest={"none": True}, writes=[write()])
        assert again.outcome == SAVE_OUTCOME_UNCHANGED

    async def test_a_retry_with_a_write_that_replaces(self, api: Api, session: str) -> None:
        sent = checkpoint(session)
        await save(api, sent, expected_latest={"none": True}, writes=[write(index=-1)])
        again = await save(api, sent, expected_latest={"none": True}, writes=[write(index=-1)])
        assert again.outcome == SAVE_OUTCOME_UNCHANGED

    async def test_has_one_winner_among_many(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 0))
        attempts = [
            save(api, checkpoint(session, 1, state=state(f"{number}" * 200)), expected_latest={"step": 0})
            for number in range(100)
        ]
        await assert_one_winner(api, session, attempts)

    async def test_has_one_winner_among_many_with_ids_of_their_own(self, api: Api, session: str) -> None:
        attempts = [
            save(api, checkpoint(session, 1, checkpoint_id=f"{n}", state=state(f"{n}")), expected_latest={"none": True})
            for n in range(100)
        ]
        await assert_one_winner(api, session, attempts)


async def assert_one_winner(api: Api, session: str, attempts: list[Any]) -> None:
    results: list[SaveResponse | BaseException] = await asyncio.gather(*attempts, return_exceptions=True)
    won = [result for result in results if isinstance(result, SaveResponse)]
    lost = [result for result in results if isinstance(result, ApiError)]
    assert (len(won), len(lost)) == (1, 99)
    assert {(error.code.name, error.reason) for error in lost} == {("ABORTED", "EXPECTED_LATEST_MISMATCH")}
    assert won[0].outcome == SAVE_OUTCOME_CREATED
    assert (await latest(api, session)).checkpoint_id == won[0].checkpoint_id


class TestLeaseToken:
    async def test_without_a_lease_aborts_a_save(self, api: Api, session: str) -> None:
        error = await refused(save(api, checkpoint(session), lease_token=1, writes=[write()]))
        assert (error.code.name, error.reason) == ("ABORTED", "LEASE_LOST")
        assert await revision(api, session) == 0

    async def test_without_a_lease_aborts_writes(self, api: Api, session: str) -> None:
        request = SaveWritesRequest(session_id=session, checkpoint_id="a", writes=[write()], lease_token=2**64 - 1)
        error = await refused(api.save_writes(request))
        assert (error.code.name, error.reason) == ("ABORTED", "LEASE_LOST")
        await save(api, checkpoint(session, checkpoint_id="a"))
        assert not (await api.load_latest(LoadLatestRequest(session_id=session))).pending_writes
