"""The ids of saves: retries are known by them, and late saves change nothing."""

import asyncio
from typing import Any

import pytest

from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    SAVE_OUTCOME_REPLACED,
    SAVE_OUTCOME_UNCHANGED,
    LoadLatestRequest,
    SaveRequest,
    SaveResponse,
)
from tests.conformance.builders import (
    checkpoint,
    contents,
    ids,
    latest,
    load,
    pending,
    refused,
    revision,
    save,
    save_request,
    state,
    values,
    write,
)
from tests.conformance.session_builders import delete, rewind
from tests.conformance.suite.delta import after, more, save_base
from tests.support.api import Api, ApiError

LARGEST = 2**64 - 1
NOW = {"seconds": 0}
OLD, NEW = state("old " * 100), state("new " * 100)


def by(writer: int, number: int) -> dict[str, int]:
    return {"writer": writer, "number": number}


async def late(api: Api, request: SaveRequest, checkpoint_id: str = f"{1:020d}") -> None:
    """A save is refused as one that comes too late."""
    error = await refused(api.save(request))
    assert (error.code.name, error.reason) == ("ABORTED", "SUPERSEDED")
    assert error.metadata == {"checkpoint_id": checkpoint_id}


class TestSaveId:
    async def test_a_late_save_changes_nothing(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, state=NEW), save_id=by(LARGEST, 9))
        before = await revision(api, session)
        await late(api, save_request(checkpoint=checkpoint(session, state=OLD), save_id=by(LARGEST, 8)))
        assert await latest(api, session) == checkpoint(session, checkpoint_id=f"{1:020d}", state=NEW)
        assert await revision(api, session) == before

    async def test_later_saves_replace(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, state=OLD), save_id=by(1, 8))
        answer = await save(api, checkpoint(session, state=NEW), save_id=by(1, LARGEST))
        assert answer.outcome == SAVE_OUTCOME_REPLACED
        assert contents(await latest(api, session)) == contents(checkpoint(session, state=NEW))

    async def test_a_late_save_of_another_checkpoint_is_stored(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 2), save_id=by(1, 9))
        assert (await save(api, checkpoint(session, 1), save_id=by(1, 8))).outcome == SAVE_OUTCOME_CREATED

    async def test_a_late_save_of_a_checkpoint_that_is_not_the_latest(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 1, state=NEW), save_id=by(1, 9))
        await save(api, checkpoint(session, 2), save_id=by(1, 10))
        await late(api, save_request(checkpoint=checkpoint(session, 1, state=OLD), save_id=by(1, 8)))

    async def test_a_late_delta(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 0))
        request = save_request(
            checkpoint={"session_id": session, "step": 1},
            base_checkpoint_id=f"{0:020d}",
            delta={"messages": {"append": [{"content": "old"}]}},
            save_id=by(1, 8),
        )
        newer = SaveRequest()
        newer.CopyFrom(request)
        newer.delta.messages.append[0].content, newer.save_id.number = "new", 9
        await api.save(newer)
        await late(api, request)
        assert contents(await latest(api, session)) == ["hi", "new"]
        assert (await api.save(newer)).outcome == SAVE_OUTCOME_UNCHANGED

    async def test_a_delta_in_place_is_applied_once_for_each_save(self, api: Api, session: str) -> None:
        await save_base(api, session)
        request = after(session, more("more"), checkpoint_id="base", save_id=by(1, 1))
        outcomes = [(await api.save(each)).outcome for each in (request, request, _with(request, 2))]
        assert outcomes == [SAVE_OUTCOME_REPLACED, SAVE_OUTCOME_UNCHANGED, SAVE_OUTCOME_REPLACED]
        assert contents(await load(api, session, "base")) == ["hi", "more", "more"]

    async def test_a_delta_in_place_of_a_known_revision_describes_one_state(self, api: Api, session: str) -> None:
        base = await save_base(api, session)
        request = after(session, more("more"), checkpoint_id="base", base_revision=base.revision, save_id=by(1, 1))
        outcomes = [(await api.save(each)).outcome for each in (request, _with(request, 2))]
        assert outcomes == [SAVE_OUTCOME_REPLACED, SAVE_OUTCOME_UNCHANGED]
        assert contents(await load(api, session, "base")) == ["hi", "more"]

    async def test_the_same_content_again_keeps_late_saves_out(self, api: Api, session: str) -> None:
        """x is stored, y is given up, x is saved again and acknowledged; then y arrives."""
        first = await save(api, checkpoint(session, state=NEW), save_id=by(1, 1))
        again = await save(api, checkpoint(session, state=NEW), save_id=by(1, 3))
        assert (again.outcome, again.revision, again.saved_at) == (
            SAVE_OUTCOME_UNCHANGED,
            first.revision,
            first.saved_at,
        )
        await late(api, save_request(checkpoint=checkpoint(session, state=OLD), save_id=by(1, 2)))
        answer = await api.load_latest(LoadLatestRequest(session_id=session))
        assert answer.checkpoint == checkpoint(session, checkpoint_id=f"{1:020d}", state=NEW)
        assert answer.checkpoint_revision == first.revision

    async def test_another_writer_does_not_let_late_saves_in(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, state=NEW), save_id=by(1, 9))
        for writer in (2, 3, 4):
            await save(api, checkpoint(session, state=state(f"of {writer}")), save_id=by(writer, 1))
        await save(api, checkpoint(session, state=state("of nobody")))
        await late(api, save_request(checkpoint=checkpoint(session, state=OLD), save_id=by(1, 8)))
        assert contents(await latest(api, session)) == ["of nobody"]

    async def test_a_retry_of_what_another_has_replaced(self, api: Api, session: str) -> None:
        sent = save_request(checkpoint=checkpoint(session, state=OLD), save_id=by(1, 9))
        await api.save(sent)
        await save(api, checkpoint(session, state=NEW), save_id=by(2, 1))
        await late(api, sent)
        await save(api, checkpoint(session, state=state("third")), save_id=by(1, 10))

    async def test_a_late_save_does_not_replace_pending_writes(self, api: Api, session: str) -> None:
        sent = checkpoint(session)
        await save(api, sent, save_id=by(1, 9), writes=[write(index=-1, data=b"new")])
        old = save_request(checkpoint=sent, save_id=by(1, 8), writes=[write(index=-1, data=b"old")])
        await late(api, old)
        old.ClearField("writes")
        assert (await api.save(old)).outcome == SAVE_OUTCOME_UNCHANGED
        assert values(await pending(api, session, f"{1:020d}")) == [b"new"]

    async def test_saves_without_ids_are_as_before(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, state=OLD))
        await save(api, checkpoint(session, state=NEW), save_id=by(1, 1))
        assert (await save(api, checkpoint(session, state=OLD))).outcome == SAVE_OUTCOME_REPLACED

    async def test_on_a_stream_and_in_one_batch(self, api: Api, session: str) -> None:
        requests = [
            save_request(checkpoint=checkpoint(session, state=content), save_id=by(1, number))
            for content, number in ((NEW, 9), (OLD, 8), (state("newest"), 10))
        ]
        results = await asyncio.gather(*map(api.save, requests), return_exceptions=True)
        assert isinstance(results[2], SaveResponse)
        for result in results[:2]:  # a proxy may send calls in another order
            assert isinstance(result, SaveResponse) or (isinstance(result, ApiError) and result.reason == "SUPERSEDED")
        assert contents(await latest(api, session)) == ["newest"]

    async def test_after_a_rewind_a_late_save_is_stored_unless_it_expects_a_revision(
        self, api: Api, session: str
    ) -> None:
        first = await save(api, checkpoint(session, 1), save_id=by(1, 1))
        second = await save(api, checkpoint(session, 2), save_id=by(1, 3))
        await rewind(api, session, f"{1:020d}")
        guarded = {"checkpoint_id": f"{2:020d}", "revision": second.revision}
        error = await refused(save(api, checkpoint(session, 3), save_id=by(1, 4), expected_latest=guarded))
        assert error.reason == "EXPECTED_LATEST_MISMATCH"
        assert (await save(api, checkpoint(session, 2, state=OLD), save_id=by(1, 2))).outcome == SAVE_OUTCOME_CREATED
        assert first.revision < second.revision

    async def test_a_deleted_session(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, state=NEW), save_id=by(1, 9))
        await delete(api, session)
        error = await refused(save(api, checkpoint(session, state=OLD), save_id=by(1, 8)))
        assert error.reason == "SESSION_DELETED"

    async def test_a_deleted_session_that_may_be_created_again(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, state=NEW), save_id=by(1, 9))
        await delete(api, session, tombstone=NOW)
        assert (await save(api, checkpoint(session), save_id=by(1, 8))).outcome == SAVE_OUTCOME_CREATED


class TestEqualSaves:
    """Two programs save the same content on the same condition: one of them is the first."""

    async def test_have_one_winner(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 0))
        attempts = [
            save(api, checkpoint(session), save_id=by(writer, 1), expected_latest={"step": 0})
            for writer in range(1, 101)
        ]
        await assert_one_winner(attempts)

    async def test_of_one_program_have_one_winner(self, api: Api, session: str) -> None:
        attempts = [
            save(api, checkpoint(session), save_id=by(1, number), expected_latest={"none": True})
            for number in range(1, 101)
        ]
        await assert_one_winner(attempts)

    async def test_by_deltas_have_one_winner(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 0))
        request = save_request(
            checkpoint={"session_id": session, "step": 1},
            base_checkpoint_id=f"{0:020d}",
            delta={"messages": {"append": [{"content": "more"}]}},
            expected_latest={"step": 0},
        )
        await assert_one_winner([api.save(_with(request, writer)) for writer in range(1, 101)])

    async def test_a_retry_is_known(self, api: Api, session: str) -> None:
        sent = save_request(checkpoint=checkpoint(session), expected_latest={"none": True}, save_id=by(1, 1))
        first = await api.save(sent)
        await save(api, checkpoint(session, 2), save_id=by(2, 1))
        again = await api.save(sent)
        assert (again.outcome, again.revision) == (SAVE_OUTCOME_UNCHANGED, first.revision)

    async def test_a_retry_without_an_id_is_known_by_its_content(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session), expected_latest={"none": True}, save_id=by(1, 1))
        again = await save(api, checkpoint(session), expected_latest={"none": True})
        assert again.outcome == SAVE_OUTCOME_UNCHANGED


class TestExpectedRevision:
    @pytest.mark.parametrize("expected", [{"checkpoint_id": f"{1:020d}"}, {"step": 1}], ids=str)
    async def test_tells_checkpoints_of_one_id_apart(self, api: Api, session: str, expected: dict[str, Any]) -> None:
        first = await save(api, checkpoint(session))
        second = await save(api, checkpoint(session, state=NEW))
        after = checkpoint(session, 2)
        error = await refused(save(api, after, expected_latest={**expected, "revision": first.revision}))
        assert error.reason == "EXPECTED_LATEST_MISMATCH"
        assert error.metadata == {"latest_checkpoint_id": f"{1:020d}", "latest_step": "1"}
        await save(api, after, expected_latest={**expected, "revision": second.revision})
        assert len(await ids(api, session)) == 2

    async def test_after_a_rewind_and_as_many_saves(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 1))
        seen = await save(api, checkpoint(session, 2))
        await rewind(api, session, f"{1:020d}")
        await save(api, checkpoint(session, 2, state=NEW))
        expected = {"checkpoint_id": f"{2:020d}", "revision": seen.revision}
        error = await refused(save(api, checkpoint(session, 3), expected_latest=expected))
        assert error.reason == "EXPECTED_LATEST_MISMATCH"

    async def test_with_another_id(self, api: Api, session: str) -> None:
        first = await save(api, checkpoint(session))
        await refused(
            save(api, checkpoint(session, 2), expected_latest={"checkpoint_id": "x", "revision": first.revision})
        )


def _with(request: SaveRequest, writer: int) -> SaveRequest:
    request = SaveRequest.FromString(request.SerializeToString())
    request.save_id.writer, request.save_id.number = writer, 1
    return request


async def assert_one_winner(attempts: list[Any]) -> None:
    results: list[SaveResponse | BaseException] = await asyncio.gather(*attempts, return_exceptions=True)
    won = [result for result in results if isinstance(result, SaveResponse)]
    lost = [result for result in results if isinstance(result, ApiError)]
    assert (len(won), len(lost)) == (1, len(attempts) - 1)
    assert won[0].outcome == SAVE_OUTCOME_CREATED
    assert {(error.code.name, error.reason) for error in lost} == {("ABORTED", "EXPECTED_LATEST_MISMATCH")}
