"""A server in a few lines, without a network: what `Save` promises about deltas, and faults on demand."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc

from lockstitch import BaseChanged, DeltaMismatch, InvalidArgument, LockstitchError, Unavailable, UnknownBase
from lockstitch._api import Api
from lockstitch._calls import Caller
from lockstitch._channel import RetryPolicy
from lockstitch._limiter import Unlimited
from lockstitch._memory import DeltaPolicy, Memory
from lockstitch._rpcs import LOAD_LATEST_STREAM, WALK_ANCESTORS, Rpc
from lockstitch._turns import NoTurns
from lockstitch.v1.checkpoint_pb2 import Checkpoint, VersionedState
from lockstitch.v1.checkpoint_service_pb2 import (
    LoadLatestStreamRequest,
    LoadLatestStreamResponse,
    SaveRequest,
    SaveResponse,
    WalkAncestorsRequest,
    WalkAncestorsResponse,
)
from tests.client.reference import apply

Key = tuple[str, str, str]


def unavailable() -> Unavailable:
    return Unavailable("away", code=grpc.StatusCode.UNAVAILABLE)


class ModelServer:
    """The checkpoints that a server would have, and the requests it was sent. It is its own transport."""

    def __init__(self) -> None:
        self.room, self.turns = Unlimited(), NoTurns()
        self.checkpoints: dict[Key, tuple[Checkpoint, int]] = {}
        self.requests: list[Any] = []
        self.revision = 0
        self.lose_answer = False
        self.take_deltas = True
        self.tell_revisions = True
        self.forget_answers = 0
        self.before_save: Callable[[], None] = lambda: None
        self.fault: Callable[[], LockstitchError] = unavailable
        self.break_after: list[int] = []
        """Streams break off after so many answers, the next stream first; all when used up."""

    def api(self, policy: DeltaPolicy | None = DeltaPolicy(), retry: RetryPolicy | None = None) -> Api:  # noqa: B008
        """A client of this server."""
        return Api(Caller(self, retry), Memory(policy) if policy else None, 30)

    async def first_connection(self, timeout: float) -> None:
        pass

    async def check_connection(self) -> None:
        pass

    async def unary(self, rpc: Rpc[Any, Any], request: Any, timeout: float, *, wait: bool) -> Any:
        raise unavailable()

    async def save(self, request: bytes, session_id: str, timeout: float, *, wait: bool) -> SaveResponse:
        self.before_save()
        answer = self.stored(SaveRequest.FromString(request))
        if self.lose_answer:
            raise unavailable()
        return answer

    def stored(self, request: SaveRequest) -> SaveResponse:
        self.requests.append(request)
        checkpoint = request.checkpoint
        if request.HasField("delta"):
            checkpoint.state.CopyFrom(self._merged(request))
        checkpoint_id = checkpoint.checkpoint_id or f"{checkpoint.step:020d}"
        key = (checkpoint.session_id, checkpoint.namespace, checkpoint_id)
        known, revision = self.checkpoints.get(key, (None, 0))
        if known != checkpoint:
            self.revision += 1
            revision = self.revision
        self.checkpoints[key] = (checkpoint, revision)
        return SaveResponse(checkpoint_id=checkpoint_id, revision=revision if self.tell_revisions else 0)

    def _merged(self, request: SaveRequest) -> VersionedState:
        if not self.take_deltas:
            raise DeltaMismatch
        key = (request.checkpoint.session_id, request.checkpoint.namespace, request.base_checkpoint_id)
        if key not in self.checkpoints:
            raise UnknownBase
        base, revision = self.checkpoints[key]
        if request.base_revision != revision:
            raise BaseChanged
        return apply(base.state, request.delta)

    async def stream(
        self, rpc: Rpc[Any, Any], request: Any, timeout: float, *, wait: bool
    ) -> AsyncGenerator[Any, None]:
        self.requests.append(rpc.encode(request))
        answers = _STREAMS[rpc.path](self, request)
        end = self.break_after.pop(0) if self.break_after else len(answers) + 1
        for answer in answers[:end]:
            yield answer
        if end <= len(answers):
            raise self.fault()

    def load_latest_stream(self, request: LoadLatestStreamRequest) -> list[LoadLatestStreamResponse]:
        if not request.requests:
            raise InvalidArgument
        answers = [LoadLatestStreamResponse(index=index) for index in range(len(request.requests))]
        for answer, asked in zip(answers, request.requests, strict=True):
            answer.loaded.checkpoint.session_id = asked.session_id
        return answers[self.forget_answers :][::-1]

    def walk_ancestors(self, request: WalkAncestorsRequest) -> list[WalkAncestorsResponse]:
        answers: list[WalkAncestorsResponse] = []
        place, seen = request.checkpoint_id, set[str]()
        while len(answers) < (request.limit or len(self.checkpoints)):
            place = self.checkpoints[request.session_id, request.namespace, place][0].parent_id
            if not place or place in seen:
                break
            seen.add(place)
            answers.append(WalkAncestorsResponse(checkpoint=Checkpoint(checkpoint_id=place)))
        return answers

    async def renew_if_silent(self, seconds: float) -> None:
        pass

    async def sleep(self, seconds: float) -> None:
        pass

    async def close(self) -> None:
        pass


_STREAMS: dict[str, Callable[[ModelServer, Any], list[Any]]] = {
    LOAD_LATEST_STREAM.path: ModelServer.load_latest_stream,
    WALK_ANCESTORS.path: ModelServer.walk_ancestors,
}
