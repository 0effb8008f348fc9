"""A zombie never wins: leases, saves, freezes, clocks that jump and replicas, against a model.

Workers come and go on one session. Each thinks what its last answer told it; some are frozen for longer than their
leases and wake up late, on whichever replica. The model knows the database's time only by what the replicas answer, and
so it tells for sure: who saves must hold the live lease; what has been saved is the work of one lease after the other,
without a gap and without anything in between.
"""

import asyncio
import random
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lockstitch_server.config import Settings
from lockstitch_server.storage.session_repository import SessionRepository
from tests.conformance.builders import checkpoint, contents, latest, load, page, save, state
from tests.conformance.session_builders import ask
from tests.support.api import ApiError, RawApi, raw_api

pytestmark = pytest.mark.slow

WORKERS = 4
STEPS = 60
SHORT = {"seconds": 1}


@dataclass
class Worker:
    """Counts up from the latest count it has seen, under the lease that it thinks it has."""

    name: str
    token: int = 0
    count: int = 0
    acknowledged: list[tuple[int, int]] = field(default_factory=list)
    """(token, count) of each save that was acknowledged."""

    async def act(self, api: RawApi, session: str, rng: random.Random) -> None:
        try:
            await self._act(api, session, rng)
        except ApiError as error:
            if error.reason == "LEASE_LOST":
                self.token = 0
            elif error.reason != "LEASE_HELD":
                raise

    async def _act(self, api: RawApi, session: str, rng: random.Random) -> None:
        choice = rng.random()
        if not self.token:
            answer = await ask(api, "AcquireLease", session_id=session, holder=self.name, ttl=SHORT)
            self.token = answer.lease.token
            self.count = await count_of(api, session)
        elif choice < 0.1:
            await ask(api, "RenewLease", session_id=session, lease_token=self.token, ttl=SHORT)
        elif choice < 0.15:
            await ask(api, "ReleaseLease", session_id=session, lease_token=self.token)
            self.token = 0
        else:
            said = state(f"{self.token} {self.count + 1}")
            wanted = checkpoint(session, self.count + 1, state=said)
            await save(api, wanted, lease_token=self.token)
            self.count += 1
            self.acknowledged.append((self.token, self.count))


async def count_of(api: RawApi, session: str) -> int:
    found = (await page(api, session, page_size=1)).checkpoints
    return found[0].step if found else 0


class Clocks:
    """The clocks of the replicas, which jump about. The database's does not."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.offset = 0

    def jump(self) -> None:
        self.offset = self._rng.choice([0, -3600, 3600, 86_400, -86_400, 2]) * 10**9

    def time_ns(self) -> int:
        return NOW() + self.offset


NOW = time.time_ns


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{request.node.name}")


async def test_a_zombie_never_wins(replicas: list[RawApi], rng: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(rng)
    monkeypatch.setattr(time, "time_ns", clocks.time_ns)
    workers = [Worker(f"worker {number}") for number in range(WORKERS)]

    async def live(worker: Worker, rng: random.Random) -> None:
        for _ in range(STEPS):
            await worker.act(rng.choice(replicas), "s", rng)
            if rng.random() < 0.04:  # frozen, for longer than its lease
                await asyncio.sleep(1.2)
            if rng.random() < 0.1:
                clocks.jump()

    await asyncio.gather(*(live(worker, random.Random(rng.random())) for worker in workers))
    monkeypatch.undo()
    await check(replicas[0], "s", workers)


async def check(api: RawApi, session: str, workers: list[Worker]) -> None:
    acknowledged = sorted((count, token) for worker in workers for token, count in worker.acknowledged)
    counts = [count for count, _ in acknowledged]
    assert counts == list(range(1, len(counts) + 1)), "each count was reached once"
    tokens = [token for _, token in acknowledged]
    assert tokens == sorted(tokens), "the work of one lease ended before that of the next began"
    assert len(set(tokens)) > 1
    for count, token in acknowledged:
        assert contents(await load(api, session, f"{count:020d}")) == [f"{token} {count}"]
    assert (await latest(api, session)).step == len(counts)


# The same against a model, one thing after the other, with the database's own clock turned by hand.


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "renew", "release", "save", "save", "save", "wait", "delete"]),
        st.integers(0, 2),
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class Model:
    """What must be true of one session."""

    now: int = 0
    holder: int | None = None
    token: int = 0
    end: int = 0
    highest: int = 0

    @property
    def live(self) -> int:
        return self.token if self.holder is not None and self.end > self.now else 0


@seed(7)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(actions=ACTIONS)
def test_leases_are_as_the_model_says(actions: list[tuple[str, int]]) -> None:
    asyncio.run(_follow(actions))


async def _follow(actions: list[tuple[str, int]]) -> None:
    async with raw_api(Settings(store="memory://")) as api:
        model, tokens = Model(), [0, 0, 0]
        for number, (action, worker) in enumerate(actions):
            await _step(api, model, tokens, action, worker, number)


async def _step(api: RawApi, model: Model, tokens: list[int], action: str, worker: int, number: int) -> None:
    """Do one thing on both sides, and compare. A wait makes the lease run out by moving its end in the database."""
    token = tokens[worker]
    outcome = "OK"
    try:
        if action == "acquire":
            answer = await ask(api, "AcquireLease", session_id="s", holder=f"{worker}", ttl={"seconds": 3600})
            tokens[worker] = answer.lease.token
        elif action == "renew":
            await ask(api, "RenewLease", session_id="s", lease_token=token or 1, ttl={"seconds": 3600})
        elif action == "release":
            answer = await ask(api, "ReleaseLease", session_id="s", lease_token=token or 1)
            outcome = "OK" if answer.released else "NOT HELD"
        elif action == "save":
            await save(api, checkpoint("s", number), lease_token=token)
        elif action == "delete":
            await ask(api, "DeleteSessions", session_ids=["s"], tombstone={"seconds": 0})
        else:
            await _run_out(api)
    except ApiError as error:
        outcome = error.reason
    assert outcome == _expected(model, action, worker, token), (action, worker)
    if action == "acquire" and outcome == "OK":
        assert tokens[worker] > model.highest, "a token came again"
        model.token = model.highest = tokens[worker]


def _expected(model: Model, action: str, worker: int, token: int) -> str:
    live = model.live
    if action == "acquire":
        if live and model.holder != worker:
            return "LEASE_HELD"
        model.holder, model.end = worker, model.now + 3600
        return "OK"
    if action == "renew":
        return "OK" if token and token == live else "LEASE_LOST"
    if action == "release":
        if not token or token != live:
            return "NOT HELD"
        model.holder = None
        return "OK"
    if action == "save":
        return "OK" if token == live else "LEASE_LOST"
    if action in ("delete", "wait"):
        model.holder = None
    return "OK"


async def _run_out(api: RawApi) -> None:
    """As if an hour had gone by for the lease."""

    async def unit(repository: SessionRepository) -> None:
        session = await repository.lock("default", "s")
        if not session.is_new:
            session.lease_expire_at = session.lease_acquired_at
            await repository.put(session)

    await api.store.transaction(unit)
