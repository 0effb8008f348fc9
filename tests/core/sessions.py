"""Any sequence of saves, against the model: a state machine for hypothesis."""

import asyncio
import itertools
import random
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from lockstitch.v1.checkpoint_pb2 import Checkpoint, MessagesDelta, PendingWrite, StateDelta
from lockstitch.v1.checkpoint_service_pb2 import (
    CHECKPOINT_VIEW_HEADER,
    ExpectedLatest,
    ListCheckpointsRequest,
    ListSessionsRequest,
    LoadLatestRequest,
    LoadRequest,
    SaveRequest,
    SaveResponse,
    SaveWritesRequest,
    WalkAncestorsRequest,
)
from tests.core.model import Model, Name, Prediction, exact, name_of
from tests.support import strategies
from tests.support.api import Api, ApiError

T = TypeVar("T")

NUMBERS = itertools.count()
STEPS = st.sampled_from([0, 1, 2, 3, 10, 2**63 - 1])
IDS = st.sampled_from(["", "", "", "a", "b", "B", "é"])
WRITES = st.lists(strategies.writes, min_size=1, max_size=3)
MORE = st.lists(strategies.messages, min_size=1, max_size=2)
SELDOM = st.sampled_from([False, False, False, False, True])
NAMESPACES = st.sampled_from(["", "", "n"])


class Engine:
    """An API, or several over one store, and the loop that they run on."""

    def __init__(self, apis: Sequence[Api], loop: asyncio.Runner) -> None:
        self.apis = apis
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)


class Sessions(RuleBasedStateMachine):
    """Saves of every kind in one session, which is looked through at the end.

    Where there are several APIs, what each of them remembers of the session is mostly out of date.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.rng = random.Random(0)
        self.session = f"session-{next(NUMBERS)}."
        self.model = Model()
        self.sent: list[SaveRequest] = []

    @property
    def api(self) -> Api:
        """Any of them."""
        return self.rng.choice(self.engine.apis)

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.rng.seed(seed)

    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        self.send([self.draw_save(data)])

    @rule(data=st.data())
    def save_many_at_once(self, data: st.DataObject) -> None:
        """They share a batch, and see what those before them in it did."""
        self.send([self.draw_save(data) for _ in range(data.draw(st.integers(2, 5)))])

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def save_again(self, data: st.DataObject) -> None:
        """A request that was sent before, perhaps long ago, perhaps one that failed; perhaps twice at once."""
        again = data.draw(st.sampled_from(self.sent), label="again")
        self.send([again] * data.draw(st.integers(1, 2)))

    @precondition(lambda self: self.model.entries)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        """Several grow out of one at once: only one of them can go on in its logs."""
        namespace, base = self.draw_name(data)
        requests = []
        for name in data.draw(st.permutations(["a", "b", "B"]))[: data.draw(st.integers(2, 3))]:
            checkpoint = Checkpoint(session_id=self.session, namespace=namespace, checkpoint_id=name, parent_id=base)
            delta = StateDelta(messages=MessagesDelta(append=data.draw(MORE)))
            requests.append(SaveRequest(checkpoint=checkpoint, base_checkpoint_id=base, delta=delta))
        self.send(requests)

    @precondition(lambda self: any(request.HasField("delta") for request in self.sent))
    @rule(data=st.data())
    def replace_a_base_and_save_again(self, data: st.DataObject) -> None:
        """What the delta makes of its new base is something else."""
        again = data.draw(st.sampled_from([request for request in self.sent if request.HasField("delta")]))
        base = Checkpoint(session_id=self.session, namespace=again.checkpoint.namespace)
        base.checkpoint_id, base.state.messages.version = again.base_checkpoint_id, data.draw(strategies.u32)
        self.send([SaveRequest(checkpoint=base), again])

    @precondition(lambda self: self.model.entries)
    @rule(data=st.data())
    def save_whole_what_is_there(self, data: st.DataObject) -> None:
        """However it came to be: nothing changes."""
        entry = self.model.entries[self.draw_name(data)]
        self.send([SaveRequest(checkpoint=entry.checkpoint)])

    @rule(data=st.data(), writes=WRITES)
    def save_writes(self, data: st.DataObject, writes: list[PendingWrite]) -> None:
        namespace, checkpoint_id = data.draw(NAMESPACES), data.draw(IDS) or f"{data.draw(STEPS):020d}"
        request = SaveWritesRequest(
            session_id=self.session, namespace=namespace, checkpoint_id=checkpoint_id, writes=writes
        )
        answer = self.engine.run(self.api.save_writes(request))
        assert answer.stored == self.model.write((namespace, checkpoint_id), writes)
        assert answer.revision > self.model.revision if answer.stored else answer.revision == self.model.revision
        self.model.revision = answer.revision

    def teardown(self) -> None:
        event(f"checkpoints: {len(self.model.entries)}")
        self.engine.run(self.look_through())

    # What is sent

    def draw_save(self, data: st.DataObject) -> SaveRequest:
        checkpoint = data.draw(strategies.headers, label="header")
        checkpoint.session_id = self.session
        checkpoint.namespace = data.draw(NAMESPACES)
        checkpoint.checkpoint_id, checkpoint.step = data.draw(IDS), data.draw(STEPS)
        known = self.model.ids(checkpoint.namespace)
        checkpoint.parent_id = data.draw(st.sampled_from(["", "missing", *known]))
        request = SaveRequest(checkpoint=checkpoint, writes=data.draw(st.just([]) | WRITES))
        if data.draw(SELDOM, label="with a precondition"):
            request.expected_latest.CopyFrom(data.draw(self.expectations(known)))
        if data.draw(st.booleans(), label="delta") and (known or data.draw(SELDOM)):
            self.add_delta(request, data)
        else:
            self.add_state(request.checkpoint, data)
        return request

    def expectations(self, ids: list[str]) -> st.SearchStrategy[ExpectedLatest]:
        """Mostly such that hold."""
        right = ExpectedLatest(checkpoint_id=ids[0]) if ids else ExpectedLatest(none=True)
        return st.just(right) | st.builds(ExpectedLatest, none=st.just(True)) | st.builds(ExpectedLatest, step=STEPS)

    def add_delta(self, request: SaveRequest, data: st.DataObject) -> None:
        known = self.model.ids(request.checkpoint.namespace)
        base = "missing" if not known or data.draw(SELDOM) else data.draw(st.sampled_from(known), label="base")
        request.base_checkpoint_id = base
        request.delta.CopyFrom(data.draw(strategies.deltas(), label="delta"))
        if base != "missing" and data.draw(st.booleans()):
            entry = self.model.entries[request.checkpoint.namespace, base]
            request.base_revision = entry.revision + data.draw(st.sampled_from([0, 0, 0, 1]))

    def add_state(self, checkpoint: Checkpoint, data: st.DataObject) -> None:
        """None, any, or one that is there already, with some changes."""
        kinds = ["none", "any", "grown", "grown"] if self.model.entries else ["none", "any"]
        kind = data.draw(st.sampled_from(kinds), label="state")
        if kind == "any":
            checkpoint.state.CopyFrom(data.draw(strategies.states))
        elif kind == "grown":
            checkpoint.state.CopyFrom(self.model.entries[self.draw_name(data)].checkpoint.state)
            checkpoint.state.messages.items.extend(data.draw(st.lists(strategies.messages, max_size=2)))
            checkpoint.state.extra.entries.update(data.draw(st.dictionaries(strategies.names, strategies.json_texts)))
            if data.draw(SELDOM, label="shorter"):
                del checkpoint.state.messages.items[data.draw(st.integers(0, 3)) :]
            for channel in checkpoint.state.custom.values():
                if channel.HasField("list"):
                    channel.list.items.extend(data.draw(st.lists(strategies.blobs, max_size=2)))

    def draw_name(self, data: st.DataObject) -> Name:
        return data.draw(st.sampled_from(sorted(self.model.entries)), label="checkpoint")

    # What comes of it

    def send(self, requests: list[SaveRequest]) -> None:
        """Send requests at once; they are applied in this order."""
        self.sent.extend(requests)
        for request, answer in zip(requests, self.engine.run(self.answers(requests)), strict=True):
            prediction = self.model.predict(request)
            event(self.describe(request, prediction))
            if isinstance(answer, ApiError):
                assert prediction.outcome is None, f"{answer} instead of {prediction.outcome}"
                assert answer.reason in prediction.reasons
            else:
                assert prediction.outcome is not None, f"saved, and not refused for {prediction.reasons}"
                self.model.saved(request, prediction, answer)
        revision = self.engine.run(self.api.load_latest(LoadLatestRequest(session_id=self.session))).revision
        assert revision >= self.model.revision
        self.model.revision = revision

    async def answers(self, requests: list[SaveRequest]) -> list[SaveResponse | ApiError]:
        results = await asyncio.gather(*map(self.api.save, requests), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ApiError):
                raise result
        return results  # type: ignore[return-value]  # nothing else is left

    def describe(self, request: SaveRequest, prediction: Prediction) -> str:
        kind = "delta" if request.HasField("delta") else "full"
        return f"{kind}: {prediction.outcome or sorted(prediction.reasons)}"

    # What is there in the end

    async def look_through(self) -> None:
        for name in self.model.entries:
            await self.look_at(name)
        for namespace in ("", "n", "other"):
            await self.look_at_latest(namespace)
        await self.look_at_lists()

    async def look_at(self, name: Name) -> None:
        namespace, checkpoint_id = name
        answer = await self.api.load(
            LoadRequest(session_id=self.session, namespace=namespace, checkpoint_id=checkpoint_id)
        )
        assert exact(answer.checkpoint) == exact(self.model.loaded(name))
        assert list(answer.pending_writes) == self.model.pending(name)
        step = self.model.entries[name].checkpoint.step
        by_step = await self.api.load(
            LoadRequest(session_id=self.session, namespace=namespace, step=step, view=CHECKPOINT_VIEW_HEADER)
        )
        entries = self.model.entries
        same_step = [each for each in self.model.ids(namespace) if entries[namespace, each].checkpoint.step == step]
        assert by_step.checkpoint.checkpoint_id == same_step[0]
        request = WalkAncestorsRequest(session_id=self.session, namespace=namespace, checkpoint_id=checkpoint_id)
        walked = [each.checkpoint async for each in self.api.walk_ancestors(request)]
        assert [each.checkpoint_id for each in walked] == self.model.ancestors(name)
        assert list(map(exact, walked)) == [exact(self.model.loaded(name_of(each))) for each in walked]

    async def look_at_latest(self, namespace: str) -> None:
        answer = await self.api.load_latest(LoadLatestRequest(session_id=self.session, namespace=namespace))
        ids = self.model.ids(namespace)
        assert answer.checkpoint.checkpoint_id == (ids[0] if ids else "")
        if ids:
            assert exact(answer.checkpoint) == exact(self.model.loaded((namespace, ids[0])))

    async def look_at_lists(self) -> None:
        request = ListCheckpointsRequest(session_id=self.session, include_total=True, include_writes=True)
        page = await self.api.list_checkpoints(request)
        in_order = sorted(self.model.entries, key=lambda name: (name[1].encode(), name[0].encode()), reverse=True)
        assert page.total_size == len(in_order)
        assert [name_of(each) for each in page.checkpoints] == in_order
        for name, found, details in zip(in_order, page.checkpoints, page.details, strict=True):
            assert exact(found) == exact(self.model.loaded(name))
            assert details.revision == self.model.entries[name].revision
            assert list(details.pending_writes) == self.model.pending(name)
        sessions = (await self.api.list_sessions(ListSessionsRequest(session_id_prefix=self.session))).sessions
        if not in_order:
            assert not sessions
            return
        (summary,) = sessions
        latest = self.model.ids("")
        assert (summary.latest_checkpoint_id, summary.checkpoint_count) == (latest[0] if latest else "", len(in_order))
        assert summary.revision == self.model.revision
