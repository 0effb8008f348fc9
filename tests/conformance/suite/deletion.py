"""Sessions deleted, rewound, or rid of some of their checkpoints."""

import asyncio

import pytest

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, LoadLatestResponse, SaveWritesRequest
from tests.conformance.builders import (
    blob,
    checkpoint,
    contents,
    ids,
    latest,
    node,
    page,
    pending,
    refused,
    save,
    save_request,
    sessions_request,
    state,
    summary,
    values,
    write,
)
from tests.conformance.session_builders import MINUTE, acquire, ask, delete, delete_found, get, rewind, update
from tests.support.api import Api

NOW = {"seconds": 0}


async def saved(api: Api, session: str, *names: int, **fields: object) -> None:
    """Checkpoints whose messages grow."""
    for name in names:
        said = state(*(f"message {number} " * 40 for number in range(name)))
        await save(api, checkpoint(session, name, checkpoint_id=f"{name}", state=said, **fields))


class TestDeleteSessions:
    async def test_leaves_nothing_to_be_seen(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, ran_nodes=[node(session)])
        assert await delete(api, session) == 1
        assert (await refused(get(api, session))).reason == "SESSION_NOT_FOUND"
        assert await api.load_latest(LoadLatestRequest(session_id=session)) == LoadLatestResponse()
        assert await ids(api, session) == []
        assert not (await api.list_sessions(sessions_request(session_id_prefix=session))).sessions
        assert not (await page(api, "", ran_node=node(session))).checkpoints

    async def test_skips_what_is_not_there(self, api: Api, session: str) -> None:
        names = [f"{session}{number}" for number in range(40)]
        for name in names[::2]:
            await save(api, checkpoint(name))
        assert await delete(api, *names, names[0]) == 20
        assert await delete(api, *names) == 0

    async def test_late_saves_do_not_bring_it_back(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        await delete(api, session)
        late = save_request(checkpoint={"session_id": session, "checkpoint_id": "2"}, base_checkpoint_id="1", delta={})
        written = SaveWritesRequest(session_id=session, checkpoint_id="1", writes=[write()])
        for call in (
            save(api, checkpoint(session)),
            save(api, checkpoint(session, 2)),
            api.save(late),
            api.save_writes(written),
            acquire(api, session),
        ):
            error = await refused(call)
            assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "SESSION_DELETED")
            assert error.metadata["session_id"] == session
            assert error.metadata["until"].endswith("Z")
            assert error.detail("PreconditionFailure").violations[0].type == "SESSION_DELETED"
        assert (await refused(update(api, session))).reason == "SESSION_NOT_FOUND"
        assert (await refused(rewind(api, session, "1"))).reason == "CHECKPOINT_NOT_FOUND"

    async def test_can_be_begun_anew_when_that_is_wanted(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, 3, ran_nodes=[node(session)])
        await update(api, session, set_labels={"a": "b"}, retention={"keep_last": 1}, ttl=MINUTE)
        before = await get(api, session)
        await delete(api, session, tombstone=NOW)
        await save(api, checkpoint(session, 2, checkpoint_id="2"), expected_latest={"none": True})
        after = await get(api, session)
        assert (after.session.checkpoint_count, dict(after.session.labels)) == (1, {})
        assert after.session.revision > before.session.revision
        assert after.session.stored_bytes < 500
        assert not after.HasField("retention")
        assert not after.HasField("ttl")
        assert await ids(api, session) == ["2"]
        assert await ids(api, session, ran_node=node(session)) == []

    async def test_can_be_begun_anew_when_the_time_is_over(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        await delete(api, session, tombstone={"nanos": 400_000_000})
        for _ in range(100):
            try:
                await save(api, checkpoint(session, 2))
                break
            except Exception:
                await asyncio.sleep(0.1)
        assert (await summary(api, session)).checkpoint_count == 1

    async def test_wins_over_a_lease(self, api: Api, session: str) -> None:
        token = await acquire(api, session)
        await save(api, checkpoint(session), lease_token=token)
        assert await delete(api, session) == 1
        assert (await refused(save(api, checkpoint(session, 2), lease_token=token))).reason == "SESSION_DELETED"

    async def test_deletes_sessions_with_many_checkpoints(self, api: Api, session: str) -> None:
        await asyncio.gather(*(save(api, checkpoint(session, step)) for step in range(1100)))
        assert await delete(api, session, tombstone=NOW) == 1
        await save(api, checkpoint(session, 7))
        assert len(await ids(api, session, page_size=1000)) == 1

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"session_ids": []}, "session_ids"),
            ({"session_ids": [""]}, "session_ids[0]"),
            ({"session_ids": ["a"] * 1001}, "session_ids"),
            ({"session_ids": ["a"], "tombstone": {"seconds": -1}}, "tombstone"),
            ({"session_ids": ["a"], "tombstone": {"seconds": 366 * 86_400 + 1}}, "tombstone"),
        ],
        ids=range(5),
    )
    async def test_must_make_sense(self, api: Api, fields: dict[str, object], field: str) -> None:
        error = await refused(ask(api, "DeleteSessions", **fields))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", field)


class TestRewind:
    async def test_deletes_what_came_after(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, 3, 4)
        before = await summary(api, session)
        answer = await ask(api, "DeleteCheckpoints", session_id=session, after={"checkpoint_id": "2"})
        assert answer.deleted == 2
        assert await ids(api, session) == ["2", "1"]
        assert len(contents(await latest(api, session))) == 2
        after = await summary(api, session)
        assert (after.checkpoint_count, after.latest_step, after.revision) == (2, 2, answer.revision)
        assert after.revision > before.revision
        assert await rewind(api, session, "2") == 0
        assert (await summary(api, session)).revision == after.revision

    async def test_the_session_goes_on_from_there(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, 3)
        await rewind(api, session, "1")
        said = state("message 0 " * 40, "another " * 50)
        await save(api, checkpoint(session, 2, checkpoint_id="2", state=said), expected_latest={"step": 1})
        assert contents(await latest(api, session)) == ["message 0 " * 40, "another " * 50]
        request = save_request(checkpoint={"session_id": session, "checkpoint_id": "4"}, delta={})
        request.base_checkpoint_id = "3"
        assert (await refused(api.save(request))).reason == "UNKNOWN_BASE"

    async def test_a_delta_goes_on_from_there(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, 3)
        await rewind(api, session, "1")
        request = save_request(checkpoint={"session_id": session, "checkpoint_id": "2"}, base_checkpoint_id="1")
        request.delta.messages.append.add(role="user", content="new")
        await api.save(request)
        assert contents(await latest(api, session)) == ["message 0 " * 40, "new"]

    async def test_other_namespaces_lose_what_was_written_later(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 9, namespace="inner"))
        await save(api, checkpoint(session, 1, checkpoint_id="1"))
        await save(api, checkpoint(session, 1, namespace="inner"))
        await save(api, checkpoint(session, 2, checkpoint_id="2"))
        assert await rewind(api, session, "1") == 2
        assert await ids(api, session, namespace="inner") == [f"{9:020d}"]
        assert await ids(api, session, namespace="") == ["1"]

    async def test_pending_writes_go_too(self, api: Api, session: str) -> None:
        for name in ("1", "2", "3"):
            await save(api, checkpoint(session, int(name), checkpoint_id=name), writes=[write(data=b"old" * 50)])
        early = SaveWritesRequest(session_id=session, checkpoint_id="4", writes=[write(data=b"early")])
        await api.save_writes(early)
        await rewind(api, session, "2")
        for name in ("3", "4"):
            await save(api, checkpoint(session, int(name), checkpoint_id=name))
            assert await pending(api, session, name) == []
        assert values(await pending(api, session, "2")) == [b"old" * 50]

    async def test_bytes_are_given_back(self, api: Api, session: str) -> None:
        big = {"custom": {"big": {"version": "1", "blob": blob(b"x" * 5000)}}}
        await save(api, checkpoint(session, 1, checkpoint_id="1", state=state("a")))
        small = (await summary(api, session)).stored_bytes
        await save(api, checkpoint(session, 2, checkpoint_id="2", state=state("b", **big)), writes=[write(data=b"y")])
        assert (await summary(api, session)).stored_bytes > small + 5000
        await rewind(api, session, "1")
        assert (await summary(api, session)).stored_bytes == small

    async def test_needs_the_checkpoint(self, api: Api, session: str) -> None:
        assert (await refused(rewind(api, session, "1"))).reason == "CHECKPOINT_NOT_FOUND"
        await saved(api, session, 1, 3)
        assert (await refused(rewind(api, session, "2"))).reason == "CHECKPOINT_NOT_FOUND"
        assert (await refused(rewind(api, session, "1", "inner"))).reason == "CHECKPOINT_NOT_FOUND"
        assert await ids(api, session) == ["3", "1"]

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"session_id": "s"}, "which"),
            ({"after": {"checkpoint_id": "1"}}, "session_id"),
            ({"session_id": "s", "after": {}}, "after.checkpoint_id"),
            ({"session_id": "s", "metadata": {}}, "metadata.entries"),
        ],
        ids=range(4),
    )
    async def test_must_make_sense(self, api: Api, fields: dict[str, object], field: str) -> None:
        error = await refused(ask(api, "DeleteCheckpoints", **fields))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", field)


class TestDeleteByMetadata:
    async def test_deletes_what_has_these_entries(self, api: Api, session: str) -> None:
        for step in range(6):
            entries = {"run": f'"{step % 2}"', "step": f"{step}"}
            await save(api, checkpoint(session, step, checkpoint_id=f"{step}", metadata=entries))
        answer = await delete_found(api, session, {"run": '  "1" '})
        assert answer.deleted == 3
        assert answer.revision == (await summary(api, session)).revision
        assert await ids(api, session) == ["4", "2", "0"]
        assert (await delete_found(api, session, {"run": '"0"', "step": "2"})).deleted == 1
        assert (await delete_found(api, session, {"run": '"1"'})).deleted == 0
        assert await ids(api, session) == ["4", "0"]

    async def test_the_latest_goes_too(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 1, metadata={"run": "1"}))
        assert (await delete_found(api, session, {"run": "1"})).deleted == 1
        assert await api.load_latest(LoadLatestRequest(session_id=session)) != LoadLatestResponse()
        assert await ids(api, session) == []

    async def test_in_all_sessions(self, api: Api, session: str) -> None:
        names = [f"{session}{number}" for number in range(5)]
        run = {"run": f'"{session}"'}
        for name in names:
            for step in range(3):
                await save(api, checkpoint(name, step, metadata=run if step else {}))
        answer = await delete_found(api, "", run)
        assert (answer.deleted, answer.revision) == (10, 0)
        assert [len(await ids(api, name)) for name in names] == [1] * 5

    async def test_many(self, api: Api, session: str) -> None:
        run = {"run": f'"{session}"'}
        await asyncio.gather(*(save(api, checkpoint(session, step, metadata=run)) for step in range(450)))
        assert (await delete_found(api, "", run)).deleted == 450

    async def test_a_lease_stands_in_the_way(self, api: Api, session: str) -> None:
        run = {"run": f'"{session}"'}
        await save(api, checkpoint(session, metadata=run))
        token = await acquire(api, session)
        assert (await refused(delete_found(api, session, run))).reason == "LEASE_LOST"
        error = await refused(delete_found(api, "", run))
        assert (error.code.name, error.reason) == ("ABORTED", "LEASE_HELD")
        assert (await delete_found(api, session, run, lease_token=token)).deleted == 1

    async def test_where_there_is_no_session(self, api: Api, session: str) -> None:
        answer = await delete_found(api, session, {"run": "1"})
        assert (answer.deleted, answer.revision) == (0, 0)
