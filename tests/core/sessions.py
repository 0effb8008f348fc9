"""Any sequence of saves, against the model: a state machine for hypothesis."""

import itertools
import random
from typing import Protocol

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from lockstitch.v1.checkpoint_pb2 import Checkpoint, MessagesDelta, PendingWrite, StateDelta
from lockstitch.v1.checkpoint_service_pb2 import (
    ExpectedLatest,
    SaveId,
    SaveRequest,
    SaveResponse,
    SaveWritesRequest,
    SaveWritesResponse,
)
from tests.core.model import Model, Name, Prediction
from tests.support import strategies

NUMBERS = itertools.count()
STEPS = st.sampled_from([0, 1, 2, 3, 10, 2**63 - 1])
IDS = st.sampled_from(["", "", "", "a", "b", "B", "é"])
WRITES = st.lists(strategies.writes, min_size=1, max_size=3)
MORE = st.lists(strategies.messages, min_size=1, max_size=2)
SELDOM = st.sampled_from([False, False, False, False, True])
NAMESPACES = st.sampled_from(["", "", "n"])
SAVE_IDS = st.builds(SaveId, writer=st.sampled_from([1, 1, 1, 2, 2, 3, 4, 5, 2**64 - 1]), number=st.integers(1, 300))
HOUR = 3600


class Engine(Protocol):
    """What saves. A refused request has the reason in place of an answer."""

    def save(self, requests: list[SaveRequest]) -> list[SaveResponse | str]:
        """Save at once, in this order."""
        ...

    def save_writes(self, request: SaveWritesRequest) -> SaveWritesResponse | str: ...

    def revision(self, session: str) -> int:
        """The revision of a session; 0: there is none."""
        ...

    def acquire_lease(self, session: str) -> int: ...

    def release_lease(self, session: str, token: int) -> None: ...

    @property
    def least_ttl(self) -> int:
        """In ns."""
        ...

    @property
    def expiries(self) -> float:
        """How often, out of all saves that could let the session expire, it does: where that takes its time, seldom."""
        ...

    def let_time_pass(self) -> None:
        """Wait until a session with the least ttl has expired."""
        ...

    def look_through(self, session: str, model: Model) -> None:
        """See that the session holds what the model does, and nothing else."""
        ...


class Sessions(RuleBasedStateMachine):
    """Saves of every kind in one session, which is looked through at the end."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.rng = random.Random(0)
        self.session = f"session-{next(NUMBERS)}."
        self.model = Model()
        self.sent: list[SaveRequest] = []
        self.newest = 0
        """Of ids that are greater than all others."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.rng.seed(seed)

    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        self.send([self.draw_save(data)])

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """As sessions mostly do: new latest checkpoints, each of which builds on the one before."""
        requests: list[SaveRequest] = []
        for _ in range(data.draw(st.integers(1, 3))):
            request = self.draw_save(data, namespace="")
            self.newest += 1
            request.checkpoint.checkpoint_id = f"🧵{self.newest:04d}"
            latest = requests[-1].checkpoint.checkpoint_id if requests else (self.model.ids("") or [""])[0]
            request.checkpoint.parent_id = latest
            if request.HasField("delta"):
                request.base_checkpoint_id, request.base_revision = latest or "missing", 0
            requests.append(request)
        self.send(requests)

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
            token = self.draw_token(data)
            requests.append(SaveRequest(checkpoint=checkpoint, base_checkpoint_id=base, delta=delta, lease_token=token))
        self.send(requests)

    @precondition(lambda self: any(request.HasField("delta") for request in self.sent))
    @rule(data=st.data())
    def replace_a_base_and_save_again(self, data: st.DataObject) -> None:
        """What the delta makes of its new base is something else."""
        again = data.draw(st.sampled_from([request for request in self.sent if request.HasField("delta")]))
        base = Checkpoint(session_id=self.session, namespace=again.checkpoint.namespace)
        base.checkpoint_id, base.state.messages.version = again.base_checkpoint_id, data.draw(strategies.u32)
        self.send([SaveRequest(checkpoint=base, lease_token=self.model.lease), again])

    @precondition(lambda self: self.model.entries)
    @rule(data=st.data())
    def save_whole_what_is_there(self, data: st.DataObject) -> None:
        """However it came to be: nothing changes."""
        entry = self.model.entries[self.draw_name(data)]
        request = SaveRequest(checkpoint=entry.checkpoint, lease_token=self.draw_token(data))
        request.MergeFrom(data.draw(st.just(SaveRequest()) | st.builds(SaveRequest, save_id=SAVE_IDS), label="id"))
        self.send([request])

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def save_again_by_another(self, data: st.DataObject) -> None:
        """The same content, as a save of its own; with a condition, as one that did not see the other."""
        again = SaveRequest()
        again.CopyFrom(data.draw(st.sampled_from(self.sent), label="again"))
        again.save_id.CopyFrom(data.draw(SAVE_IDS))
        if data.draw(st.booleans()):
            again.expected_latest.CopyFrom(ExpectedLatest(none=True))
        self.send([again])

    @rule(data=st.data(), writes=WRITES)
    def save_writes(self, data: st.DataObject, writes: list[PendingWrite]) -> None:
        namespace, checkpoint_id = data.draw(NAMESPACES), data.draw(IDS) or f"{data.draw(STEPS):020d}"
        request = SaveWritesRequest(
            session_id=self.session, namespace=namespace, checkpoint_id=checkpoint_id, writes=writes
        )
        lease_token = request.lease_token = self.draw_token(data)
        answer = self.engine.save_writes(request)
        name = (namespace, checkpoint_id)
        if isinstance(answer, str):
            assert (answer, lease_token == self.model.lease) == ("LEASE_LOST", False)
            return
        stored = self.model.write(name, writes)
        assert answer.stored == stored
        assert lease_token == self.model.lease or not stored
        assert answer.revision > self.model.revision if stored else answer.revision == self.model.revision
        self.model.revision = answer.revision

    @precondition(lambda self: not self.model.is_over)
    @rule()
    def acquire_lease(self) -> None:
        """The same holder takes it again, too: then the token before is void."""
        self.model.lease = self.engine.acquire_lease(self.session)
        self.note_revision()

    @precondition(lambda self: self.model.lease and not self.model.is_over)
    @rule()
    def release_lease(self) -> None:
        self.engine.release_lease(self.session, self.model.lease)
        self.model.lease = 0
        self.note_revision()

    @rule(data=st.data())
    def save_and_expire(self, data: st.DataObject) -> None:
        """The last of some saves gives the session so short a time that it is over soon."""
        if self.rng.random() >= self.engine.expiries:
            return
        requests = [self.draw_save(data) for _ in range(data.draw(st.integers(1, 2)))]
        ttl = self.engine.least_ttl
        self.send(requests, last_ttl=ttl)
        if self.model.ttl == ttl:
            self.engine.let_time_pass()
            self.model.expire()
            self.note_revision()

    def teardown(self) -> None:
        event(f"checkpoints: {len(self.model.entries)}")
        self.engine.look_through(self.session, self.model)

    # What is sent

    def draw_save(self, data: st.DataObject, namespace: str | None = None) -> SaveRequest:
        checkpoint = data.draw(strategies.headers, label="header")
        checkpoint.session_id = self.session
        checkpoint.namespace = data.draw(NAMESPACES) if namespace is None else namespace
        checkpoint.checkpoint_id, checkpoint.step = data.draw(IDS), data.draw(STEPS)
        known = self.model.ids(checkpoint.namespace)
        checkpoint.parent_id = data.draw(st.sampled_from(["", "missing", *known]))
        request = SaveRequest(checkpoint=checkpoint, writes=data.draw(st.just([]) | WRITES))
        request.lease_token = self.draw_token(data)
        request.MergeFrom(data.draw(st.just(SaveRequest()) | st.builds(SaveRequest, save_id=SAVE_IDS), label="id"))
        if data.draw(SELDOM, label="with a ttl"):
            request.ttl.seconds = HOUR
        if data.draw(SELDOM, label="with a precondition"):
            request.expected_latest.CopyFrom(data.draw(self.expectations(known, request.checkpoint.namespace)))
        if data.draw(st.booleans(), label="delta") and (known or data.draw(SELDOM)):
            self.add_delta(request, data)
        else:
            self.add_state(request.checkpoint, data)
        return request

    def draw_token(self, data: st.DataObject) -> int:
        """Mostly the right one."""
        return self.model.lease if not data.draw(SELDOM, label="without the lease") else 0

    def expectations(self, ids: list[str], namespace: str) -> st.SearchStrategy[ExpectedLatest]:
        """Mostly such that hold."""
        nothing = st.just(ExpectedLatest(none=True))
        if not ids:
            return nothing | st.builds(ExpectedLatest, step=STEPS)
        now = self.model.entries[namespace, ids[0]].revision
        revision = st.sampled_from([0, now, now, now - 1])
        this = st.builds(ExpectedLatest, checkpoint_id=st.just(ids[0]), revision=revision)
        return this | nothing | st.builds(ExpectedLatest, step=STEPS, revision=revision)

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

    def send(self, requests: list[SaveRequest], last_ttl: int = 0) -> None:
        """Send requests at once; they are applied in this order. last_ttl: of the last one, in ns."""
        self.sent.extend(requests)
        if last_ttl:
            last = SaveRequest()
            last.CopyFrom(requests[-1])
            last.ttl.FromNanoseconds(last_ttl)
            requests = [*requests[:-1], last]
        for request, answer in zip(requests, self.engine.save(requests), strict=True):
            prediction = self.model.predict(request)
            event(self.describe(request, prediction))
            if isinstance(answer, str):
                assert prediction.outcome is None, f"{answer} instead of {prediction.outcome}"
                assert answer in prediction.reasons
            else:
                assert prediction.outcome is not None, f"saved, and not refused for {prediction.reasons}"
                self.model.saved(request, prediction, answer)
        if self.model.ttl != last_ttl:  # else it may be over already
            self.note_revision()

    def note_revision(self) -> None:
        revision = self.engine.revision(self.session)
        if self.model.is_over:
            assert revision == 0
            return
        assert revision >= self.model.revision
        self.model.revision = revision

    def describe(self, request: SaveRequest, prediction: Prediction) -> str:
        kind = "delta" if request.HasField("delta") else "full"
        return f"{kind}: {prediction.outcome or sorted(prediction.reasons)}"
