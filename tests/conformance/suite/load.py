"""LoadLatest and Load: which checkpoint is given, and how much of it."""

from typing import Any

import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import (
    CHECKPOINT_VIEW_FULL,
    CHECKPOINT_VIEW_HEADER,
    CHECKPOINT_VIEW_UNSPECIFIED,
    LoadLatestRequest,
    LoadLatestResponse,
    LoadRequest,
    LoadResponse,
)
from tests.conformance.builders import (
    END,
    MAX_STEP,
    START,
    TAKEN_AT,
    assert_same,
    checkpoint,
    checkpoint_of,
    contents,
    full_checkpoint,
    latest,
    node,
    refused,
    save,
    state,
    values,
    write,
)
from tests.support.api import Api


def headers_of(whole: Checkpoint) -> Checkpoint:
    header = checkpoint_of()
    header.CopyFrom(whole)
    header.ClearField("state")
    return header


class TestLoadLatest:
    async def test_a_missing_session_is_no_error(self, api: Api, session: str) -> None:
        assert_same(await api.load_latest(LoadLatestRequest(session_id=session)), LoadLatestResponse())

    async def test_a_missing_namespace_is_no_error(self, api: Api, session: str) -> None:
        saved = await save(api, checkpoint(session))
        answer = await api.load_latest(LoadLatestRequest(session_id=session, namespace="other"))
        assert_same(answer, LoadLatestResponse(revision=saved.revision))

    async def test_a_session_of_a_subgraph_only(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, namespace="sub"))
        assert not (await api.load_latest(LoadLatestRequest(session_id=session))).HasField("checkpoint")
        assert (await latest(api, session, "sub")).step == 1

    async def test_tells_what_ran_and_when(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, ran_nodes=[node("a"), START], skipped_nodes=[END], updated_channels=["x"]))
        found = await latest(api, session)
        assert list(found.ran_nodes) == [node("a"), START]
        assert list(found.skipped_nodes) == [END]
        assert list(found.updated_channels) == ["x"]
        assert found.created_at == TAKEN_AT

    @pytest.mark.parametrize(
        "in_order",
        [
            ["1", "10", "9"],
            ["A", "B", "a", "b"],
            ["a", "a ", "aa", "b"],
            ["-", "_", "a"],
            ["Z", "z", "é", "ￏ", "🧵"],
            ["a\u00ad", "a\u200b"],
        ],
        ids=ascii,
    )
    async def test_the_greatest_id_is_the_latest_byte_by_byte(
        self, api: Api, session: str, in_order: list[str]
    ) -> None:
        for name in reversed(in_order):
            await save(api, checkpoint(session, checkpoint_id=name))
            assert (await latest(api, session)).checkpoint_id == in_order[-1]
        await save(api, checkpoint(session, 100, checkpoint_id=in_order[0]))
        assert (await latest(api, session)).checkpoint_id == in_order[-1]

    async def test_gives_pending_writes_and_the_revision(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 1), writes=[write(data=b"of 1")])
        saved = await save(api, checkpoint(session, 2), writes=[write(data=b"of 2")])
        answer = await api.load_latest(LoadLatestRequest(session_id=session))
        assert values(answer.pending_writes) == [b"of 2"]
        assert answer.revision == saved.revision


class TestLoad:
    async def test_by_id(self, api: Api, session: str) -> None:
        for name in ("a", "b", "c"):
            await save(api, checkpoint(session, checkpoint_id=name, state=state(name)))
        answer = await api.load(LoadRequest(session_id=session, checkpoint_id="b"))
        assert contents(answer.checkpoint) == ["b"]

    @pytest.mark.parametrize("step", [0, 1, 2**32, MAX_STEP])
    async def test_by_step(self, api: Api, session: str, step: int) -> None:
        await save(api, checkpoint(session, 5))
        await save(api, checkpoint(session, step))
        answer = await api.load(LoadRequest(session_id=session, step=step))
        assert (answer.checkpoint.step, answer.checkpoint.checkpoint_id) == (step, f"{step:020d}")

    async def test_by_step_gives_the_greatest_id_among_several(self, api: Api, session: str) -> None:
        default = f"{3:020d}"
        for name in ("", "0", "1", "00"):
            await save(api, checkpoint(session, 3, checkpoint_id=name))
        await save(api, checkpoint(session, 4, checkpoint_id="2"))
        found = (await api.load(LoadRequest(session_id=session, step=3))).checkpoint
        assert found.checkpoint_id == max("0", "1", "00", default)

    async def test_by_step_where_the_default_id_is_the_greatest(self, api: Api, session: str) -> None:
        for name in ("", "!", "0"):
            await save(api, checkpoint(session, 3, checkpoint_id=name))
        found = (await api.load(LoadRequest(session_id=session, step=3))).checkpoint
        assert found.checkpoint_id == f"{3:020d}"

    async def test_by_step_looks_at_steps_and_not_at_ids(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 4, checkpoint_id=f"{3:020d}"))
        assert (await api.load(LoadRequest(session_id=session, step=4))).checkpoint.step == 4
        assert (await refused(api.load(LoadRequest(session_id=session, step=3)))).reason == "CHECKPOINT_NOT_FOUND"

    async def test_by_step_after_the_step_was_changed(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 3, checkpoint_id="a"))
        await save(api, checkpoint(session, 4, checkpoint_id="a"))
        assert (await api.load(LoadRequest(session_id=session, step=4))).checkpoint.checkpoint_id == "a"
        assert (await refused(api.load(LoadRequest(session_id=session, step=3)))).reason == "CHECKPOINT_NOT_FOUND"

    async def test_by_step_keeps_to_its_namespace(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 3, checkpoint_id="in n", namespace="n"))
        await save(api, checkpoint(session, 3, checkpoint_id="in m", namespace="m"))
        found = await api.load(LoadRequest(session_id=session, namespace="m", step=3))
        assert found.checkpoint.checkpoint_id == "in m"
        assert (await refused(api.load(LoadRequest(session_id=session, step=3)))).reason == "CHECKPOINT_NOT_FOUND"

    @pytest.mark.parametrize(
        "request_fields", [{"checkpoint_id": "b"}, {"step": 2}, {"namespace": "n", "step": 1}], ids=str
    )
    async def test_a_missing_checkpoint_is_not_found(
        self, api: Api, session: str, request_fields: dict[str, Any]
    ) -> None:
        await save(api, checkpoint(session, 1))
        error = await refused(api.load(LoadRequest(session_id=session, **request_fields)))
        assert (error.code.name, error.reason) == ("NOT_FOUND", "CHECKPOINT_NOT_FOUND")
        assert error.metadata == {"session_id": session}
        assert error.detail("ResourceInfo").resource_name == session

    async def test_a_missing_session_is_not_found(self, api: Api, session: str) -> None:
        error = await refused(api.load(LoadRequest(session_id=session, step=1)))
        assert error.reason == "CHECKPOINT_NOT_FOUND"

    async def test_gives_pending_writes_and_the_revision(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 1), writes=[write(data=b"of 1")])
        saved = await save(api, checkpoint(session, 2), writes=[write(data=b"of 2")])
        answer = await api.load(LoadRequest(session_id=session, step=1))
        assert values(answer.pending_writes) == [b"of 1"]
        assert answer.revision == saved.revision


class TestView:
    async def test_headers_are_everything_but_the_state(self, api: Api, session: str) -> None:
        sent = full_checkpoint(session)
        await save(api, sent, writes=[write(data=b"w")])
        view = CHECKPOINT_VIEW_HEADER
        by_id = LoadRequest(session_id=session, namespace=sent.namespace, checkpoint_id=sent.checkpoint_id, view=view)
        by_step = LoadRequest(session_id=session, namespace=sent.namespace, step=sent.step, view=view)
        answers: list[LoadResponse | LoadLatestResponse] = [await api.load(by_id), await api.load(by_step)]
        answers.append(
            await api.load_latest(LoadLatestRequest(session_id=session, namespace=sent.namespace, view=view))
        )
        for answer in answers:
            assert_same(answer.checkpoint, headers_of(sent))
            assert values(answer.pending_writes) == [b"w"]

    @pytest.mark.parametrize("view", [CHECKPOINT_VIEW_UNSPECIFIED, CHECKPOINT_VIEW_FULL])
    async def test_full_is_the_default(self, api: Api, session: str, view: int) -> None:
        sent = full_checkpoint(session)
        await save(api, sent)
        request = LoadLatestRequest(session_id=session, namespace=sent.namespace, view=view)  # type: ignore[arg-type]
        assert_same((await api.load_latest(request)).checkpoint, sent)
