"""Save: what it stores, under which id, and what it says it did."""

from typing import Any

import pytest

from lockstitch.v1.checkpoint_pb2 import VersionedState
from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_CREATED,
    SAVE_OUTCOME_REPLACED,
    SAVE_OUTCOME_UNCHANGED,
    LoadRequest,
)
from tests.conformance.builders import (
    MAX_STEP,
    TAKEN_AT,
    assert_same,
    blob,
    checkpoint,
    checkpoint_of,
    contents,
    extras,
    full_checkpoint,
    ids,
    latest,
    load,
    node,
    page,
    revision,
    save,
    state,
    state_of,
    summary,
)
from tests.support.api import Api


class TestSave:
    async def test_every_field_comes_back(self, api: Api, session: str) -> None:
        sent = full_checkpoint(session)
        await save(api, sent)
        by_step = LoadRequest(session_id=session, namespace=sent.namespace, step=sent.step)
        assert_same(await latest(api, session, sent.namespace), sent)
        assert_same(await load(api, session, sent.checkpoint_id, sent.namespace), sent)
        assert_same((await api.load(by_step)).checkpoint, sent)
        assert_same((await page(api, session)).checkpoints[0], sent)

    async def test_answers_what_it_did(self, api: Api, session: str) -> None:
        first = await save(api, checkpoint(session))
        second = await save(api, checkpoint(session, 2))
        assert [first.outcome, second.outcome] == [SAVE_OUTCOME_CREATED] * 2
        assert 0 < first.revision < second.revision
        assert first.saved_at.ToNanoseconds() < second.saved_at.ToNanoseconds()

    @pytest.mark.parametrize("step", [0, 1, 12_345, MAX_STEP])
    async def test_an_id_left_out_is_made_from_the_step(self, api: Api, session: str, step: int) -> None:
        answer = await save(api, checkpoint(session, step))
        assert answer.checkpoint_id == f"{step:020d}"
        assert_same(await latest(api, session), checkpoint(session, step, checkpoint_id=f"{step:020d}"))

    @pytest.mark.parametrize("name", ["a", "1f0b-UUID", "with space", "é🧵", "x" * 128, "%", "_"])
    async def test_an_id_can_be_chosen(self, api: Api, session: str, name: str) -> None:
        sent = checkpoint(session, 4, checkpoint_id=name)
        assert (await save(api, sent)).checkpoint_id == name
        assert_same(await load(api, session, name), sent)

    async def test_a_time_left_out_is_that_of_the_save(self, api: Api, session: str) -> None:
        sent = checkpoint(session)
        sent.ClearField("created_at")
        answer = await save(api, sent)
        again = await save(api, sent)
        assert again.outcome == SAVE_OUTCOME_UNCHANGED
        assert (await latest(api, session)).created_at == answer.saved_at == again.saved_at

    async def test_the_time_of_the_client_is_kept(self, api: Api, session: str) -> None:
        answer = await save(api, checkpoint(session))
        assert (await latest(api, session)).created_at == TAKEN_AT != answer.saved_at

    async def test_a_state_left_out_stays_out(self, api: Api, session: str) -> None:
        sent = checkpoint(session, checkpoint_id="a")
        sent.ClearField("state")
        await save(api, sent)
        assert_same(await latest(api, session), sent)

    async def test_steps_saved_out_of_order_never_move_the_latest_back(self, api: Api, session: str) -> None:
        for step in (1, 5, 3, 4, 2):
            await save(api, checkpoint(session, step))
        assert (await latest(api, session)).step == 5
        assert await ids(api, session) == [f"{step:020d}" for step in (5, 4, 3, 2, 1)]

    async def test_every_step_of_a_growing_session_can_be_loaded(self, api: Api, session: str) -> None:
        said = [f"{number} {'x' * 300}" for number in range(40)]
        for step in range(len(said)):
            await save(api, checkpoint(session, step, state=state(*said[:step], extra=extras(now=str(step)))))
        for step in (0, 1, 13, 39):
            loaded = await load(api, session, f"{step:020d}")
            assert contents(loaded) == said[:step]
            assert dict(loaded.state.extra.entries) == {"now": str(step)}

    async def test_a_growing_session_stores_what_is_new(self, api: Api, session: str) -> None:
        said = [f"{number} {'x' * 300}" for number in range(40)]
        for step in range(len(said)):
            await save(api, checkpoint(session, step, state=state(*said[: step + 1])))
        assert (await summary(api, session)).stored_bytes < 1.2 * 300 * 40 + 400 * 40

    async def test_a_state_may_shrink_and_grow_again(self, api: Api, session: str) -> None:
        said = [f"{number} {'x' * 300}" for number in range(20)]
        lengths = [20, 7, 20, 3, 4, 20]
        for step, length in enumerate(lengths):
            await save(api, checkpoint(session, step, state=state(*said[:length])))
        for step, length in enumerate(lengths):
            assert contents(await load(api, session, f"{step:020d}")) == said[:length]

    async def test_branches_do_not_mix(self, api: Api, session: str) -> None:
        root = [f"{number} {'x' * 300}" for number in range(5)]
        await save(api, checkpoint(session, 0, checkpoint_id="root", state=state(*root)))
        for name in ("left", "right"):
            for step in (1, 2, 3):
                parent = f"{name} {step - 1}" if step > 1 else "root"
                more = [f"{name} {number} {'y' * 300}" for number in range(step)]
                branch = {"checkpoint_id": f"{name} {step}", "parent_id": parent, "state": state(*root, *more)}
                await save(api, checkpoint(session, step, **branch))
        for name in ("left", "right"):
            found = await load(api, session, f"{name} 3")
            assert contents(found) == root + [f"{name} {number} {'y' * 300}" for number in range(3)]

    @pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1899, 1900, 1901, 3999, 4000, 4001, 8000, 1_000_000])
    async def test_values_of_any_size(self, api: Api, session: str, size: int) -> None:
        text, data = "m" * size, b"\0" * size
        fields: dict[str, Any] = {"extra": extras(key=f'"{text}"'), "custom": {"c": {"blob": blob(data)}}}
        sent = checkpoint(session, checkpoint_id="a", state=state(text, **fields))
        await save(api, sent)
        assert_same(await latest(api, session), sent)

    async def test_sessions_and_namespaces_are_apart(self, api: Api, session: str) -> None:
        places = [(session, ""), (session, "a"), (session, "A"), (session, "a/b"), (session + "2", "")]
        for name, namespace in places:
            await save(api, checkpoint(name, namespace=namespace, state=state(name, namespace)))
        for name, namespace in places:
            assert contents(await latest(api, name, namespace)) == [name, namespace]


OTHER_FIELDS: dict[str, Any] = {
    "parent_id": "other",
    "step": 2,
    "state": state("hello"),
    "frontier": [node("n")],
    "versions_seen": {"n": {"versions": {"c": 1}}},
    "concurrency_limit": 2,
    "created_at": {"seconds": TAKEN_AT.seconds, "nanos": TAKEN_AT.nanos + 1},
    "ran_nodes": [node("n")],
    "skipped_nodes": [node("n")],
    "updated_channels": ["c"],
    "metadata": {"k": "1"},
    "header": blob(),
}


class TestSaveAgain:
    async def test_the_same_changes_nothing(self, api: Api, session: str) -> None:
        sent = full_checkpoint(session)
        first = await save(api, sent)
        before = await summary(api, session)
        again = await save(api, sent)
        assert again.outcome == SAVE_OUTCOME_UNCHANGED
        assert (again.checkpoint_id, again.revision, again.saved_at) == (
            first.checkpoint_id,
            first.revision,
            first.saved_at,
        )
        assert await summary(api, session) == before

    async def test_the_same_after_the_session_has_grown(self, api: Api, session: str) -> None:
        said = ["x" * 500, "y" * 500, "z" * 500]
        first = await save(api, checkpoint(session, 1, state=state(said[0])))
        await save(api, checkpoint(session, 2, state=state(*said[:2])))
        await save(api, checkpoint(session, 3, state=state(*said)))
        again = await save(api, checkpoint(session, 1, state=state(said[0])))
        assert (again.outcome, again.revision) == (SAVE_OUTCOME_UNCHANGED, first.revision)
        assert contents(await latest(api, session)) == said

    async def test_the_same_under_a_step_or_its_id(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 3))
        again = await save(api, checkpoint(session, 3, checkpoint_id=f"{3:020d}"))
        assert again.outcome == SAVE_OUTCOME_UNCHANGED

    @pytest.mark.parametrize("field", OTHER_FIELDS)
    async def test_other_content_replaces(self, api: Api, session: str, field: str) -> None:
        first = await save(api, checkpoint(session, checkpoint_id="a"))
        other = checkpoint(session, **{"checkpoint_id": "a", field: OTHER_FIELDS[field]})
        second = await save(api, other)
        assert second.outcome == SAVE_OUTCOME_REPLACED
        assert second.revision > first.revision
        assert_same(await latest(api, session), other)
        assert (await save(api, other)).outcome == SAVE_OUTCOME_UNCHANGED

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            pytest.param(None, state_of(), id="no state, empty state"),
            pytest.param(state_of(), None, id="empty state, no state"),
            pytest.param(state_of(), state_of(messages={}), id="no channel, empty channel"),
            pytest.param(state_of(extra={}), state_of(), id="empty channel, no channel"),
            pytest.param(state("a", "b"), state("ab"), id="two messages, one"),
            pytest.param(state("a", "b"), state("b", "a"), id="other order"),
            pytest.param(state(extra=extras(k="1")), state(extra=extras(k="1.0")), id="other text, equal value"),
            pytest.param(state(extra=extras(k="1")), state(extra=extras(j="1")), id="other key"),
            pytest.param(state(extra=extras(1)), state(extra=extras(2)), id="other version"),
            pytest.param(
                state_of(custom={"c": {"blob": blob(b"")}}),
                state_of(custom={"c": {}}),
                id="empty blob, none",
            ),
            pytest.param(state_of(custom={"c": {"list": {}}}), state_of(custom={"c": {}}), id="empty list, none"),
            pytest.param(
                state_of(custom={"c": {"list": {"items": [{}]}}}),
                state_of(custom={"c": {"list": {}}}),
                id="list of an empty item, empty list",
            ),
        ],
    )
    async def test_small_differences_count(
        self, api: Api, session: str, before: VersionedState | None, after: VersionedState | None
    ) -> None:
        for number, content in enumerate((before, after)):
            sent = checkpoint_of(session_id=session, checkpoint_id="a", state=content, created_at=TAKEN_AT)
            outcome = (await save(api, sent)).outcome
            assert outcome == (SAVE_OUTCOME_REPLACED if number else SAVE_OUTCOME_CREATED)
            assert_same(await latest(api, session), sent)

    async def test_what_is_replaced_is_gone_and_its_neighbours_stay(self, api: Api, session: str) -> None:
        for step in (1, 2, 3):
            await save(api, checkpoint(session, step, state=state(*"x" * step), metadata={"n": str(step)}))
        await save(api, checkpoint(session, 2, state=state("other"), metadata={"n": "0"}))
        assert [contents(found) for found in (await page(api, session)).checkpoints] == [["x"] * 3, ["other"], ["x"]]
        assert await ids(api, session, metadata={"n": "2"}) == []
        assert (await summary(api, session)).checkpoint_count == 3

    async def test_back_to_the_first_content_is_a_replacement(self, api: Api, session: str) -> None:
        one, two = (checkpoint(session, state=state(text * 500)) for text in "ab")
        outcomes = [(await save(api, each)).outcome for each in (one, two, one)]
        assert outcomes == [SAVE_OUTCOME_CREATED, SAVE_OUTCOME_REPLACED, SAVE_OUTCOME_REPLACED]
        assert contents(await latest(api, session)) == ["a" * 500]

    async def test_only_changes_make_the_revision_grow(self, api: Api, session: str) -> None:
        before = await save(api, checkpoint(session))
        await save(api, checkpoint(session))
        assert await revision(api, session) == before.revision
        after = await save(api, checkpoint(session, 2))
        assert await revision(api, session) == after.revision > before.revision
