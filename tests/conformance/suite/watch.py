"""Following a session: every event once and in order, wherever a watch is taken up again."""

import asyncio

import pytest

from lockstitch.v1 import session_service_pb2 as pb
from lockstitch_server.core.ids import digest, session_key
from lockstitch_server.core.sessions.events import WatchCursor
from lockstitch_server.rpc.call_context import DEFAULT_TENANT
from lockstitch_server.rpc.paging import write_resume_token
from tests.conformance.builders import checkpoint, refused, save
from tests.conformance.session_builders import (
    SECOND,
    Watch,
    acquire,
    copy,
    delete,
    lapsed,
    prune,
    release,
    rewind,
    update,
    watching,
)
from tests.conformance.suite.deletion import saved
from tests.support.api import Api


async def saves(watch: Watch, count: int) -> list[str]:
    """The ids of the next events, which are saves."""
    return [(await watch.event()).saved.checkpoint_id for _ in range(count)]


class TestWatchSession:
    async def test_begins_with_a_heartbeat(self, api: Api, session: str) -> None:
        async with watching(api, session) as watch:
            first = await watch.next()
            assert (first.WhichOneof("event"), first.revision) == ("heartbeat", 0)
            assert first.resume_token

    async def test_tells_of_saves_from_now_on(self, api: Api, session: str) -> None:
        await saved(api, session, 1)
        async with watching(api, session) as watch:
            await watch.next()
            sent = checkpoint(session, 2, namespace="inner", checkpoint_id="b", parent_id="a")
            answer = await save(api, sent)
            event = await watch.event()
            assert event.revision == answer.revision
            assert event.saved == pb.CheckpointSaved(
                namespace="inner", checkpoint_id="b", parent_id="a", step=2, saved_at=answer.saved_at
            )

    async def test_the_session_need_not_be_there_yet(self, api: Api, session: str) -> None:
        async with watching(api, session) as watch:
            await watch.next()
            await saved(api, session, 1, 2)
            assert await saves(watch, 2) == ["1", "2"]

    async def test_goes_on_from_any_event(self, api: Api, session: str) -> None:
        tokens = []
        async with watching(api, session) as watch:
            await watch.next()
            tokens.append(watch.token)
            for step in range(1, 6):
                await saved(api, session, step)
                await watch.event()
                tokens.append(watch.token)
        for number, token in enumerate(tokens[:-1]):
            async with watching(api, session, resume_token=token) as watch:
                assert (await watch.next()).WhichOneof("event") == "heartbeat"
                assert await saves(watch, 5 - number) == [f"{step}" for step in range(number + 1, 6)]

    async def test_many_are_told_in_order(self, api: Api, session: str) -> None:
        async with watching(api, session) as watch:
            await watch.next()
            token = watch.token
        await asyncio.gather(*(save(api, checkpoint(session, step)) for step in range(350)))
        async with watching(api, session, resume_token=token) as watch:
            events = [await watch.event() for _ in range(350)]
        assert sorted(event.saved.step for event in events) == list(range(350))
        assert [event.revision for event in events] == sorted({event.revision for event in events})

    async def test_what_is_replaced_is_told_again(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2)
        async with watching(api, session) as watch:
            await watch.next()
            await save(api, checkpoint(session, 7, checkpoint_id="1"))
            assert (await watch.event()).saved.step == 7

    async def test_nothing_new_is_nothing_to_tell(self, api: Api, session: str) -> None:
        await saved(api, session, 1)
        async with watching(api, session, heartbeat=SECOND) as watch:
            first = await watch.next()
            await saved(api, session, 1)
            await update(api, session, set_labels={"a": "b"})
            second = await watch.next()
            assert (first.WhichOneof("event"), second.WhichOneof("event")) == ("heartbeat", "heartbeat")
            await saved(api, session, 2)
            assert await saves(watch, 1) == ["2"]

    async def test_tells_of_leases(self, api: Api, session: str) -> None:
        async with watching(api, session) as watch:
            await watch.next()
            token = await acquire(api, session, "one")
            lease = (await watch.event()).lease_changed.lease
            assert (lease.holder, lease.token) == ("one", 0)
            await release(api, session, token)
            assert not (await watch.event()).lease_changed.HasField("lease")
            await acquire(api, session, "two", ttl={"seconds": 5})
            assert (await watch.event()).lease_changed.lease.holder == "two"
            resumed = watch.token
            await lapsed(api, session)
            assert not (await watch.event()).lease_changed.HasField("lease")
        async with watching(api, session, resume_token=resumed) as watch:
            assert (await watch.event()).WhichOneof("event") == "lease_changed"

    async def test_tells_of_deletions(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2, 3)
        async with watching(api, session) as watch:
            await watch.next()
            await rewind(api, session, "2")
            event = await watch.event()
            assert event.WhichOneof("event") == "checkpoints_deleted"
            await prune(api, session, retention={"keep_last": 1})
            assert (await watch.event()).revision > event.revision
            await saved(api, session, 4)
            assert await saves(watch, 1) == ["4"]

    async def test_tells_of_the_end_and_of_a_new_beginning(self, api: Api, session: str) -> None:
        await saved(api, session, 1)
        async with watching(api, session) as watch:
            await watch.next()
            await delete(api, session, tombstone={"seconds": 0})
            assert (await watch.event()).WhichOneof("event") == "session_deleted"
            await saved(api, session, 5)
            assert await saves(watch, 1) == ["5"]

    async def test_an_end_and_a_beginning_between_two_looks(self, api: Api, session: str) -> None:
        await saved(api, session, 1)
        async with watching(api, session) as watch:
            await watch.next()
            token = watch.token
        await delete(api, session, tombstone={"seconds": 0})
        await saved(api, session, 5)
        async with watching(api, session, resume_token=token) as watch:
            assert (await watch.event()).WhichOneof("event") == "session_deleted"
            assert await saves(watch, 1) == ["5"]

    async def test_tells_of_expiry(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session), ttl={"seconds": 5})
        async with watching(api, session) as watch:
            await watch.next()
            assert (await watch.event()).WhichOneof("event") == "session_deleted"
            await saved(api, session, 5)
            assert await saves(watch, 1) == ["5"]

    async def test_tells_of_a_copy(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2)
        async with watching(api, f"{session}copy") as watch:
            await watch.next()
            await copy(api, session, f"{session}copy")
            assert await saves(watch, 2) == ["1", "2"]

    async def test_tells_of_a_copy_in_place_of_a_deleted_session(self, api: Api, session: str) -> None:
        """Its checkpoints are older than what the watch has seen."""
        target = f"{session}copy"
        await saved(api, session, 1, 2)
        await saved(api, target, 5)
        async with watching(api, target) as watch:
            await watch.next()
            known = watch.token
            await delete(api, target, tombstone={"seconds": 0})
            assert (await watch.event()).WhichOneof("event") == "session_deleted"
            await copy(api, session, target)
            assert await saves(watch, 2) == ["1", "2"]
        async with watching(api, target, resume_token=known) as watch:
            assert (await watch.event()).WhichOneof("event") == "session_deleted"
            assert await saves(watch, 2) == ["1", "2"]

    async def test_what_cannot_be_told_any_more_is_told_so(self, api: Api, session: str) -> None:
        await saved(api, session, 1)
        async with watching(api, session) as watch:
            await watch.next()
            token = watch.token
        await saved(api, session, 2, 3)
        await rewind(api, session, "2")
        async with watching(api, session, resume_token=token) as watch:
            await watch.next()
            error = await refused(watch.event())
        assert (error.code.name, error.reason) == ("OUT_OF_RANGE", "RESUME_TOO_OLD")
        assert error.metadata == {"session_id": session}

    async def test_goes_on_when_what_was_just_saved_is_deleted(self, api: Api, session: str) -> None:
        """Between two looks of the server: the save can no longer be told, and its deletion is."""
        await saved(api, session, 1)
        async with watching(api, session) as watch:
            await watch.next()
            for _ in range(10):
                await saved(api, session, 2)
                await rewind(api, session, "1")
            await saved(api, session, 9)
            kinds = set[str]()
            while (event := await watch.event()).saved.checkpoint_id != "9":
                kinds.add(event.WhichOneof("event"))
            assert "checkpoints_deleted" in kinds
            assert kinds <= {"checkpoints_deleted", "saved"}

    async def test_what_was_told_may_be_deleted(self, api: Api, session: str) -> None:
        await saved(api, session, 1, 2)
        async with watching(api, session) as watch:
            await watch.next()
            token = watch.token
        await prune(api, session, retention={"keep_last": 1})
        async with watching(api, session, resume_token=token) as watch:
            assert (await watch.event()).WhichOneof("event") == "checkpoints_deleted"

    @pytest.mark.parametrize("token", ["x", "AAAA", "of another session"])
    async def test_tokens_are_for_one_session(self, api: Api, session: str, token: str) -> None:
        if token == "of another session":
            async with watching(api, f"{session}!") as watch:
                await watch.next()
                token = watch.token
        async with watching(api, session, resume_token=token) as watch:
            error = await refused(watch.next())
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "resume_token")

    @pytest.mark.parametrize("position", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (-(2**63), 0, 0)], ids=str)
    async def test_forged_tokens_are_checked(self, api: Api, session: str, position: tuple[int, int, int]) -> None:
        bound_to = digest(b"watch", session_key(DEFAULT_TENANT, session))
        token = write_resume_token(WatchCursor(*position), bound_to)
        async with watching(api, session, resume_token=token) as watch:
            error = await refused(watch.next())
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "resume_token")

    async def test_a_forged_token_tells_of_its_session_alone(self, api: Api, session: str) -> None:
        """Whoever may watch a session may say what of it has been seen."""
        await save(api, checkpoint(session, 1))
        await save(api, checkpoint(f"{session}!", 1))
        token = write_resume_token(WatchCursor(), digest(b"watch", session_key(DEFAULT_TENANT, session)))
        async with watching(api, session, resume_token=token) as watch:
            assert (await watch.event()).saved.step == 1

    @pytest.mark.parametrize("heartbeat", [{}, {"nanos": 5}, {"seconds": 3601}], ids=str)
    async def test_heartbeats_are_not_too_many_or_too_few(
        self, api: Api, session: str, heartbeat: dict[str, int]
    ) -> None:
        async with watching(api, session, heartbeat=heartbeat) as watch:
            assert (await refused(watch.next())).metadata["field"] == "heartbeat"
