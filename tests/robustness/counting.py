"""Clients that race: each saves the step after the latest, and only one can win it."""

import asyncio
import random
from collections.abc import Sequence

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import ExpectedLatest, LoadLatestRequest, LoadRequest, SaveRequest
from tests.robustness.ledger import fingerprint
from tests.robustness.workload import checkpoint, checkpoint_id, delta_save, full_save
from tests.support.api import Api, ApiError

INCREMENTS = 12
SESSIONS = ("one", "two")


async def count_up_together(apis: Sequence[Api], rng: random.Random) -> None:
    """Have a client of each API count up in each session. The count comes out as if they had taken turns."""
    for_session = {session: _race(apis, session, rng) for session in SESSIONS}
    winners = await asyncio.gather(*for_session.values())
    for session, won in zip(for_session, winners, strict=True):
        await _check(apis[0], session, won, len(apis) * INCREMENTS)


async def _race(apis: Sequence[Api], session: str, rng: random.Random) -> list[tuple[int, int]]:
    """All the steps that were won, each with its winner's number."""
    numbered = list(enumerate(apis, 1))
    won = await asyncio.gather(*(_count_up(api, session, n, random.Random(rng.random())) for n, api in numbered))
    return [(step, client) for client, steps in enumerate(won, 1) for step in steps]


async def _count_up(api: Api, session: str, client: int, rng: random.Random) -> list[int]:
    """Save the step after the latest, INCREMENTS times with success. Returns the steps."""
    won: list[int] = []
    while len(won) < INCREMENTS:
        latest = (await api.load_latest(LoadLatestRequest(session_id=session))).checkpoint
        request = _increment(session, latest, client, rng)
        try:
            await api.save(request)
        except ApiError as error:
            if error.reason != "EXPECTED_LATEST_MISMATCH":
                raise
        else:
            won.append(request.checkpoint.step)
    return won


def _increment(session: str, latest: Checkpoint, client: int, rng: random.Random) -> SaveRequest:
    if not latest.checkpoint_id:
        request = full_save(session, 0, client)
        request.expected_latest.none = True
        return request
    make = rng.choice([full_save, delta_save])
    request = make(session, latest.step + 1, client)
    request.expected_latest.CopyFrom(ExpectedLatest(checkpoint_id=latest.checkpoint_id))
    return request


async def _check(api: Api, session: str, winners: list[tuple[int, int]], count: int) -> None:
    assert sorted(step for step, _ in winners) == list(range(count)), "a step was won twice, or by nobody"
    for step, client in winners:
        loaded = await api.load(LoadRequest(session_id=session, checkpoint_id=checkpoint_id(step)))
        assert fingerprint(loaded.checkpoint) == fingerprint(checkpoint(session, step, client))
