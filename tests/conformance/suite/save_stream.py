"""SaveStream: each save is answered by itself, as Save would; those of one session happen in the order sent."""

from collections.abc import Callable

import pytest

from lockstitch.v1.checkpoint_pb2 import TypedBlob
from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    SAVE_OUTCOME_REPLACED,
    SAVE_OUTCOME_UNCHANGED,
    SaveRequest,
    SaveStreamRequest,
)
from tests.conformance.builders import (
    MAX_STEP,
    MAX_U64,
    assert_same,
    checkpoint,
    contents,
    delta_of,
    extras,
    full_checkpoint,
    latest,
    load,
    pending,
    refused,
    said,
    save,
    save_request,
    state,
    steps,
    write,
)
from tests.conformance.suite.limits import LIMIT
from tests.support.api import Api, ApiError
from tests.support.streams import error_of, save_all

CREATED, REPLACED, UNCHANGED = SAVE_OUTCOME_CREATED, SAVE_OUTCOME_REPLACED, SAVE_OUTCOME_UNCHANGED
MANY = 1000


def full(session: str, step: int, *said: str) -> SaveRequest:
    return save_request(checkpoint=checkpoint(session, step, state=state(*said)))


def grown(session: str, step: int) -> SaveRequest:
    """A delta on the step before."""
    brought = checkpoint(session, step)
    brought.ClearField("state")
    delta = delta_of(messages={"version": step + 1, "append": said(f"{step}").items})
    return save_request(checkpoint=brought, base_checkpoint_id=f"{step - 1:020d}", delta=delta)


def not_json(session: str) -> SaveRequest:
    return save_request(checkpoint=checkpoint(session, 9, state=state(extra=extras(a="{"))))


def no_session(session: str) -> SaveRequest:
    return save_request(checkpoint=checkpoint("", 9))


def too_high(session: str) -> SaveRequest:
    return save_request(checkpoint=checkpoint(session, MAX_STEP + 1))


def nothing(session: str) -> SaveRequest:
    return SaveRequest()


def not_the_latest(session: str) -> SaveRequest:
    return save_request(checkpoint=checkpoint(session, 9), expected_latest={"step": 8})


def unknown_base(session: str) -> SaveRequest:
    return grown(session, 9)


def wrong_lease(session: str) -> SaveRequest:
    return save_request(checkpoint=checkpoint(session, 9), lease_token=5)


BAD = [not_json, no_session, too_high, nothing, not_the_latest, unknown_base, wrong_lease]


class TestSaveStream:
    async def test_answers_as_save_does(self, api: Api, session: str) -> None:
        what = full_checkpoint(session)
        item = SaveRequest(checkpoint=what, writes=[write(data=b"w")])
        created, unchanged = (answer.saved for answer in await save_all(api, [item, item]))
        assert (created.outcome, unchanged.outcome) == (CREATED, UNCHANGED)
        assert_same(await api.save(item), unchanged)
        assert_same(await latest(api, session, what.namespace), what)
        assert [one.value.data for one in await pending(api, session, created.checkpoint_id, what.namespace)] == [b"w"]

    async def test_nothing_at_all(self, api: Api) -> None:
        assert await save_all(api, []) == []

    async def test_any_request_id_will_do(self, api: Api, session: str) -> None:
        numbers = [0, 0, 7, MAX_U64]
        items = [SaveStreamRequest(request_id=number, save=full(session, step)) for step, number in enumerate(numbers)]
        assert [answer.request_id for answer in await save_all(api, items)] == numbers
        assert await steps(api, session) == [3, 2, 1, 0]

    @pytest.mark.parametrize("bad", BAD)
    async def test_a_bad_save_fails_alone_and_as_a_call_of_its_own(
        self, api: Api, session: str, bad: Callable[[str], SaveRequest]
    ) -> None:
        await api.save(full(session, 0))
        alone = await refused(api.save(bad(session)))
        failed, good = await save_all(api, [bad(session), full(session, 1)])
        among = error_of(failed)
        assert (among.code, among.reason) == (alone.code, alone.reason)
        assert _without_place(among) == _without_place(alone)
        assert good.saved.outcome == CREATED
        assert await steps(api, session) == [1, 0]

    async def test_a_save_that_is_no_message_fails_alone(self, api: Api, session: str) -> None:
        garbage = b"\xff\xff\xff"
        failed, first, last = await save_all(
            api, [garbage, SaveStreamRequest(request_id=1, save=full(session, 0)), full(session, 1)]
        )
        assert (error_of(failed).code.name, error_of(failed).reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
        assert (first.saved.outcome, last.saved.outcome) == (CREATED, CREATED)

    async def test_a_request_without_a_save_fails_alone(self, api: Api, session: str) -> None:
        failed, good = await save_all(api, [SaveStreamRequest(request_id=0), full(session, 0)])
        assert error_of(failed).metadata["field"] == "save"
        assert good.saved.outcome == CREATED

    async def test_a_save_that_is_too_large_fails_alone(self, tight_api: Api, session: str) -> None:
        large = save_request(checkpoint=checkpoint(session, 1, header=TypedBlob(data=b"x" * 40_000)))
        answers = await save_all(tight_api, [full(session, 0), large, full(session, 2)])
        (failed,) = (error_of(answer) for answer in answers if answer.WhichOneof("result") == "error")
        assert (failed.code.name, failed.reason) == ("RESOURCE_EXHAUSTED", "TOO_LARGE")
        assert await steps(tight_api, session) == [2, 0]

    async def test_what_save_takes_is_not_too_large(self, tight_api: Api, session: str) -> None:
        largest = save_request(checkpoint=checkpoint(session, 1, header=TypedBlob(data=b"x" * (LIMIT - 300))))
        largest.checkpoint.header.data += b"x" * (LIMIT - largest.ByteSize())
        assert largest.ByteSize() == LIMIT
        (answer,) = await save_all(tight_api, [SaveStreamRequest(request_id=MAX_U64, save=largest)])
        assert answer.saved.outcome == CREATED


def _without_place(error: ApiError) -> tuple[str, dict[str, str]]:
    """What it says, but for where the fault is: a stream's requests have the save one level deeper."""
    field = error.metadata.get("field", "")
    return error.message.removeprefix("save."), {**error.metadata, "field": field.removeprefix("save.")}


class TestSaveStreamOrder:
    async def test_deltas_each_on_the_one_before(self, api: Api, session: str) -> None:
        items = [full(session, 0, "0"), *(grown(session, step) for step in range(1, MANY))]
        answers = await save_all(api, items)
        assert {answer.saved.outcome for answer in answers} == {CREATED}
        revisions = [answer.saved.revision for answer in answers]
        assert revisions == sorted(set(revisions))
        assert contents(await latest(api, session)) == [str(step) for step in range(MANY)]

    async def test_the_last_of_those_that_replace_stays(self, api: Api, session: str) -> None:
        answers = await save_all(api, [full(session, 5, f"{number}") for number in range(200)])
        assert [answer.saved.outcome for answer in answers] == [CREATED, *[REPLACED] * 199]
        assert contents(await latest(api, session)) == ["199"]

    async def test_each_expects_the_one_before(self, api: Api, session: str) -> None:
        items = [full(session, step) for step in range(100)]
        for step, item in enumerate(items[1:]):
            item.expected_latest.step = step
        assert {answer.saved.outcome for answer in await save_all(api, items)} == {CREATED}

    async def test_one_that_fails_has_those_that_build_on_it_fail(self, api: Api, session: str) -> None:
        items = [full(session, 0, "0"), grown(session, 2), grown(session, 3), grown(session, 1)]
        answers = await save_all(api, items)
        assert [error_of(answer).reason for answer in answers[1:3]] == ["UNKNOWN_BASE"] * 2
        assert contents(await latest(api, session)) == ["0", "1"]

    async def test_sessions_do_not_get_mixed_up(self, api: Api, session: str) -> None:
        names = [f"{session}{number}" for number in range(20)]
        items = [full(name, 0, name) for name in names]
        items += [grown(name, step) for step in range(1, 10) for name in names]
        assert {answer.saved.outcome for answer in await save_all(api, items)} == {CREATED}
        for name in names:
            assert contents(await latest(api, name)) == [name, *(str(step) for step in range(1, 10))]

    async def test_beside_unary_saves(self, api: Api, session: str) -> None:
        """What was answered is there for whoever saves next."""
        await save(api, checkpoint(session, 0, state=state("0")))
        await save_all(api, [grown(session, 1)])
        assert (await api.save(grown(session, 2))).outcome == CREATED
        assert contents(await load(api, session, f"{2:020d}")) == ["0", "1", "2"]
