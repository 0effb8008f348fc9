"""Copies of sessions: all of one, or its beginning."""

import pytest

from tests.conformance.builders import (
    assert_same,
    checkpoint,
    contents,
    full_checkpoint,
    ids,
    latest,
    load,
    node,
    page,
    pending,
    refused,
    save,
    state,
    summary,
    write,
)
from tests.conformance.session_builders import MINUTE, acquire, ask, copy, delete, get, rewind, update
from tests.conformance.suite.deletion import saved
from tests.support.api import Api


@pytest.fixture
def target(session: str) -> str:
    return f"copy of {session}"


class TestCopySession:
    async def test_is_the_same(self, api: Api, session: str, target: str) -> None:
        await saved(api, session, 1, 2, 3, ran_nodes=[node("a")], metadata={"k": "1"})
        sent = full_checkpoint(session)
        await save(api, sent, writes=[write(data=b"pending" * 9)])
        await update(api, session, set_labels={"a": "b"}, ttl=MINUTE, retention={"keep_last": 9})
        answer = await copy(api, session, target)
        assert answer.checkpoint_count == 4
        before, after = await page(api, session, include_total=True), await page(api, target, include_total=True)
        assert [each.saved_at for each in after.details] == [each.saved_at for each in before.details]
        for one, other in zip(before.checkpoints, after.checkpoints, strict=True):
            one.session_id = target
            assert_same(other, one)
        found = await get(api, target)
        assert (found.session.revision, dict(found.session.labels)) == (answer.revision, {})
        assert not found.HasField("ttl")
        assert not found.HasField("retention")
        assert found.session.stored_bytes <= (await summary(api, session)).stored_bytes
        name = (sent.checkpoint_id, sent.namespace)
        assert await pending(api, target, *name) == await pending(api, session, *name)
        assert await ids(api, target, ran_node=node("a")) == await ids(api, session, ran_node=node("a")) != []
        assert await ids(api, target, metadata={"k": "1"}) == ["3", "2", "1"]

    async def test_goes_its_own_way(self, api: Api, session: str, target: str) -> None:
        await saved(api, session, 1, 2)
        await copy(api, session, target)
        said = [f"message {number} " * 40 for number in range(2)]
        await save(api, checkpoint(target, 3, checkpoint_id="3", state=state(*said, "there")))
        await save(api, checkpoint(session, 3, checkpoint_id="3", state=state(*said, "here")))
        assert contents(await latest(api, target)) == [*said, "there"]
        assert contents(await latest(api, session)) == [*said, "here"]
        await delete(api, session)
        assert contents(await load(api, target, "2")) == said

    async def test_up_to_a_checkpoint(self, api: Api, session: str, target: str) -> None:
        await save(api, checkpoint(session, 5, namespace="inner"))
        await saved(api, session, 1, 2, 3)
        await save(api, checkpoint(session, 6, namespace="inner"))
        answer = await copy(api, session, target, at={"checkpoint_id": "2"})
        assert answer.checkpoint_count == 3
        assert await ids(api, target, namespace="") == ["2", "1"]
        assert await ids(api, target, namespace="inner") == [f"{5:020d}"]
        assert len(contents(await latest(api, target))) == 2
        said = [f"message {number} " * 40 for number in range(2)]
        await save(api, checkpoint(target, 3, checkpoint_id="3", state=state(*said, "another")))
        assert contents(await latest(api, target)) == [*said, "another"]

    async def test_copies_the_writes_of_what_it_copies(self, api: Api, session: str, target: str) -> None:
        for step in (1, 2):
            await save(api, checkpoint(session, step, checkpoint_id=f"{step}"), writes=[write(data=b"x" * step)])
        await copy(api, session, target, at={"checkpoint_id": "1"})
        assert await pending(api, target, "1") == await pending(api, session, "1") != []
        await save(api, checkpoint(target, 2, checkpoint_id="2"))
        assert await pending(api, target, "2") == []

    async def test_has_labels_and_an_expiry_of_its_own(self, api: Api, session: str, target: str) -> None:
        await save(api, checkpoint(session))
        await update(api, session, set_labels={"a": "b"})
        await copy(api, session, target, labels={"fork": "1"}, ttl=MINUTE)
        found = await get(api, target)
        assert (dict(found.session.labels), found.ttl.seconds) == ({"fork": "1"}, 60)
        assert found.session.HasField("expire_at")

    async def test_can_be_repeated_until_the_copy_has_changed(self, api: Api, session: str, target: str) -> None:
        await saved(api, session, 1, 2)
        first = await copy(api, session, target)
        await saved(api, session, 3)
        assert await copy(api, session, target) == first
        assert (await refused(copy(api, session, target, labels={"a": "b"}))).reason == "SESSION_ALREADY_EXISTS"
        await save(api, checkpoint(target, 9))
        error = await refused(copy(api, session, target))
        assert (error.code.name, error.reason) == ("ALREADY_EXISTS", "SESSION_ALREADY_EXISTS")
        assert error.metadata == {"session_id": target}

    async def test_a_copy_of_a_copy(self, api: Api, session: str, target: str) -> None:
        await saved(api, session, 1, 2, 3)
        await copy(api, session, target)
        await rewind(api, target, "2")
        await copy(api, target, f"{target}!")
        assert_same((await latest(api, f"{target}!")).state, (await load(api, session, "2")).state)

    async def test_needs_a_source(self, api: Api, session: str, target: str) -> None:
        assert (await refused(copy(api, session, target))).reason == "SESSION_NOT_FOUND"
        await saved(api, session, 1)
        error = await refused(copy(api, session, target, at={"checkpoint_id": "2"}))
        assert error.reason == "CHECKPOINT_NOT_FOUND"
        assert (await refused(get(api, target))).reason == "SESSION_NOT_FOUND"

    async def test_the_target_must_be_free(self, api: Api, session: str, target: str) -> None:
        await saved(api, session, 1)
        token = await acquire(api, target, "somebody")
        error = await refused(copy(api, session, target))
        assert (error.reason, error.metadata["holder"]) == ("LEASE_HELD", "somebody")
        await ask(api, "ReleaseLease", session_id=target, lease_token=token)
        await copy(api, session, target)
        await delete(api, target)
        assert (await refused(copy(api, session, target))).reason == "SESSION_DELETED"

    async def test_in_place_of_one_that_was_deleted(self, api: Api, session: str, target: str) -> None:
        await saved(api, session, 1, 2)
        await saved(api, target, 5, ran_nodes=[node("a")])
        await delete(api, target, tombstone={"seconds": 0})
        await copy(api, session, target)
        assert await ids(api, target) == ["2", "1"]
        assert await ids(api, target, ran_node=node("a")) == []
        assert_same((await latest(api, target)).state, (await latest(api, session)).state)

    async def test_needs_another_name(self, api: Api, session: str) -> None:
        assert (await refused(copy(api, session, session))).metadata["field"] == "target_session_id"
