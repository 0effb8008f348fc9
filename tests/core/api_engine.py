"""An API, or several over one store, for any sequence of saves."""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from lockstitch.v1.checkpoint_service_pb2 import (
    CHECKPOINT_VIEW_HEADER,
    ListCheckpointsRequest,
    ListSessionsRequest,
    LoadLatestRequest,
    LoadRequest,
    SaveRequest,
    SaveResponse,
    SaveWritesRequest,
    SaveWritesResponse,
    WalkAncestorsRequest,
)
from tests.conformance.session_builders import acquire, release
from tests.core.model import Model, Name, exact, name_of
from tests.support.api import Api, ApiError

T = TypeVar("T")


class ApiEngine:
    """Where there are several APIs, what each of them remembers of the session is mostly out of date."""

    def __init__(self, apis: Sequence[Api], loop: asyncio.Runner) -> None:
        self._apis = apis
        self._loop = loop
        self._rng = random.Random(0)

    @property
    def _api(self) -> Api:
        """Any of them."""
        return self._rng.choice(self._apis)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)

    def save(self, requests: list[SaveRequest]) -> list[SaveResponse | str]:
        return self._run(self._answers(requests))

    async def _answers(self, requests: list[SaveRequest]) -> list[SaveResponse | str]:
        results = await asyncio.gather(*map(self._api.save, requests), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ApiError):
                raise result
        return [result.reason if isinstance(result, ApiError) else result for result in results]  # type: ignore[misc]

    def save_writes(self, request: SaveWritesRequest) -> SaveWritesResponse | str:
        try:
            return self._run(self._api.save_writes(request))
        except ApiError as error:
            return error.reason

    def revision(self, session: str) -> int:
        return self._run(self._api.load_latest(LoadLatestRequest(session_id=session))).revision

    def acquire_lease(self, session: str) -> int:
        return self._run(acquire(self._api, session, ttl={"seconds": 3600}))

    def release_lease(self, session: str, token: int) -> None:
        assert self._run(release(self._api, session, token))

    least_ttl = 1_000_000_000
    expiries = 0.1

    def let_time_pass(self) -> None:
        self._run(asyncio.sleep(1.05))

    def look_through(self, session: str, model: Model) -> None:
        self._run(_look_through(self._api, session, model))


async def _look_through(api: Api, session: str, model: Model) -> None:
    for name in model.entries:
        await _look_at(api, session, model, name)
    for namespace in ("", "n", "other"):
        await _look_at_latest(api, session, model, namespace)
    await _look_at_lists(api, session, model)


async def _look_at(api: Api, session: str, model: Model, name: Name) -> None:
    namespace, checkpoint_id = name
    answer = await api.load(LoadRequest(session_id=session, namespace=namespace, checkpoint_id=checkpoint_id))
    assert exact(answer.checkpoint) == exact(model.loaded(name))
    assert list(answer.pending_writes) == model.pending(name)
    step = model.entries[name].checkpoint.step
    by_step = await api.load(
        LoadRequest(session_id=session, namespace=namespace, step=step, view=CHECKPOINT_VIEW_HEADER)
    )
    same_step = [each for each in model.ids(namespace) if model.entries[namespace, each].checkpoint.step == step]
    assert by_step.checkpoint.checkpoint_id == same_step[0]
    request = WalkAncestorsRequest(session_id=session, namespace=namespace, checkpoint_id=checkpoint_id)
    walked = [each.checkpoint async for each in api.walk_ancestors(request)]
    assert [each.checkpoint_id for each in walked] == model.ancestors(name)
    assert list(map(exact, walked)) == [exact(model.loaded(name_of(each))) for each in walked]


async def _look_at_latest(api: Api, session: str, model: Model, namespace: str) -> None:
    answer = await api.load_latest(LoadLatestRequest(session_id=session, namespace=namespace))
    ids = model.ids(namespace)
    assert answer.checkpoint.checkpoint_id == (ids[0] if ids else "")
    if ids:
        assert exact(answer.checkpoint) == exact(model.loaded((namespace, ids[0])))


async def _look_at_lists(api: Api, session: str, model: Model) -> None:
    request = ListCheckpointsRequest(session_id=session, include_total=True, include_writes=True)
    page = await api.list_checkpoints(request)
    in_order = sorted(model.entries, key=lambda name: (name[1].encode(), name[0].encode()), reverse=True)
    assert page.total_size == len(in_order)
    assert [name_of(each) for each in page.checkpoints] == in_order
    for name, found, details in zip(in_order, page.checkpoints, page.details, strict=True):
        assert exact(found) == exact(model.loaded(name))
        assert details.revision == model.entries[name].revision
        assert list(details.pending_writes) == model.pending(name)
    sessions = (await api.list_sessions(ListSessionsRequest(session_id_prefix=session))).sessions
    if not in_order:
        assert not sessions
        return
    (summary,) = sessions
    latest = model.ids("")
    assert (summary.latest_checkpoint_id, summary.checkpoint_count) == (latest[0] if latest else "", len(in_order))
    assert summary.revision == model.revision
    assert summary.HasField("expire_at") == (model.ttl is not None)
