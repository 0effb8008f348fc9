"""ListSessions: which sessions, in which order, and what is said of each."""

from typing import Any

from lockstitch.v1.checkpoint_service_pb2 import SESSION_ORDER_SESSION_ID, SaveWritesRequest
from tests.conformance.builders import checkpoint, save, sessions_request, state, summary, write
from tests.conformance.session_builders import update
from tests.support.api import Api


async def found(api: Api, prefix: str, **fields: Any) -> list[str]:
    """The ids of the sessions that are listed, without the prefix."""
    request = sessions_request(session_id_prefix=prefix, page_size=1000, **fields)
    return [each.session_id.removeprefix(prefix) for each in (await api.list_sessions(request)).sessions]


class TestListSessions:
    async def test_last_updated_first(self, api: Api, session: str) -> None:
        for name in ("b", "c", "a"):
            await save(api, checkpoint(session + name))
        assert await found(api, session) == ["a", "c", "b"]
        await save(api, checkpoint(f"{session}c", 2))
        assert await found(api, session) == ["c", "a", "b"]

    async def test_without_filters_begins_with_what_came_last(self, api: Api, session: str) -> None:
        for name in "abc":
            await save(api, checkpoint(session + name))
        answer = await api.list_sessions(sessions_request(page_size=3))
        assert [each.session_id for each in answer.sessions] == [f"{session}c", f"{session}b", f"{session}a"]

    async def test_a_late_step_is_an_update_too(self, api: Api, session: str) -> None:
        await save(api, checkpoint(f"{session}a", 5))
        await save(api, checkpoint(f"{session}b", 5))
        await save(api, checkpoint(f"{session}a", 1))
        assert await found(api, session) == ["a", "b"]

    async def test_a_repetition_is_no_update(self, api: Api, session: str) -> None:
        for name in ("a", "b", "a"):
            await save(api, checkpoint(session + name))
        assert await found(api, session) == ["b", "a"]

    async def test_by_id_byte_by_byte(self, api: Api, session: str) -> None:
        in_order = [" ", "-", "1", "10", "2", "B", "Z", "_", "a", "b", "é", "ￏ", "🧵"]
        for name in in_order[::-2] + in_order[-2::-2]:
            await save(api, checkpoint(session + name))
        assert await found(api, session, order_by=SESSION_ORDER_SESSION_ID) == in_order

    async def test_by_prefix_of_the_id(self, api: Api, session: str) -> None:
        for name in ("a", "a%", "a_", "ab", "aB", "A", "b", "aé", "a🧵", "a\U0010ffff", "é"):
            await save(api, checkpoint(session + name))

        async def listed(prefix: str) -> set[str]:
            return set(await found(api, session + prefix))

        assert await listed("a") == {"", "%", "_", "b", "B", "é", "🧵", "\U0010ffff"}
        assert await listed("a%") == await listed("a_") == await listed("ab") == await listed("a\U0010ffff") == {""}
        assert await listed("A") == await listed("é") == {""}
        assert await listed("c") == set()

    async def test_by_time_of_the_last_update(self, api: Api, session: str) -> None:
        for name in "abc":
            await save(api, checkpoint(session + name))
        since = (await summary(api, f"{session}b")).updated_at
        assert await found(api, session, updated_since=since) == ["c", "b"]
        assert await found(api, session, updated_before=since) == ["a"]
        until = (await summary(api, f"{session}c")).updated_at
        assert await found(api, session, updated_since=since, updated_before=until) == ["b"]
        assert await found(api, session, updated_since=until, updated_before=since) == []
        assert await found(api, session, updated_since=since, order_by=SESSION_ORDER_SESSION_ID) == ["b", "c"]

    async def test_times_far_away(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        first, last = {"seconds": -62_135_596_800}, {"seconds": 253_402_300_799, "nanos": 999_999_999}
        assert await found(api, session, updated_since=first) == await found(api, session, updated_before=last) == [""]
        assert await found(api, session, updated_since=last) == await found(api, session, updated_before=first) == []

    async def test_says_of_each_session(self, api: Api, session: str) -> None:
        first = await save(api, checkpoint(session, 2, state=state("x" * 5000)))
        await save(api, checkpoint(session, 9, namespace="sub"))
        last = await save(api, checkpoint(session, 1))
        found = await summary(api, session)
        assert (found.session_id, found.latest_checkpoint_id, found.latest_step) == (session, f"{2:020d}", 2)
        assert (found.checkpoint_count, found.revision) == (3, last.revision)
        assert (found.created_at, found.updated_at) == (first.saved_at, last.saved_at)
        assert 5000 < found.stored_bytes < 6000
        assert not found.HasField("expire_at")
        assert (dict(found.labels), found.lease_holder) == ({}, "")

    async def test_a_session_of_a_subgraph_only_has_no_latest(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 9, namespace="sub"))
        found = await summary(api, session)
        assert (found.latest_checkpoint_id, found.latest_step, found.checkpoint_count) == ("", 0, 1)

    async def test_says_when_a_session_expires(self, api: Api, session: str) -> None:
        saved = await save(api, checkpoint(session), ttl={"seconds": 3600, "nanos": 5})
        expire_at = (await summary(api, session)).expire_at
        assert expire_at.ToNanoseconds() - saved.saved_at.ToNanoseconds() == 3600 * 10**9 + 5

    async def test_sessions_without_checkpoints_are_left_out(self, api: Api, session: str) -> None:
        request = SaveWritesRequest(session_id=session, checkpoint_id="a", writes=[write()])
        await api.save_writes(request)
        assert await found(api, session) == []

    async def test_by_labels(self, api: Api, session: str) -> None:
        labels = {"a": {"k": "1", "env": "prod"}, "b": {"k": "2", "env": "prod"}, "c": {"k": "1 "}, "d": {}}
        for name, values in labels.items():
            await save(api, checkpoint(session + name))
            await update(api, session + name, set_labels=values)
        assert await found(api, session, labels={"env": "prod"}) == ["b", "a"]
        assert await found(api, session, labels={"env": "prod", "k": "1"}) == ["a"]
        assert await found(api, session, labels={"k": "1"}) == ["a"]
        assert await found(api, session, labels={"k": "1", "none": ""}) == []
        assert dict((await summary(api, f"{session}a")).labels) == {"k": "1", "env": "prod"}

    async def test_by_labels_with_any_characters(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session))
        for text in ("", "'", '"', "\\", "%", "é🧵"):
            assert await found(api, session, labels={text: text}) == []
