"""The ids that clients give their saves: late saves, equal saves, and saves of unknown outcome."""

import asyncio
import contextlib
from typing import Any

import pytest

from lockstitch import (
    NONE,
    AsyncClient,
    Client,
    DeadlineExceeded,
    ExpectedLatestMismatch,
    LockstitchError,
    Saved,
    SaveOutcome,
    Unauthenticated,
    Unavailable,
)
from lockstitch._draft import Draft
from lockstitch._save_ids import SaveIds
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest
from tests.client.either import Kind, open_client
from tests.client.examples import conversation
from tests.client.forwarding import forwarding_server
from tests.support.server import LockstitchServer

PATIENCE = 60.0
MANY = "x" * 200_000


@pytest.mark.slow
@pytest.mark.parametrize("saves", [1, 16])
async def test_a_stopped_server_that_goes_on(
    own_server: LockstitchServer, kind: Kind, session_id: str, saves: int
) -> None:
    """What timed out while the server was stopped may arrive, but not over what was saved after it."""
    names = [f"{session_id}-{number}" for number in range(saves)]
    async with open_client(kind, own_server.target) as client:
        await asyncio.gather(*(client.save(conversation(name, 0)) for name in names))
        for turn in range(3):
            own_server.freeze()
            old = [client.save(conversation(name, 5, f"old {turn}{MANY}"), timeout=0.5) for name in names]
            given_up = await asyncio.gather(*old, return_exceptions=True)
            assert all(isinstance(error, DeadlineExceeded | Unavailable) for error in given_up), given_up
            new = [
                asyncio.create_task(client.save(conversation(name, 5, f"new {turn}"), timeout=PATIENCE))
                for name in names
            ]
            own_server.thaw()
            await asyncio.gather(*new)
            await asyncio.gather(*(client.save(conversation(f"{name}-{turn}", 0, MANY)) for name in names))
            for name in names:
                assert (await client.load_latest(name)).checkpoint == conversation(name, 5, f"new {turn}")


async def test_one_of_many_equal_saves_succeeds(client: AsyncClient, session_id: str) -> None:
    """Tasks and threads of one client are different holders, too."""
    saves = [client.save(conversation(session_id, 0), expected_latest=NONE) for _ in range(20)]
    results = await asyncio.gather(*saves, return_exceptions=True)
    assert [type(result) for result in results].count(Saved) == 1
    assert [type(result) for result in results].count(ExpectedLatestMismatch) == 19


async def test_a_save_of_unknown_outcome_can_be_repeated(server: LockstitchServer, kind: Kind, session_id: str) -> None:
    checkpoint = conversation(session_id, 0)
    async with (
        forwarding_server(server.target, Save=1) as forwarder,
        open_client(kind, forwarder.target, retry=False, stream=False) as client,
    ):
        with pytest.raises(Unavailable):
            await client.save(checkpoint, expected_latest=NONE)
        again = await client.save(checkpoint, expected_latest=NONE)
        assert again.outcome is SaveOutcome.UNCHANGED
        with pytest.raises(ExpectedLatestMismatch):
            await client.save(checkpoint, expected_latest=NONE)


async def test_a_retry_that_is_refused_says_nothing_about_the_attempt_before(
    server: LockstitchServer, kind: Kind, session_id: str
) -> None:
    checkpoint = conversation(session_id, 0)

    async with (
        forwarding_server(server.target, Save=1) as forwarder,
        open_client(kind, forwarder.target, key=lambda: "" if 0 < forwarder.calls["Save"] < 2 else "key") as client,
    ):
        for _ in range(2):  # the second attempt is refused before it is sent
            with pytest.raises(Unauthenticated):
                await client.save(checkpoint, expected_latest=NONE)
        forwarder.calls["Save"] = 2
        assert (await client.save(checkpoint, expected_latest=NONE)).outcome is SaveOutcome.UNCHANGED


async def test_a_save_of_unknown_outcome_is_not_that_of_another_program(
    server: LockstitchServer, kind: Kind, session_id: str
) -> None:
    checkpoint = conversation(session_id, 0)
    async with (
        forwarding_server(server.target, Save=1) as forwarder,
        open_client(kind, forwarder.target, retry=False, stream=False) as client,
        open_client(kind, server.target) as other,
    ):
        with pytest.raises(Unavailable):
            await client.save(checkpoint, expected_latest=NONE)
        with pytest.raises(ExpectedLatestMismatch):
            await other.save(checkpoint, expected_latest=NONE)


async def test_another_save_of_the_same_checkpoint_is_not_a_retry(
    server: LockstitchServer, kind: Kind, session_id: str
) -> None:
    async with (
        forwarding_server(server.target, Save=1) as forwarder,
        open_client(kind, forwarder.target, retry=False, stream=False) as client,
    ):
        with pytest.raises(Unavailable):
            await client.save(conversation(session_id, 0, "a"))
        await client.save(conversation(session_id, 0, "b"))
        saved = await client.save(conversation(session_id, 0, "a"))
        assert saved.outcome is SaveOutcome.REPLACED


async def test_a_revision_tells_checkpoints_of_one_id_apart(client: AsyncClient, session_id: str) -> None:
    await client.save(conversation(session_id, 1))
    seen = await client.save(conversation(session_id, 2))
    await client.rewind(session_id, f"{1:020d}")
    now = await client.save(conversation(session_id, 2, "other"))
    with pytest.raises(ExpectedLatestMismatch):
        await client.save(conversation(session_id, 3), expected_latest=2, expected_revision=seen.revision)
    await client.save(conversation(session_id, 3), expected_latest=2, expected_revision=now.revision)


async def test_a_revision_needs_a_checkpoint(client: AsyncClient, session_id: str) -> None:
    with pytest.raises(TypeError, match="expected_latest"):
        await client.save(conversation(session_id, 1), expected_revision=1)


def test_a_thread_saves_again_what_may_be_stored(server: LockstitchServer, session_id: str) -> None:
    async def use(step: Any) -> None:
        async with forwarding_server(server.target, Save=1) as forwarder:
            await asyncio.to_thread(step, forwarder.target)

    def step(target: str) -> None:
        with Client(target, retry=False) as client, Client(server.target) as other:
            thread = client.thread(session_id)
            with pytest.raises(Unavailable):
                thread.save({"owner": "worker"})
            with pytest.raises(ExpectedLatestMismatch):
                other.thread(session_id).save({"owner": "worker"})
            assert thread.save({"owner": "worker"}).outcome is SaveOutcome.UNCHANGED
            thread.append("log", 1)
            assert other.thread(session_id).load() == {"owner": "worker", "log": [1]}

    asyncio.run(use(step))


def test_equal_saves_of_two_threads_of_one_client_are_two(server: LockstitchServer, session_id: str) -> None:
    async def use(step: Any) -> None:
        async with forwarding_server(server.target, Save=1) as forwarder:
            await asyncio.to_thread(step, forwarder.target)

    def step(target: str) -> None:
        with Client(target, retry=False) as client:
            first, second = client.thread(session_id), client.thread(session_id)
            with pytest.raises(Unavailable):
                first.append("log", 1)
            with pytest.raises(ExpectedLatestMismatch):
                second.save({"log": [1]})
            assert first.append("log", 1).outcome is SaveOutcome.UNCHANGED
            assert second.load() == {"log": [1]}

    asyncio.run(use(step))


def number_of(ids: SaveIds, content: str, error: LockstitchError | None = None, meanwhile: Any = None) -> int:
    """The number that a save of this content gets, which ends with this error after what happens meanwhile."""
    draft = Draft(conversation("session", 0, content), b"")
    with contextlib.suppress(LockstitchError), ids.identified(draft, ids.next()):
        if meanwhile is not None:
            meanwhile()
        if error is not None:
            raise error
    return SaveRequest.FromString(draft.full()).save_id.number


@pytest.mark.parametrize("later", [None, Unavailable("lost")], ids=["stored", "lost"])
def test_a_save_that_a_later_one_may_have_replaced_is_not_retried(later: Unavailable | None) -> None:
    ids = SaveIds()
    assert number_of(ids, "a", Unavailable("lost"), lambda: number_of(ids, "b", later)) == 1
    assert number_of(ids, "a") == 3
    assert number_of(ids, "b") == 4


def test_a_save_is_retried_if_the_later_one_was_refused() -> None:
    ids, refusal = SaveIds(), ExpectedLatestMismatch("another")
    assert number_of(ids, "a", Unavailable("lost"), lambda: number_of(ids, "a", refusal)) == 1
    assert number_of(ids, "a") == 1
    assert not ids._under_way


def test_a_save_is_retried_after_another_one_that_was_refused() -> None:
    ids = SaveIds()
    assert number_of(ids, "a", Unavailable("lost")) == 1
    assert number_of(ids, "b", ExpectedLatestMismatch("stored")) == 2
    assert number_of(ids, "a", Unavailable("lost")) == 1
    assert number_of(ids, "b") == 4
    assert number_of(ids, "a") == 5
    assert not ids._under_way
    assert not ids._unsettled


async def test_memory_of_unknown_outcomes_is_bounded(session_id: str) -> None:
    async with AsyncClient("127.0.0.1:1", retry=False, connect_timeout=0.001) as client:
        for number in range(1030):
            with contextlib.suppress(LockstitchError):
                await client.save(conversation(f"{session_id}-{number}", 0, "x"), timeout=0.01)
        assert 0 < len(client._ids._unsettled) <= 1024
