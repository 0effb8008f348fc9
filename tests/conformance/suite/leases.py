"""Leases: while one is live, only its token may change the session; a token that was lost is lost for ever."""

import asyncio

import pytest

from lockstitch.v1.checkpoint_service_pb2 import SAVE_OUTCOME_UNCHANGED, SaveWritesRequest
from tests.conformance.builders import checkpoint, ids, pending, refused, save, summary, write
from tests.conformance.session_builders import (
    MINUTE,
    SECOND,
    acquire,
    ask,
    delete,
    get,
    lapsed,
    release,
    renew,
    rewind,
    update,
)
from tests.support.api import Api


class TestLeases:
    async def test_is_for_a_session_that_is_yet_to_come(self, api: Api, session: str) -> None:
        token = await acquire(api, session)
        assert token > 0
        assert (await save(api, checkpoint(session), lease_token=token)).revision

    async def test_shows_everybody_who_holds_it(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        answer = await ask(api, "AcquireLease", session_id=session, holder="host:1", ttl=MINUTE)
        assert answer.ttl.seconds == 60
        assert answer.lease.expire_at.seconds - answer.lease.acquired_at.seconds == 60
        lease = (await get(api, session)).lease
        assert (lease.token, lease.holder) == (0, "host:1")
        assert (lease.acquired_at, lease.expire_at) == (answer.lease.acquired_at, answer.lease.expire_at)
        assert (await summary(api, session)).lease_holder == "host:1"

    async def test_another_cannot_take_it(self, api: Api, session: str) -> None:
        await acquire(api, session, "one")
        error = await refused(acquire(api, session, "two"))
        assert (error.code.name, error.reason) == ("ABORTED", "LEASE_HELD")
        assert error.metadata["session_id"] == session
        assert error.metadata["holder"] == "one"
        assert error.metadata["expire_at"].endswith("Z")
        assert error.detail("RetryInfo").retry_delay.seconds > 0

    async def test_the_holder_gets_a_new_token_and_its_old_one_is_void(self, api: Api, session: str) -> None:
        first = await acquire(api, session)
        second = await acquire(api, session)
        assert second > first
        assert (await refused(save(api, checkpoint(session), lease_token=first))).reason == "LEASE_LOST"
        await save(api, checkpoint(session), lease_token=second)

    async def test_a_retry_gets_the_same_lease(self, api: Api, session: str) -> None:
        first = await acquire(api, session, "worker", acquisition_id="1")
        again = await ask(
            api, "AcquireLease", session_id=session, holder="worker", acquisition_id="1", ttl={"seconds": 600}
        )
        assert (again.lease.token, again.lease.holder, again.ttl.seconds) == (first, "worker", 600)
        assert again.lease.expire_at.seconds - again.lease.acquired_at.seconds >= 600
        await save(api, checkpoint(session), lease_token=first)
        assert await release(api, session, first)
        assert await acquire(api, session, "worker", acquisition_id="1") > first

    @pytest.mark.parametrize("other", [{"acquisition_id": "2"}, {}, {"holder": "other", "acquisition_id": "1"}])
    async def test_another_acquisition_cannot_take_it_whatever_its_holder(
        self, api: Api, session: str, other: dict[str, str]
    ) -> None:
        token = await acquire(api, session, "worker", acquisition_id="1")
        error = await refused(acquire(api, session, **({"holder": "worker"} | other)))
        assert (error.reason, error.metadata["holder"]) == ("LEASE_HELD", "worker")
        error = await refused(save(api, checkpoint(session)))
        assert error.metadata == {"holder": "worker"}
        await save(api, checkpoint(session), lease_token=token)
        assert (await get(api, session)).lease.holder == "worker"
        assert (await summary(api, session)).lease_holder == "worker"

    async def test_a_holder_without_acquisitions_is_no_acquisition(self, api: Api, session: str) -> None:
        await acquire(api, session, "worker")
        assert (await refused(acquire(api, session, "worker", acquisition_id="1"))).reason == "LEASE_HELD"

    async def test_only_its_token_saves(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        token = await acquire(api, session, "holder")
        for wrong in (0, token - 1, token + 1):
            error = await refused(save(api, checkpoint(session, 2), lease_token=wrong))
            assert (error.code.name, error.reason) == ("ABORTED", "LEASE_LOST")
            assert error.metadata == {"holder": "holder"}
        for step in (2, 3, 4):
            await save(api, checkpoint(session, step), lease_token=token)
        assert len(await ids(api, session)) == 2 + 2

    async def test_a_broken_lease_is_lost_for_its_holder(self, api: Api, session: str) -> None:
        token = await acquire(api, session, "hangs")
        assert (await ask(api, "BreakLease", session_id=session)).broken
        assert not (await get(api, session)).HasField("lease")
        error = await refused(save(api, checkpoint(session), lease_token=token))
        assert (error.code.name, error.reason) == ("ABORTED", "LEASE_LOST")
        assert (await refused(renew(api, session, token))).reason == "LEASE_LOST"
        assert await acquire(api, session, "next") > token

    async def test_only_the_lease_that_was_seen_is_broken(self, api: Api, session: str) -> None:
        seen = await ask(api, "AcquireLease", session_id=session, holder="first", ttl=MINUTE)
        await release(api, session, seen.lease.token)
        await asyncio.sleep(0.01)  # times of SQLite have milliseconds
        token = await acquire(api, session, "second")
        broken = await ask(api, "BreakLease", session_id=session, acquired_at=seen.lease.acquired_at)
        assert not broken.broken
        await save(api, checkpoint(session), lease_token=token)
        current = (await get(api, session)).lease
        assert (await ask(api, "BreakLease", session_id=session, acquired_at=current.acquired_at)).broken

    async def test_there_may_be_no_lease_to_break(self, api: Api, session: str) -> None:
        assert not (await ask(api, "BreakLease", session_id=session)).broken
        assert (await refused(ask(api, "BreakLease", session_id=""))).reason == "INVALID_FIELD"

    async def test_only_its_token_stores_writes(self, api: Api, session: str) -> None:
        token = await acquire(api, session)
        request = SaveWritesRequest(session_id=session, checkpoint_id="1", writes=[write()])
        assert (await refused(api.save_writes(request))).reason == "LEASE_LOST"
        request.lease_token = token
        assert (await api.save_writes(request)).stored == 1

    async def test_only_its_token_changes_settings_and_rewinds(self, api: Api, session: str) -> None:
        token = await acquire(api, session)
        await save(api, checkpoint(session, 1, checkpoint_id="1"), lease_token=token)
        await save(api, checkpoint(session, 2, checkpoint_id="2"), lease_token=token)
        assert (await refused(update(api, session, set_labels={"a": "b"}))).reason == "LEASE_LOST"
        assert (await refused(rewind(api, session, "1"))).reason == "LEASE_LOST"
        await update(api, session, set_labels={"a": "b"}, lease_token=token)
        assert await rewind(api, session, "1", lease_token=token) == 1

    async def test_a_save_that_landed_is_told_so_whoever_repeats_it(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session), ttl={"seconds": 3600})
        before = await summary(api, session)
        await acquire(api, session)
        assert (await save(api, checkpoint(session), ttl={"seconds": 9})).outcome == SAVE_OUTCOME_UNCHANGED
        assert (await summary(api, session)).expire_at == before.expire_at
        assert (await refused(save(api, checkpoint(session), writes=[write()]))).reason == "LEASE_LOST"
        assert await pending(api, session, "00000000000000000001") == []

    async def test_given_back_it_is_for_anybody(self, api: Api, session: str) -> None:
        token = await acquire(api, session, "one")
        assert await release(api, session, token)
        assert not await release(api, session, token)
        assert (await refused(save(api, checkpoint(session), lease_token=token))).reason == "LEASE_LOST"
        await save(api, checkpoint(session))
        assert not (await get(api, session)).HasField("lease")
        assert await acquire(api, session, "two") > token

    async def test_is_not_given_back_by_another_token(self, api: Api, session: str) -> None:
        token = await acquire(api, session)
        assert not await release(api, session, token - 1)
        await save(api, checkpoint(session), lease_token=token)

    async def test_nothing_is_given_back_where_there_is_no_session(self, api: Api, session: str) -> None:
        assert not await release(api, session, 5)
        assert (await refused(get(api, session))).reason == "SESSION_NOT_FOUND"

    async def test_runs_out(self, api: Api, session: str) -> None:
        token = await acquire(api, session, "one")
        await save(api, checkpoint(session), lease_token=token)
        await renew(api, session, token, ttl=SECOND)
        await lapsed(api, session)
        assert (await summary(api, session)).lease_holder == ""
        error = await refused(save(api, checkpoint(session, 2), lease_token=token))
        assert (error.reason, error.metadata) == ("LEASE_LOST", {})
        await save(api, checkpoint(session, 2))
        assert (await refused(renew(api, session, token))).reason == "LEASE_LOST"
        newer = await acquire(api, session, "two")
        assert newer > token
        assert (await refused(save(api, checkpoint(session, 3), lease_token=token))).reason == "LEASE_LOST"
        assert not await release(api, session, token)
        await save(api, checkpoint(session, 3), lease_token=newer)

    async def test_lives_on_when_renewed(self, api: Api, session: str) -> None:
        token = await acquire(api, session, ttl={"seconds": 5})
        first = (await get(api, session)).lease
        answer = await renew(api, session, token, ttl=MINUTE)
        assert (answer.lease.token, answer.lease.holder, answer.ttl.seconds) == (token, "me", 60)
        assert answer.lease.acquired_at == first.acquired_at
        assert answer.lease.expire_at.seconds >= first.expire_at.seconds + 50
        await save(api, checkpoint(session), lease_token=token)

    async def test_of_many_who_ask_at_once_one_gets_it(self, api: Api, session: str) -> None:
        asked = await asyncio.gather(
            *(acquire(api, session, f"holder {number}") for number in range(8)), return_exceptions=True
        )
        (token,) = [answer for answer in asked if isinstance(answer, int)]
        await save(api, checkpoint(session), lease_token=token)

    async def test_a_session_deleted_is_free_and_the_token_void(self, api: Api, session: str) -> None:
        token = await acquire(api, session)
        await save(api, checkpoint(session), lease_token=token)
        assert await delete(api, session, tombstone={"seconds": 0}) == 1
        assert (await refused(save(api, checkpoint(session), lease_token=token))).reason == "LEASE_LOST"
        assert (await refused(renew(api, session, token))).reason == "LEASE_LOST"
        assert await acquire(api, session, "other") > token

    async def test_does_not_move_the_session_in_lists(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        before = await summary(api, session)
        await acquire(api, session)
        after = await summary(api, session)
        assert after.updated_at == before.updated_at
        assert after.revision > before.revision

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"holder": ""}, "holder"),
            ({"holder": "x" * 256}, "holder"),
            ({"holder": "a\nb"}, "holder"),
            ({"acquisition_id": "x" * 65}, "acquisition_id"),
            ({"acquisition_id": "a\x1fb"}, "acquisition_id"),
            ({"ttl": {"nanos": 1}}, "ttl"),
            ({"ttl": {"seconds": 86_401}}, "ttl"),
            ({"session_id": ""}, "session_id"),
        ],
        ids=str,
    )
    async def test_must_be_asked_for_rightly(
        self, api: Api, session: str, fields: dict[str, object], field: str
    ) -> None:
        error = await refused(ask(api, "AcquireLease", **({"session_id": session, "holder": "me"} | fields)))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", field)

    @pytest.mark.parametrize("name", ["RenewLease", "ReleaseLease"])
    async def test_must_be_named(self, api: Api, session: str, name: str) -> None:
        error = await refused(ask(api, name, session_id=session))
        assert error.metadata["field"] == "lease_token"
