"""Pending writes: SaveWrites, and writes that come with a save."""

import random

from lockstitch.v1.checkpoint_pb2 import PendingWrite
from lockstitch.v1.checkpoint_service_pb2 import (
    SAVE_OUTCOME_REPLACED,
    SAVE_OUTCOME_UNCHANGED,
    LoadLatestRequest,
    SaveWritesRequest,
    SaveWritesResponse,
)
from tests.conformance.builders import (
    assert_same,
    blob,
    checkpoint,
    latest,
    page,
    pending,
    refused,
    revision,
    save,
    save_request,
    sessions_request,
    state,
    summary,
    values,
    write,
)
from tests.support.api import Api


async def save_writes(
    api: Api, session: str, *writes: PendingWrite, to: str = "a", namespace: str = ""
) -> SaveWritesResponse:
    request = SaveWritesRequest(session_id=session, namespace=namespace, checkpoint_id=to, writes=writes)
    return await api.save_writes(request)


class TestWrites:
    async def test_every_field_comes_back(self, api: Api, session: str) -> None:
        sent = PendingWrite(
            task_id="task",
            task_path="~/path",
            index=-(2**31),
            channel="channel",
            value=blob(bytes(range(256)), "msgpack"),
        )
        await save(api, checkpoint(session, checkpoint_id="a"))
        await save_writes(api, session, sent)
        assert_same((await pending(api, session, "a"))[0], sent)
        (details,) = (await page(api, session, include_writes=True)).details
        assert_same(details.pending_writes[0], sent)

    async def test_are_in_order_of_path_task_and_index(self, api: Api, session: str) -> None:
        in_order = [
            ("", "b", 0),
            ("a", "a", -2),
            ("a", "a", -1),
            ("a", "a", 0),
            ("a", "a", 1),
            ("a", "a", 10),
            ("a", "a", 2**31 - 1),
            ("a", "ab", 0),
            ("a", "b", -1),
            ("a b", "a2", 0),
            ("é", "B", 0),
            ("ￏ", "A", 0),
            ("🧵", "0", 0),
        ]
        sent = [write(task, index, task_path=path) for path, task, index in in_order]
        await save(api, checkpoint(session, checkpoint_id="a"))
        for number in (7, 0, 3, 12, 1, 11, 2, 10, 4, 9, 5, 8, 6):
            await save_writes(api, session, sent[number])
        assert await pending(api, session, "a") == sent

    async def test_the_first_one_stays_where_the_index_is_not_negative(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        first = await save_writes(api, session, write("t", 0, b"first"), write("t", 1, b"first"))
        second = await save_writes(api, session, write("t", 1, b"second"), write("t", 2, b"second"))
        assert (first.stored, second.stored) == (2, 1)
        assert values(await pending(api, session, "a")) == [b"first", b"first", b"second"]

    async def test_a_later_one_replaces_where_the_index_is_negative(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        for data in (b"first", b"second"):
            answer = await save_writes(api, session, write("t", -1, data, task_path=data.decode()))
            assert answer.stored == 1
        assert await pending(api, session, "a") == [write("t", -1, b"second", task_path="second")]

    async def test_within_one_call_too(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        await save_writes(api, session, *(write("t", index, data) for index in (0, -1) for data in (b"one", b"two")))
        assert values(await pending(api, session, "a")) == [b"two", b"one"]

    async def test_again_change_nothing(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        first = await save_writes(api, session, write())
        before = await summary(api, session)
        again = await save_writes(api, session, write())
        assert (again.stored, again.revision) == (0, first.revision)
        assert await summary(api, session) == before

    async def test_may_come_before_their_checkpoint(self, api: Api, session: str) -> None:
        assert (await save_writes(api, session, write(data=b"early"))).stored == 1
        assert not (await api.load_latest(LoadLatestRequest(session_id=session))).HasField("checkpoint")
        assert not (await api.list_sessions(sessions_request(session_id_prefix=session))).sessions
        await save(api, checkpoint(session, checkpoint_id="a"))
        assert values(await pending(api, session, "a")) == [b"early"]

    async def test_stay_when_their_checkpoint_is_replaced(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"), writes=[write(data=b"w")])
        await save(api, checkpoint(session, checkpoint_id="a", state=state("other")))
        assert values(await pending(api, session, "a")) == [b"w"]

    async def test_belong_to_one_checkpoint(self, api: Api, session: str) -> None:
        places = [("a", ""), ("b", ""), ("a", "n")]
        for name, namespace in places:
            await save(api, checkpoint(session, checkpoint_id=name, namespace=namespace))
            await save_writes(api, session, write(data=f"{name}{namespace}".encode()), to=name, namespace=namespace)
        for name, namespace in places:
            assert values(await pending(api, session, name, namespace)) == [f"{name}{namespace}".encode()]

    async def test_make_the_revision_grow(self, api: Api, session: str) -> None:
        saved = await save(api, checkpoint(session, checkpoint_id="a"))
        answer = await save_writes(api, session, write())
        assert await revision(api, session) == answer.revision > saved.revision

    async def test_count_as_a_change_of_the_session(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        before = await summary(api, session)
        await save_writes(api, session, write(data=random.Random(1).randbytes(1000)))  # which cannot be packed
        after = await summary(api, session)
        assert after.updated_at.ToNanoseconds() > before.updated_at.ToNanoseconds()
        assert 1000 <= after.stored_bytes - before.stored_bytes < 1100

    async def test_large_and_many(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        sent = [write("t", index, bytes([index % 256]) * (index * 50)) for index in range(100)]
        await save_writes(api, session, *sent)
        assert await pending(api, session, "a") == sent


class TestWritesOfASave:
    async def test_are_stored_with_it(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"), writes=[write("t", 0, b"0"), write("t", 1, b"1")])
        assert values(await pending(api, session, "a")) == [b"0", b"1"]

    async def test_belong_to_the_id_made_from_the_step(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 3), writes=[write(data=b"w")])
        assert values(await pending(api, session, f"{3:020d}")) == [b"w"]

    async def test_keep_to_the_same_rules(self, api: Api, session: str) -> None:
        await save_writes(api, session, write("t", 0, b"old"), write("t", -1, b"old"))
        new = [write("t", 0, b"new"), write("t", -1, b"new"), write("t", 1, b"new")]
        await save(api, checkpoint(session, checkpoint_id="a"), writes=new)
        assert values(await pending(api, session, "a")) == [b"new", b"old", b"new"]

    async def test_come_with_a_delta_too(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        request = save_request(
            checkpoint={"session_id": session, "checkpoint_id": "b"},
            base_checkpoint_id="a",
            delta={},
            writes=[write(data=b"w")],
        )
        await api.save(request)
        assert values(await pending(api, session, "b")) == [b"w"]

    async def test_are_added_to_a_checkpoint_that_is_there(self, api: Api, session: str) -> None:
        first = await save(api, checkpoint(session, checkpoint_id="a"), writes=[write("t", 0, b"0")])
        more = [write("t", 0, b"other"), write("t", 1, b"1")]
        again = await save(api, checkpoint(session, checkpoint_id="a"), writes=more)
        assert (again.outcome, again.revision) == (SAVE_OUTCOME_UNCHANGED, first.revision)
        assert values(await pending(api, session, "a")) == [b"0", b"1"]
        assert await revision(api, session) > first.revision

    async def test_are_added_to_those_of_a_checkpoint_that_it_replaces(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"), writes=[write("t", 0, b"0")])
        other = checkpoint(session, checkpoint_id="a", state=state("other"))
        assert (await save(api, other, writes=[write("t", 1, b"1")])).outcome == SAVE_OUTCOME_REPLACED
        assert values(await pending(api, session, "a")) == [b"0", b"1"]

    async def test_are_not_stored_where_it_fails(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, checkpoint_id="a"))
        failing = save(api, checkpoint(session, checkpoint_id="b"), expected_latest={"none": True}, writes=[write()])
        await refused(failing)
        unknown = save_request(
            checkpoint={"session_id": session, "checkpoint_id": "b"},
            base_checkpoint_id="unknown",
            delta={},
            writes=[write()],
        )
        await refused(api.save(unknown))
        await save(api, checkpoint(session, checkpoint_id="b"))
        assert await pending(api, session, "b") == []
        assert (await latest(api, session)).checkpoint_id == "b"
