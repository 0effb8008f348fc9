"""Sessions as a whole: what is told of one, labels, expiry, retention."""

import pytest

from tests.conformance.builders import checkpoint, refused, save, sessions_request, summary
from tests.conformance.session_builders import MINUTE, get, update
from tests.support.api import Api


class TestGetSession:
    async def test_tells_what_a_list_tells(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 3), ttl=MINUTE)
        await save(api, checkpoint(session, 9, namespace="inner"))
        answer = await get(api, session)
        assert answer.session == await summary(api, session)
        assert (answer.session.latest_step, answer.session.checkpoint_count) == (3, 2)
        assert answer.ttl.seconds == 60
        assert not answer.HasField("retention")
        assert not answer.HasField("lease")

    async def test_needs_one(self, api: Api, session: str) -> None:
        error = await refused(get(api, session))
        assert (error.code.name, error.reason) == ("NOT_FOUND", "SESSION_NOT_FOUND")
        assert error.metadata == {"session_id": session}
        assert error.detail("ResourceInfo").resource_type == "session"


class TestUpdateSession:
    async def test_labels_are_set_and_removed(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        first = await update(api, session, set_labels={"a": "1", "b": "ä", "c": ""})
        assert dict(first.session.labels) == {"a": "1", "b": "ä", "c": ""}
        second = await update(api, session, set_labels={"a": "2"}, remove_labels=["b", "not there"])
        assert dict(second.session.labels) == {"a": "2", "c": ""}
        assert second == await get(api, session)
        assert second.session == await summary(api, session)
        found = await api.list_sessions(sessions_request(session_id_prefix=session, labels={"a": "2"}))
        assert [each.session_id for each in found.sessions] == [session]

    async def test_saves_leave_settings_alone(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        before = await update(api, session, set_labels={"a": "1"}, retention={"keep_last": 3}, ttl=MINUTE)
        await save(api, checkpoint(session, 2))
        after = await get(api, session)
        assert (dict(after.session.labels), after.retention, after.ttl) == ({"a": "1"}, before.retention, before.ttl)

    async def test_is_a_change(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        before = (await get(api, session)).session
        after = (await update(api, session, set_labels={"a": "1"})).session
        assert after.revision > before.revision
        assert after.updated_at.ToNanoseconds() > before.updated_at.ToNanoseconds()

    async def test_expiry_counts_from_now(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        answer = await update(api, session, ttl=MINUTE)
        assert answer.session.expire_at.ToNanoseconds() - answer.session.updated_at.ToNanoseconds() == 60 * 10**9
        cleared = await update(api, session, clear_ttl=True)
        assert not cleared.HasField("ttl")
        assert not cleared.session.HasField("expire_at")

    async def test_retention(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        answer = await update(api, session, retention={"keep_last": 5, "max_age": {"seconds": 7, "nanos": 9}})
        assert (answer.retention.keep_last, answer.retention.max_age.ToNanoseconds()) == (5, 7 * 10**9 + 9)
        assert await update(api, session) == await get(api, session)
        assert (await get(api, session)).retention == answer.retention
        assert not (await update(api, session, clear_retention=True)).HasField("retention")

    async def test_all_may_stay_whatever_the_server_says(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        assert (await update(api, session, retention={})).HasField("retention")

    async def test_needs_a_session(self, api: Api, session: str) -> None:
        assert (await refused(update(api, session, ttl=MINUTE))).reason == "SESSION_NOT_FOUND"

    async def test_needs_no_token_without_a_lease(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        assert (await refused(update(api, session, ttl=MINUTE, lease_token=5))).reason == "LEASE_LOST"

    async def test_labels_are_not_too_many(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        await update(api, session, set_labels={str(number): "" for number in range(40)})
        error = await refused(update(api, session, set_labels={str(-number): "" for number in range(1, 40)}))
        assert (error.reason, error.metadata["field"], error.metadata["limit"]) == (
            "INVALID_FIELD",
            "set_labels",
            "64",
        )
        assert len((await get(api, session)).session.labels) == 40

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"set_labels": {"": "x"}}, "set_labels key"),
            ({"set_labels": {"a": "x" * 256}}, "set_labels['a']"),
            ({"set_labels": {"a\n": "x"}}, "set_labels key"),
            ({"set_labels": {"a": "x"}, "remove_labels": ["a"]}, "remove_labels"),
            ({"ttl": {"nanos": 5}}, "ttl"),
            ({"ttl": MINUTE, "clear_ttl": True}, "clear_ttl"),
            ({"retention": {"max_age": {"nanos": 5}}}, "retention.max_age"),
            ({"retention": {}, "clear_retention": True}, "clear_retention"),
        ],
        ids=str,
    )
    async def test_must_make_sense(self, api: Api, session: str, fields: dict[str, object], field: str) -> None:
        error = await refused(update(api, session, **fields))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", field)
