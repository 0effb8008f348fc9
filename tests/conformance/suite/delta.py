"""Save with a delta: the state is the base's with the delta applied, as if it had been sent whole."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message as ProtobufMessage

from lockstitch.v1.checkpoint_pb2 import Checkpoint, StateDelta, VersionedState
from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    SAVE_OUTCOME_REPLACED,
    SAVE_OUTCOME_UNCHANGED,
    SaveRequest,
    SaveResponse,
)
from tests.client.reference import apply
from tests.conformance.builders import (
    MAX_U32,
    TAKEN_AT,
    add_unknown_field,
    assert_same,
    blob,
    blobs,
    checkpoint,
    checkpoint_of,
    contents,
    delta_of,
    exactly,
    extras,
    failed,
    full_state,
    latest,
    load,
    refused,
    revision,
    said,
    save,
    save_request,
    state,
    state_of,
    summary,
)
from tests.conformance.session_builders import ask
from tests.support.api import Api

LONG = "x" * 500


def more(*contents: str, version: int = 2) -> StateDelta:
    return delta_of(messages={"version": version, "append": said(*contents).items})


def after(session: str, delta: StateDelta, base: str = "base", **fields: Any) -> SaveRequest:
    """A save of checkpoint "next": the base with the delta."""
    names = {"checkpoint_id": "next", "step": 2} | {
        name: fields.pop(name) for name in list(fields) if name in Checkpoint.DESCRIPTOR.fields_by_name
    }
    made = checkpoint_of(session_id=session, created_at=TAKEN_AT, **names)
    return save_request(checkpoint=made, base_checkpoint_id=base, delta=delta, **fields)


async def save_base(api: Api, session: str, base: VersionedState | None = None) -> SaveResponse:
    return await save(api, checkpoint(session, checkpoint_id="base", state=base or state("hi")))


CHANGES: dict[str, StateDelta] = {
    "nothing": delta_of(),
    "messages": more("more", LONG),
    "only a version": more(version=MAX_U32),
    "errors": delta_of(errors={"version": 9, "append": failed("e", LONG).items}),
    "extra": delta_of(extra={"version": 3, "set": {"number": "2", "new": f'"{LONG}"'}, "remove": ["object", "none"]}),
    "extra as it was": delta_of(extra={"version": 2, "set": {"number": "12345678901234567890"}}),
    "extra emptied": delta_of(extra={"version": 3, "remove": ["number", "object"]}),
    "blob": delta_of(custom={"blob": {"version": "2", "blob": blob(b"z" * 500)}}),
    "list": delta_of(custom={"list": {"version": "2", "list": blobs(b"one", b"two")}}),
    "list, appended to": delta_of(custom={"list": {"version": "2", "append": blobs(b"z" * 500, b"")}}),
    "list, nothing appended": delta_of(custom={"list": {"version": "3", "append": blobs()}}),
    "blob to list": delta_of(custom={"blob": {"version": "2", "list": blobs(b"a")}}),
    "list to blob": delta_of(custom={"list": {"version": "2", "blob": blob()}}),
    "value for none": delta_of(custom={"no value": {"version": "4", "blob": blob()}}),
    "list for none": delta_of(custom={"no value": {"version": "4", "append": blobs(b"a", b"b")}}),
    "versions of custom channels": delta_of(custom={name: {"version": "9"} for name in ("blob", "list", "no value")}),
    "new custom channels": delta_of(
        custom={
            "n1": {"version": "1", "blob": blob()},
            "n2": {"version": "1", "list": blobs(b"")},
            "n3": {"version": "1", "append": blobs(b"")},
            "n4": {"version": "1"},
        }
    ),
    "removed custom channels": delta_of(removed_custom=["blob", "no value", "never there"]),
    "everything": delta_of(
        messages=more(LONG).messages,
        errors={"append": failed("e").items},
        extra={"set": {"n": "1"}},
        custom={"list": {"append": blobs(b"a")}},
        removed_custom=["blob"],
    ),
}


class TestDelta:
    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("base", [full_state(), state_of()], ids=["full", "empty"])
    async def test_makes_the_new_state(self, api: Api, session: str, base: VersionedState, change: str) -> None:
        await save_base(api, session, base)
        request = after(session, CHANGES[change])
        assert (await api.save(request)).outcome == SAVE_OUTCOME_CREATED
        assert_same((await load(api, session, "next")).state, apply(base, CHANGES[change]))
        assert_same((await load(api, session, "base")).state, base)

    @pytest.mark.parametrize("change", CHANGES)
    async def test_is_the_same_as_the_whole(self, api: Api, session: str, change: str) -> None:
        await save_base(api, session, full_state())
        request = after(session, CHANGES[change])
        first = await api.save(request)
        whole = request.checkpoint
        whole.state.CopyFrom(apply(full_state(), CHANGES[change]))
        again = await save(api, whole)
        assert (again.outcome, again.revision) == (SAVE_OUTCOME_UNCHANGED, first.revision)

    @pytest.mark.parametrize("change", CHANGES)
    async def test_the_whole_is_the_same_as_it(self, api: Api, session: str, change: str) -> None:
        await save_base(api, session, full_state())
        request = after(session, CHANGES[change])
        whole = checkpoint_of()
        whole.CopyFrom(request.checkpoint)
        whole.state.CopyFrom(apply(full_state(), CHANGES[change]))
        first = await save(api, whole)
        again = await api.save(request)
        assert (again.outcome, again.revision) == (SAVE_OUTCOME_UNCHANGED, first.revision)

    async def test_stores_the_rest_of_the_checkpoint_as_it_is(self, api: Api, session: str) -> None:
        await save_base(api, session)
        fields: dict[str, Any] = {"parent_id": "base", "concurrency_limit": 3, "metadata": {"k": "1"}}
        request = after(session, more("more"), **fields)
        await api.save(request)
        request.checkpoint.state.CopyFrom(state("hi", "more"))
        request.checkpoint.state.messages.version = 2
        assert_same(await load(api, session, "next"), request.checkpoint)

    async def test_again_changes_nothing(self, api: Api, session: str) -> None:
        await save_base(api, session)
        first = await api.save(after(session, more(LONG)))
        before = await summary(api, session)
        again = await api.save(after(session, more(LONG)))
        assert (again.outcome, again.revision, again.saved_at) == (
            SAVE_OUTCOME_UNCHANGED,
            first.revision,
            first.saved_at,
        )
        assert await summary(api, session) == before

    async def test_again_after_the_session_has_grown(self, api: Api, session: str) -> None:
        await save_base(api, session, state(LONG))
        first = await api.save(after(session, more(LONG)))
        await api.save(after(session, more(LONG, version=3), "next", checkpoint_id="third", step=3))
        again = await api.save(after(session, more(LONG)))
        assert (again.outcome, again.revision) == (SAVE_OUTCOME_UNCHANGED, first.revision)
        assert contents(await load(api, session, "next")) == [LONG] * 2
        assert contents(await load(api, session, "third")) == [LONG] * 3

    async def test_other_content_replaces(self, api: Api, session: str) -> None:
        await save_base(api, session)
        await api.save(after(session, more("one")))
        second = await api.save(after(session, more("two")))
        assert second.outcome == SAVE_OUTCOME_REPLACED
        assert contents(await load(api, session, "next")) == ["hi", "two"]

    async def test_again_on_a_base_that_was_replaced_is_other_content(self, api: Api, session: str) -> None:
        await save_base(api, session)
        await api.save(after(session, more("more")))
        await save_base(api, session, state("replaced"))
        assert (await api.save(after(session, more("more")))).outcome == SAVE_OUTCOME_REPLACED
        assert contents(await load(api, session, "next")) == ["replaced", "more"]

    async def test_replacing_the_base_leaves_what_was_made_of_it(self, api: Api, session: str) -> None:
        await save_base(api, session, state(LONG))
        await api.save(after(session, more(LONG)))
        await save_base(api, session, state("replaced"))
        assert contents(await load(api, session, "next")) == [LONG, LONG]

    async def test_appended_bytes_may_be_any(self, api: Api, session: str) -> None:
        """Also where a row of a log ends within what would be a character."""
        pieces = [bytes(range(256)) * 9, "🧵".encode() * 601, b"\0" * 2000, b"\xff" * 2001]
        await save_base(api, session, state_of(custom={"c": {"list": blobs(pieces[0])}}))
        for number, piece in enumerate(pieces[1:]):
            delta = delta_of(custom={"c": {"append": blobs(piece)}})
            await api.save(after(session, delta, f"{number - 1}" if number else "base", checkpoint_id=f"{number}"))
        assert list((await load(api, session, "2")).state.custom["c"].list.items) == list(blobs(*pieces).items)

    async def test_two_on_one_base_do_not_mix(self, api: Api, session: str) -> None:
        await save_base(api, session, state(LONG))
        for name in ("left", "right"):
            await api.save(after(session, more(name * 100), checkpoint_id=name))
            await api.save(after(session, more(name), name, checkpoint_id=f"{name} 2", step=3))
        for name in ("left", "right"):
            assert contents(await load(api, session, f"{name} 2")) == [LONG, name * 100, name]

    async def test_a_long_chain(self, api: Api, session: str) -> None:
        await save_base(api, session, state_of())
        texts = [f"{number} {'x' * 200}" for number in range(60)]
        for number, text in enumerate(texts):
            base = f"{number - 1}" if number else "base"
            await api.save(after(session, more(text), base, checkpoint_id=f"{number}", step=number))
        for number in (0, 1, 30, 59):
            assert contents(await load(api, session, f"{number}")) == texts[: number + 1]
        assert (await summary(api, session)).stored_bytes < 1.2 * 200 * 60 + 400 * 60

    async def test_on_a_base_of_its_own_namespace(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="base", namespace="n", state=state("in n")))
        await api.save(after(session, more("more"), namespace="n"))
        assert contents(await latest(api, session, "n")) == ["in n", "more"]
        error = await refused(api.save(after(session, more("more"))))
        assert error.reason == "UNKNOWN_BASE"

    async def test_on_the_checkpoint_that_it_replaces(self, api: Api, session: str) -> None:
        await save_base(api, session)
        request = after(session, more("more"), checkpoint_id="base")
        outcomes = [(await api.save(request)).outcome for _ in range(2)]
        assert outcomes == [SAVE_OUTCOME_REPLACED, SAVE_OUTCOME_UNCHANGED]
        assert contents(await load(api, session, "base")) == ["hi", "more"]

    async def test_on_a_base_without_a_state(self, api: Api, session: str) -> None:
        await save(api, checkpoint_of(session_id=session, checkpoint_id="base"))
        await api.save(after(session, more("first")))
        assert contents(await load(api, session, "next")) == ["first"]

    async def test_on_a_base_of_the_revision_that_is_expected(self, api: Api, session: str) -> None:
        base = await save_base(api, session)
        await save(api, checkpoint(session, checkpoint_id="other"))
        await api.save(after(session, more("more"), base_revision=base.revision))
        assert contents(await load(api, session, "next")) == ["hi", "more"]


class TestDeltaThatDoesNotFit:
    async def test_on_an_unknown_base(self, api: Api, session: str) -> None:
        await save_base(api, session)
        before = await revision(api, session)
        error = await refused(api.save(after(session, more("more"), "unknown")))
        assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "UNKNOWN_BASE")
        assert error.metadata == {"base_checkpoint_id": "unknown"}
        (violation,) = error.detail("PreconditionFailure").violations
        assert (violation.type, violation.description) == ("UNKNOWN_BASE", error.message)
        assert "'unknown'" in error.message
        assert await revision(api, session) == before

    async def test_in_an_unknown_session(self, api: Api, session: str) -> None:
        assert (await refused(api.save(after(session, more("more"))))).reason == "UNKNOWN_BASE"
        assert await revision(api, session) == 0

    async def test_on_a_base_that_was_replaced(self, api: Api, session: str) -> None:
        base = await save_base(api, session)
        await save_base(api, session, state("replaced"))
        before = await revision(api, session)
        error = await refused(api.save(after(session, more("more"), base_revision=base.revision)))
        assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "BASE_CHANGED")
        assert error.metadata == {"base_checkpoint_id": "base"}
        assert await revision(api, session) == before

    async def test_the_same_changes_on_another_content_of_the_base(self, api: Api, session: str) -> None:
        """They are no repetition, even if the base is gone: the checkpoint that is there has other content."""
        base = await save_base(api, session)
        request = after(session, more("more"), base_revision=base.revision)
        await api.save(request)
        assert (await api.save(request)).outcome == SAVE_OUTCOME_UNCHANGED
        other = after(session, more("more"), base_revision=base.revision + 777)
        error = await refused(api.save(other))
        assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "BASE_CHANGED")
        await ask(api, "PruneSessions", session_ids=[session], retention={"keep_last": 1})
        assert (await api.save(request)).outcome == SAVE_OUTCOME_UNCHANGED
        error = await refused(api.save(other))
        assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "UNKNOWN_BASE")

    async def test_appends_to_a_blob(self, api: Api, session: str) -> None:
        await save_base(api, session, full_state())
        before = await revision(api, session)
        delta = delta_of(custom={"blob": {"version": "2", "append": blobs(b"a")}})
        error = await refused(api.save(after(session, delta)))
        assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "DELTA_MISMATCH")
        assert "blob" in error.message
        assert await revision(api, session) == before

    @pytest.mark.parametrize(
        "place",
        [
            lambda delta: delta,
            lambda delta: delta.messages,
            lambda delta: delta.errors,
            lambda delta: delta.extra,
            lambda delta: delta.custom["c"],
            lambda delta: delta.custom["c"].append,
        ],
        ids=["delta", "messages", "errors", "extra", "custom", "append"],
    )
    async def test_holds_a_field_that_nobody_knows(
        self, api: Api, session: str, place: Callable[[StateDelta], ProtobufMessage]
    ) -> None:
        await save_base(api, session)
        before = await revision(api, session)
        delta = delta_of(messages={}, errors={}, extra={}, custom={"c": {"append": {}}})
        add_unknown_field(place(delta))
        error = await refused(api.save(after(session, delta)))
        assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "DELTA_MISMATCH")
        assert error.metadata["field"] in error.message
        assert await revision(api, session) == before

    async def test_unknown_fields_of_what_is_appended_are_kept(self, api: Api, session: str) -> None:
        await save_base(api, session, state_of())
        delta = delta_of(
            messages=more("m").messages,
            errors={"append": failed("e").items},
            custom={"list": {"append": blobs(b"a")}, "blob": {"blob": blob()}, "whole": {"list": blobs(b"a")}},
        )
        custom = delta.custom
        new = [delta.messages.append[0], delta.errors.append[0], custom["list"].append.items[0], custom["blob"].blob]
        for message in [*new, custom["whole"].list, custom["whole"].list.items[0]]:
            add_unknown_field(message)
        await api.save(after(session, delta))
        assert exactly((await load(api, session, "next")).state) == exactly(apply(state_of(), delta))

    @pytest.mark.parametrize("change", [{"append": blobs(b"b")}, {"blob": blob()}, {"list": blobs()}, {}], ids=list)
    async def test_unknown_fields_of_the_base_are_kept(self, api: Api, session: str, change: dict[str, Any]) -> None:
        base = state("hi", extra=extras(), errors=failed(), custom={"list": {"list": blobs(b"a")}})
        shells = [base, base.messages, base.extra, base.errors, base.custom["list"], base.custom["list"].list]
        for message in shells:
            add_unknown_field(message)
        await save_base(api, session, base)
        delta = delta_of(
            messages=more("m").messages,
            errors={"append": failed("e").items},
            extra={"set": {"k": "1"}},
            custom={"list": {"version": "2"} | change},
        )
        await api.save(after(session, delta))
        assert exactly((await load(api, session, "next")).state) == exactly(apply(base, delta))
