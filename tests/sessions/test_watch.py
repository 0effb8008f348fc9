"""A watch under many saves, over two servers and many beginnings: every save once and in order, or told that not."""

import asyncio
import itertools
import os
import random
from contextlib import suppress

import pytest

from lockstitch.v1 import session_service_pb2 as pb
from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest
from tests.conformance.builders import checkpoint, save
from tests.conformance.session_builders import SECOND, prune, update, watching
from tests.support.api import ApiError, RawApi

SAVES = int(os.environ.get("LOCKSTITCH_TEST_WATCHED_SAVES", "2000"))
WRITERS = 8
PATIENCE = 300.0


class Follower:
    """Watches until it has seen the last save, beginning anew on another server now and then."""

    def __init__(self, replicas: list[RawApi], rng: random.Random) -> None:
        self._replicas = replicas
        self._rng = rng
        self.token = ""
        self.seen: list[int] = []
        self.revisions: list[int] = []
        self.watches = 0
        self.too_old = 0
        self.deletions = 0
        self.began = asyncio.Event()

    async def follow(self, enough: int) -> None:
        while len(self.seen) < enough:
            self.watches += 1
            try:
                await self._watch(self._rng.randrange(1, 300), enough)
            except ApiError as error:
                if error.reason != "RESUME_TOO_OLD":
                    raise
                self.too_old += 1
                self.token = ""

    async def _watch(self, events: int, enough: int) -> None:
        request = pb.WatchSessionRequest(session_id="s", resume_token=self.token)
        answers = self._rng.choice(self._replicas).stream("WatchSession", request)
        async for answer in answers:
            self.token = answer.resume_token
            self.began.set()
            self.deletions += answer.HasField("checkpoints_deleted")
            if answer.HasField("saved"):
                self.seen.append(answer.saved.step)
                self.revisions.append(answer.revision)
                events -= 1
            if events <= 0 or len(self.seen) >= enough:
                await answers.aclose()  # type: ignore[attr-defined]  # it is a generator
                return


async def save_all(replicas: list[RawApi]) -> None:
    async def write(number: int) -> None:
        for step in range(number, SAVES, WRITERS):
            await save(replicas[number % len(replicas)], checkpoint("s", step))

    await asyncio.gather(*(write(number) for number in range(WRITERS)))


async def test_every_save_once_and_in_order(replicas: list[RawApi]) -> None:
    followers = [Follower(replicas, random.Random(number)) for number in range(2)]
    following = asyncio.gather(*(follower.follow(SAVES) for follower in followers))
    await asyncio.gather(*(follower.began.wait() for follower in followers))
    await save_all(replicas)
    await asyncio.wait_for(following, PATIENCE)
    for follower in followers:
        assert sorted(follower.seen) == list(range(SAVES))
        assert follower.revisions == sorted(set(follower.revisions))
        assert follower.watches > 2
        assert not follower.too_old


@pytest.mark.parametrize("keep", [20])
async def test_what_was_pruned_unseen_is_told(replicas: list[RawApi], keep: int) -> None:
    """With prunes beside it: what is seen is in order, and what is missed is missed knowingly."""
    follower = Follower(replicas, random.Random(1))
    following = asyncio.create_task(follower.follow(SAVES))
    await follower.began.wait()
    saving = asyncio.create_task(save_all(replicas))
    while not saving.done():
        await prune(replicas[1], "s", retention={"keep_last": keep})
    await saving
    await asyncio.wait_for(_come_to_the_end(follower, following, replicas[0]), PATIENCE)
    assert follower.revisions == sorted(set(follower.revisions))
    assert follower.too_old or follower.deletions or set(follower.seen) >= set(range(SAVES))


async def _come_to_the_end(follower: Follower, following: "asyncio.Task[None]", api: RawApi) -> None:
    """Save until it sees that, which comes after all else; it may have begun anew after the first of these saves."""
    later = itertools.count(SAVES)
    while not following.done() and max(follower.seen, default=0) < SAVES:
        await save(api, checkpoint("s", next(later)))
        await asyncio.sleep(0.02)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_all_saves_are_told_before_expiry(replicas: list[RawApi]) -> None:
    """The checkpoints are still there: more of them than a watcher holds at once."""
    api = replicas[0]
    await save(api, checkpoint("s", 0))
    async with watching(api, "s") as watch:
        await watch.next()
        token = watch.token
    await asyncio.gather(*(save(api, checkpoint("s", step)) for step in range(1, 251)))
    await update(api, "s", ttl=SECOND)
    while (await api.load_latest(LoadLatestRequest(session_id="s"))).HasField("checkpoint"):
        await asyncio.sleep(0.05)
    async with watching(api, "s", resume_token=token) as watch:
        events = [await watch.event() for _ in range(251)]
    assert sorted(event.saved.step for event in events[:-1]) == list(range(1, 251))
    assert events[-1].WhichOneof("event") == "session_deleted"
