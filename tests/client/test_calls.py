"""Every call, against a real server, with both clients."""

from datetime import UTC, datetime, timedelta

import pytest

from lockstitch import (
    NONE,
    AsyncClient,
    Checkpoint,
    ExpectedLatestMismatch,
    InvalidArgument,
    InvalidPageToken,
    NotFound,
    NotJson,
    Reason,
    SaveOutcome,
    SessionOrder,
    VersionedState,
    View,
    node,
)
from lockstitch._calls import Caller
from lockstitch._deadline import Deadline
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveResponse
from tests.client.examples import conversation, everything, write
from tests.client.states import with_unknown_field
from tests.support.server import LockstitchServer


def spy_on_saves(monkeypatch: pytest.MonkeyPatch) -> list[SaveRequest]:
    """The requests that are sent from now on."""
    sent: list[SaveRequest] = []
    save = Caller.save

    async def spy(self: Caller, request: bytes, session_id: str, deadline: Deadline) -> SaveResponse:
        sent.append(SaveRequest.FromString(request))
        return await save(self, request, session_id, deadline)

    monkeypatch.setattr(Caller, "save", spy)
    return sent


async def test_what_is_saved_comes_back(client: AsyncClient, session_id: str) -> None:
    checkpoint = with_unknown_field(everything(session_id))
    saved = await client.save(checkpoint, writes=[write("t", 0)])
    assert (saved.checkpoint_id, saved.outcome) == ("id-1", SaveOutcome.CREATED)
    assert saved.saved_at.seconds > 0
    latest = await client.load_latest(session_id, "outer/inner")
    assert latest.checkpoint is not None
    assert latest.checkpoint.SerializeToString(deterministic=True) == checkpoint.SerializeToString(deterministic=True)
    assert list(latest.pending_writes) == [write("t", 0)]
    assert latest.revision == saved.revision


async def test_no_such_session_is_no_error(client: AsyncClient, session_id: str) -> None:
    latest = await client.load_latest(session_id)
    assert (latest.checkpoint, list(latest.pending_writes), latest.revision) == (None, [], 0)


async def test_the_same_again_changes_nothing(client: AsyncClient, session_id: str) -> None:
    first = await client.save(conversation(session_id, 0))
    second = await client.save(conversation(session_id, 0))
    assert second.outcome is SaveOutcome.UNCHANGED
    assert second.revision == first.revision
    replaced = await client.save(conversation(session_id, 0, "other"))
    assert replaced.outcome is SaveOutcome.REPLACED


async def test_a_long_session_in_deltas(client: AsyncClient, session_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = spy_on_saves(monkeypatch)
    for step in range(20):
        await client.save(conversation(session_id, step))
    assert [request.HasField("delta") for request in sent] == [False] + [True] * 19, "each delta was taken"
    for step in range(20):
        assert (await client.load(session_id, step=step)).checkpoint == conversation(session_id, step)


async def test_a_checkpoint_without_an_id_is_named_by_its_step(client: AsyncClient, session_id: str) -> None:
    for step in (9, 10):
        checkpoint = conversation(session_id, step)
        checkpoint.checkpoint_id = ""
        assert (await client.save(checkpoint)).checkpoint_id == f"{step:020d}"
    assert (await client.load_latest(session_id)).checkpoint == conversation(session_id, 10)


async def test_a_session_that_another_client_replaced(
    client: AsyncClient, server: LockstitchServer, session_id: str
) -> None:
    await client.save(conversation(session_id, 0))
    async with AsyncClient(server.target) as other:
        await other.save(conversation(session_id, 0, "somebody else's conversation"))
    await client.save(conversation(session_id, 1))
    latest = await client.load_latest(session_id)
    assert latest.checkpoint == conversation(session_id, 1)


async def test_expected_latest(client: AsyncClient, session_id: str) -> None:
    await client.save(conversation(session_id, 0), expected_latest=NONE)
    await client.save(conversation(session_id, 1), expected_latest=0)
    await client.save(conversation(session_id, 2), expected_latest=f"{1:020d}")
    with pytest.raises(ExpectedLatestMismatch) as caught:
        await client.save(conversation(session_id, 3), expected_latest=1)
    assert caught.value.latest_step == 2
    assert caught.value.latest_checkpoint_id == f"{2:020d}"
    assert caught.value.reason is Reason.EXPECTED_LATEST_MISMATCH
    assert (await client.load_latest(session_id)).checkpoint == conversation(session_id, 2)


async def test_expected_latest_where_there_is_none(client: AsyncClient, session_id: str) -> None:
    with pytest.raises(ExpectedLatestMismatch) as caught:
        await client.save(conversation(session_id, 3), expected_latest=1)
    assert (caught.value.latest_step, caught.value.latest_checkpoint_id) == (None, None)


async def test_a_session_with_an_end(client: AsyncClient, session_id: str) -> None:
    await client.save(conversation(session_id, 0), ttl=timedelta(hours=1))
    [summary] = [item async for item in client.list_sessions(session_id_prefix=session_id)]
    assert summary.expire_at.seconds - summary.updated_at.seconds == 3600


async def test_pending_writes(client: AsyncClient, session_id: str) -> None:
    saved = await client.save_writes(session_id, "next", [write("t", 0), write("t", -1)])
    assert saved.stored == 2
    again = await client.save_writes(session_id, "next", [write("t", 0, b"ignored"), write("t", -1, b"taken")])
    assert again.stored == 1
    await client.save(Checkpoint(session_id=session_id, checkpoint_id="next", state=VersionedState()))
    loaded = await client.load(session_id, checkpoint_id="next")
    assert list(loaded.pending_writes) == [write("t", -1, b"taken"), write("t", 0)]


async def test_load_by_id_and_by_step(client: AsyncClient, session_id: str) -> None:
    await client.save(conversation(session_id, 7))
    by_step = await client.load(session_id, step=7)
    by_id = await client.load(session_id, checkpoint_id=f"{7:020d}", view=View.HEADER)
    assert by_step.checkpoint == conversation(session_id, 7)
    assert not by_id.checkpoint.HasField("state")
    with pytest.raises(NotFound) as caught:
        await client.load(session_id, step=8)
    assert caught.value.metadata == {"session_id": session_id}
    for both in ({}, {"step": 1, "checkpoint_id": "a"}):
        with pytest.raises(TypeError):
            await client.load(session_id, **both)  # type: ignore[arg-type]


async def test_load_latest_of_many(client: AsyncClient, session_id: str) -> None:
    ids = [f"{session_id}-{number}" for number in range(5)]
    for name in ids[:4]:
        await client.save(conversation(name, 1))
    await client.save(everything(session_id))
    answers = {
        (answer.session_id, answer.namespace): answer.result().checkpoint
        async for answer in client.load_latest_many([*ids, (session_id, "outer/inner")])
    }
    assert answers.pop((session_id, "outer/inner")) == everything(session_id)
    assert answers.pop((ids[4], "")) is None
    assert answers == {(name, ""): conversation(name, 1) for name in ids[:4]}


async def test_list_sessions(client: AsyncClient, session_id: str) -> None:
    for number in range(5):
        await client.save(conversation(f"{session_id}-{number}", number))
    pager = client.list_sessions(session_id_prefix=session_id, page_size=2)
    assert [item.latest_step async for item in pager] == [4, 3, 2, 1, 0]
    pages = [page async for page in pager.pages()]
    assert [len(page.items) for page in pages if page.items] == [2, 2, 1]
    rest = client.list_sessions(session_id_prefix=session_id, page_size=2, page_token=pages[0].next_page_token)
    assert [item.latest_step async for item in rest] == [2, 1, 0]
    by_id = client.list_sessions(session_id_prefix=session_id, order_by=SessionOrder.SESSION_ID)
    assert [item.latest_step async for item in by_id] == [0, 1, 2, 3, 4]
    future = client.list_sessions(session_id_prefix=session_id, updated_since=datetime.now(UTC) + timedelta(days=1))
    assert [item async for item in future] == []


async def test_list_checkpoints(client: AsyncClient, session_id: str) -> None:
    for step in range(5):
        await client.save(conversation(session_id, step), writes=[write("t", 0)] if step == 4 else ())
    await client.save(everything(session_id))
    pager = client.list_checkpoints(session_id, namespace="", page_size=2, include_writes=True)
    listed = [item async for item in pager]
    assert [item.checkpoint for item in listed] == [conversation(session_id, step) for step in (4, 3, 2, 1, 0)]
    assert list(listed[0].pending_writes) == [write("t", 0)]
    assert listed[0].revision > listed[1].revision
    assert listed[0].state_bytes > listed[4].state_bytes
    assert not listed[0].channels
    sized = client.list_checkpoints(session_id, namespace="", view=View.HEADER, include_channel_sizes=True)
    sizes = [{size.channel: size.bytes for size in item.channels}["messages"] async for item in sized]
    assert sizes == sorted(sizes, reverse=True)
    some = client.list_checkpoints(session_id, min_step=1, max_step=2, namespace="", include_total=True)
    assert [page.total_size async for page in some.pages()] == [2]
    by_node = client.list_checkpoints(session_id, ran_node="a", skipped_node=node("b"), metadata={"n": "1.0"})
    assert [item.checkpoint.checkpoint_id async for item in by_node] == ["id-1"]


async def test_walk_ancestors(client: AsyncClient, session_id: str) -> None:
    for step in range(4):
        checkpoint = conversation(session_id, step)
        checkpoint.parent_id = f"{step - 1:020d}" if step else ""
        await client.save(checkpoint, writes=[write("t", 0)])
    walk = [ancestor async for ancestor in client.walk_ancestors(session_id, channels=["messages"])]
    assert [ancestor.checkpoint.step for ancestor in walk] == [2, 1, 0]
    assert walk[0].checkpoint.state == conversation(session_id, 2).state
    assert not walk[0].pending_writes
    [nearest] = [
        ancestor async for ancestor in client.walk_ancestors(session_id, f"{2:020d}", limit=1, include_writes=True)
    ]
    assert (nearest.checkpoint.step, list(nearest.pending_writes)) == (1, [write("t", 0)])


async def test_errors_of_one_session_among_many(client: AsyncClient, session_id: str) -> None:
    answers = [answer async for answer in client.load_latest_many([session_id])]
    assert answers[0].error is None
    with pytest.raises(InvalidArgument):
        [answer async for answer in client.load_latest_many([""])]


async def test_what_breaks_the_rules_is_told(client: AsyncClient, session_id: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await client.save(Checkpoint(state=VersionedState()))
    assert caught.value.field == "checkpoint.session_id"
    checkpoint = everything(session_id)
    checkpoint.state.extra.entries["a"] = "no JSON"
    with pytest.raises(NotJson):
        await client.save(checkpoint)
    with pytest.raises(InvalidPageToken):
        [item async for item in client.list_sessions(page_token="no token")]


async def test_what_is_no_condition(client: AsyncClient, session_id: str) -> None:
    with pytest.raises(TypeError):
        await client.save(conversation(session_id, 0), expected_latest=True)
    with pytest.raises(ValueError, match="time zone"):
        client.list_sessions(updated_since=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="timeout"):
        await client.load_latest(session_id, timeout=0)


async def test_a_closed_client_says_so(client: AsyncClient, session_id: str) -> None:
    await client.load_latest(session_id)
    await client.close()
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.load_latest(session_id)


async def test_wait_ready(client: AsyncClient) -> None:
    await client.wait_ready(10)


async def test_chosen_channels(client: AsyncClient, session_id: str) -> None:
    """What lists sessions need not load their messages."""
    made = Checkpoint(session_id=session_id, step=1)
    made.state.messages.items.add(role="user", content="hi")
    made.state.errors.items.add().error.message = "down"
    await client.save(made)
    latest = await client.load_latest(session_id, channels=["errors"])
    streamed = [each.result() async for each in client.load_latest_many([session_id], channels=["errors"])]
    loaded = await client.load(session_id, step=1, channels=["errors"])
    for checkpoint in (latest.checkpoint, loaded.checkpoint, *(each.checkpoint for each in streamed)):
        assert checkpoint is not None
        assert checkpoint.state.errors == made.state.errors
        assert not checkpoint.state.HasField("messages")
