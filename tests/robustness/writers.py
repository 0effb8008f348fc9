"""Load: writers that save sessions step by step, in all the ways there are, and note what is acknowledged."""

import asyncio
import random
from dataclasses import dataclass

import grpc

from lockstitch.v1.checkpoint_service_pb2 import LoadLatestRequest, SaveRequest, SaveWritesRequest
from tests.robustness import workload
from tests.robustness.ledger import Ledger, Sent
from tests.support.api import Api, ApiError

MOST_STEPS = 20
FAILURES = (ApiError, grpc.aio.AioRpcError)
"""With the server's own words, and without: where it is gone."""


@dataclass
class Unanswered:
    """A request whose fate is unknown. To send it again is safe."""

    request: SaveRequest | SaveWritesRequest
    sent: Sent


class Writer:
    """Writes one session after the other; goes on where it was after a failure."""

    def __init__(self, name: str, ledger: Ledger, rng: random.Random) -> None:
        self.failures: list[ApiError | grpc.aio.AioRpcError] = []
        self._name = name
        self._ledger = ledger
        self._rng = rng
        self._sessions = 0
        self._tasks = 0
        self._step = MOST_STEPS
        self._variant = 0
        self._unanswered: Unanswered | None = None

    @property
    def codes(self) -> set[grpc.StatusCode]:
        """What its calls have failed with."""
        return {failure.code if isinstance(failure, ApiError) else failure.code() for failure in self.failures}

    @property
    def session(self) -> str:
        return f"{self._name}-{self._sessions}"

    async def write(self, api: Api, stop: asyncio.Event) -> None:
        """Write until told to stop, or until a call fails."""
        while not stop.is_set() and await self.write_one(api):
            pass

    async def write_one(self, api: Api) -> bool:
        """Send one request, the last one again if it was not answered. Whether it was acknowledged."""
        self._unanswered = self._unanswered or self._next()
        try:
            await _send(api, self._unanswered.request)
        except FAILURES as failure:
            self.failures.append(failure)
            return False
        self._unanswered.sent.acknowledged = True
        self._unanswered = None
        return True

    def _next(self) -> Unanswered:
        if self._step >= MOST_STEPS:
            self._sessions, self._step = self._sessions + 1, -1
        chance = self._rng.random()
        if self._step >= 0 and chance < 0.1:
            return self._pending_writes()
        if self._step >= 0 and chance < 0.2:
            return self._save(workload.full_save, self._variant + 1)
        self._step += 1
        return self._save(workload.delta_save if self._step and chance < 0.5 else workload.full_save, 0)

    def _save(self, make: workload.MakeSave, variant: int) -> Unanswered:
        self._variant = variant
        request = make(self.session, self._step, variant)
        if self._rng.random() < 0.2:
            request.writes.extend(workload.pending_writes(self._new_task(), self._rng.randrange(1, 4)))
        return Unanswered(request, self._ledger.note_save(request, variant))

    def _pending_writes(self) -> Unanswered:
        writes = workload.pending_writes(self._new_task(), self._rng.randrange(1, 4))
        request = workload.writes_save(self.session, self._step, writes)
        return Unanswered(request, self._ledger.note_writes(request))

    def _new_task(self) -> str:
        self._tasks += 1
        return f"{self._name}-task-{self._tasks}"


async def _send(api: Api, request: SaveRequest | SaveWritesRequest) -> None:
    if isinstance(request, SaveRequest):
        await api.save(request)
    else:
        await api.save_writes(request)


async def read_along(api: Api, ledger: Ledger, rng: random.Random, stop: asyncio.Event) -> None:
    """Load the latest of random sessions meanwhile: no reader ever sees what nobody has sent."""
    while not stop.is_set():
        session = rng.choice(sorted(ledger.sent) or ["none"])
        try:
            latest = await api.load_latest(LoadLatestRequest(session_id=session))
        except FAILURES:
            return
        assert not latest.HasField("checkpoint") or ledger.knows(latest.checkpoint)
