"""The lean plan is the plan: whatever it does not leave to it comes out the same."""

from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import Checkpoint, VersionedState
from lockstitch.v1.checkpoint_service_pb2 import ExpectedLatest, SaveRequest, SaveWritesRequest
from lockstitch_server.core.driving import drive
from lockstitch_server.core.heads import Heads
from lockstitch_server.core.intake import save_operation, save_writes_operation
from lockstitch_server.core.lean import Lean, plan_lean, plan_lean_ones, with_lean_ones
from lockstitch_server.core.operations import Operation, Outcome, Saved
from lockstitch_server.core.parts import RowSizes
from lockstitch_server.core.plan import Plan, PlanSettings, plan_batch
from lockstitch_server.core.prefetch import NotKnown, views_from_heads
from lockstitch_server.core.reading import Reader
from lockstitch_server.core.records import Head, SessionRow
from lockstitch_server.core.stored import stored
from lockstitch_server.core.view import SessionView
from lockstitch_server.storage.postgres.store import ROW_SIZES as POSTGRES
from lockstitch_server.storage.sqlite.store import ROW_SIZES as SQLITE
from tests.client.reference import apply
from tests.support import strategies
from tests.support.shares import Shares

START = 1_800_000_000_000_000_000
SMALL = RowSizes(full=70, most=200, seals=True)
LIMITS = [PlanSettings(sizes, 2**26, 100) for sizes in (SQLITE, POSTGRES, SMALL)] + [PlanSettings(SMALL, 5000, 4)]
NAMESPACES = st.sampled_from([""] * 11 + ["n"])
SELDOM = st.sampled_from([False] * 23 + [True])
NO_STORE = cast("Reader", None)
SECOND = 1_000_000_000
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]


class Sessions:
    """Sessions of which only the heads are known, as plans leave them."""

    def __init__(self, limits: PlanSettings) -> None:
        self.limits = limits
        self.heads = Heads(10**9)
        self.now = START

    def begin(self, saves: Sequence[Operation]) -> None:
        """Their first saves."""
        rows = [SessionRow(save.key, save.tenant, save.session_id, self.now, self.now) for save in saves]
        views = {row.key: SessionView(NO_STORE, row, is_new=True) for row in rows}
        self.heads.update(drive(plan_batch(saves, views, self.limits, self.now)).heads)

    def head(self, save: Operation) -> Head:
        head = self.heads.get(save.key)
        assert head is not None
        return head

    def plan(self, saves: Sequence[Operation]) -> Plan | None:
        """What the plan makes of a batch, from the heads alone; None where it does not know enough."""
        views = views_from_heads(saves, self.heads, self.now)
        if views is None:
            return None
        try:
            return drive(plan_batch(saves, views, self.limits, self.now))
        except NotKnown:
            return None

    def lean(self, saves: Sequence[Operation]) -> Plan | None:
        """The same, lean as far as can be."""
        lean = plan_lean_ones(saves, self.heads, self.limits, self.now)
        rest = self.plan([save for save, one in zip(saves, lean, strict=True) if one is None])
        return with_lean_ones(rest, lean) if rest is not None else None


def assert_same(lean: Plan | None, plan: Plan | None) -> None:
    """But for the order of sessions."""
    if lean is None or plan is None:
        assert lean is plan
        return
    assert sorted(lean.basis) == sorted(plan.basis)
    assert {change.row.key: change for change in lean.changes} == {change.row.key: change for change in plan.changes}
    assert [result if isinstance(result, Saved) else str(result) for result in lean.results] == [
        result if isinstance(result, Saved) else str(result) for result in plan.results
    ]
    assert lean.heads == plan.heads
    for key, head in lean.heads.items():
        for namespace, row in head.latest.items():
            other = plan.heads[key].latest[namespace]
            if row is not None and other is not None:
                assert row.decoded() == other.decoded()
                record = row.decoded()
                assert (
                    row.state() == other.state() == (stored(record.manifest) if record.HasField("manifest") else None)
                )


@st.composite
def saves(draw: st.DrawFn, name: str, step: int, before: list[SaveRequest]) -> SaveRequest:
    """A save that goes on from those before it, mostly as usual."""
    checkpoint = draw(strategies.headers)
    checkpoint.session_id, checkpoint.step = name, step
    checkpoint.namespace = draw(NAMESPACES)
    ids = [f"{other.checkpoint.step:020d}" for other in before]
    checkpoint.parent_id = draw(st.sampled_from(["", *ids[-1:] * 40, *ids, "zzz"]))
    if draw(SELDOM):
        checkpoint.checkpoint_id = draw(st.sampled_from(["a", *ids]))
    request = SaveRequest(checkpoint=checkpoint)
    if draw(SELDOM):
        request.writes.append(draw(strategies.writes))
    if draw(SELDOM):
        request.expected_latest.CopyFrom(ExpectedLatest(step=max(0, step - 1)))
    if draw(SELDOM):
        request.ttl.seconds = 10
    # A full state after a delta is compared with bytes of which only the store knows: most saves go on as they began.
    after_delta = bool(before) and before[-1].HasField("delta")
    if before and draw(st.sampled_from([after_delta] * 7 + [not after_delta] * 3)):
        request.base_checkpoint_id = draw(st.sampled_from([*ids[-1:] * 40, *ids]))
        request.delta.CopyFrom(draw(strategies.deltas()))
    elif not draw(SELDOM):
        request.checkpoint.state.CopyFrom(draw(strategies.states | grown(before)))
    return request


@st.composite
def grown(draw: st.DrawFn, before: list[SaveRequest]) -> VersionedState:
    """The last full state, with more in it."""
    states = [request.checkpoint.state for request in before if request.checkpoint.HasField("state")]
    state = VersionedState()
    if states:
        state.CopyFrom(states[-1])
    for request in before:
        if request.HasField("delta") and draw(st.booleans()):
            with suppress(AssertionError):  # it does not fit
                state = apply(state, request.delta)
    state.messages.items.extend(draw(st.lists(strategies.messages, max_size=2)))
    return state


def test_whatever_is_lean_is_the_same() -> None:
    shares = Shares()

    @settings(
        derandomize=True,
        max_examples=100,
        deadline=None,
        phases=PHASES,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(data=st.data(), limits=st.sampled_from(LIMITS))
    def compare(data: st.DataObject, limits: PlanSettings) -> None:
        sessions, before = Sessions(limits), list[SaveRequest]()
        for step in range(data.draw(st.integers(3, 8))):
            request = data.draw(saves("s", step, before))
            kept = SaveRequest.FromString(request.SerializeToString())
            save = save_operation(request, "tenant", data.draw(st.sampled_from([b"", bytes(range(16))])))
            if step == 0:
                sessions.begin([save])
                if sessions.heads.get(save.key) is None:  # the very first save has failed
                    return
                before.append(kept)
                continue
            plan = sessions.plan([save])
            lean = plan_lean(save, sessions.head(save), limits, sessions.now)
            shares.note(*kinds(kept, lean, plan))
            if lean is not None:
                assert_same(with_lean_ones(Plan([], [], [], {}), [lean]), plan)
            if plan is not None:
                sessions.heads.update({lean.basis.key: lean.head} if lean is not None else plan.heads)
                if isinstance(plan.results[0], Saved):  # else there is nothing to go on from
                    before.append(kept)
            sessions.now += data.draw(st.sampled_from([0, 1, 1000, SECOND, 11 * SECOND]))

    compare()
    shares.assert_at_least(0.5, "saved")
    shares.assert_at_least(0.4, "lean")
    shares.assert_at_least(0.02, "lean delta")
    shares.assert_at_least(0.12, "lean state")
    shares.assert_at_least(0.02, "left to the plan")


def kinds(request: SaveRequest, lean: Lean | None, plan: Plan | None) -> list[str]:
    """Of what kinds a save is."""
    saved = ["saved"] if plan is not None and isinstance(plan.results[0], Saved) else []
    if lean is not None:
        return [*saved, "lean", "lean delta" if request.HasField("delta") else "lean state"]
    return [*saved, "left to the plan"] if plan is not None else ["left to the store"]


@settings(
    max_examples=40,
    deadline=None,
    phases=PHASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data(), limits=st.sampled_from(LIMITS[:-1]))
def test_a_batch_of_both_is_the_same(data: st.DataObject, limits: PlanSettings) -> None:
    sessions, names = Sessions(limits), ["a", "b", "c"]
    first = [SaveRequest(checkpoint=Checkpoint(session_id=name, state=VersionedState())) for name in names]
    sessions.begin([save_operation(SaveRequest.FromString(request.SerializeToString()), "") for request in first])
    before = dict(zip(names, ([request] for request in first), strict=True))
    for step in range(1, 4):
        requests = [data.draw(saves(name, step, before[name])) for name in data.draw(st.permutations([*names, "a"]))]
        kept = [SaveRequest.FromString(request.SerializeToString()) for request in requests]
        batch = [save_operation(request, "") for request in requests]
        plan = sessions.plan(batch)
        assert_same(sessions.lean(batch), plan)
        if plan is None:
            return
        sessions.heads.update(plan.heads)
        for request in kept:
            before[request.checkpoint.session_id].append(request)


def full(step: int, count: int, text: str = "x" * 500) -> SaveRequest:
    request = SaveRequest(checkpoint=Checkpoint(session_id="s", step=step))
    state = request.checkpoint.state
    state.messages.version = step
    for number in range(count):
        state.messages.items.add(role="user", content=f"{number} {text}")
    state.extra.entries["left"] = str(step)
    state.custom["blob"].blob.data = bytes(200)
    state.custom["list"].list.items.add(data=bytes(100))
    return request


def delta(step: int) -> SaveRequest:
    request = SaveRequest(checkpoint=Checkpoint(session_id="s", step=step), base_checkpoint_id=f"{step - 1:020d}")
    request.delta.messages.append.add(role="user", content="y" * 500)
    request.delta.extra.set["left"] = str(step)
    request.delta.custom["blob"].blob.data = bytes([step]) * 200
    request.delta.custom["list"].append.items.add(data=bytes(100))
    return request


ROWS = {
    "full, all new": [full(1, 4, "a" * 500), full(2, 4, "b" * 500), full(3, 40, "c" * 500)],
    "full, and more": [full(step, step) for step in range(1, 20)],
    "full, the same": [full(1, 3), full(2, 3)],
    "deltas": [delta(step) for step in range(1, 20)],
    "a delta after a full one": [full(1, 4, "a" * 500), delta(2), delta(3)],
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("limits", LIMITS[:2], ids=["sqlite", "postgres"])
def test_what_is_usual_is_lean(row: list[SaveRequest], limits: PlanSettings) -> None:
    sessions = Sessions(limits)
    sessions.begin([save_operation(full(0, 1), "")])
    for request in row:
        save = save_operation(SaveRequest.FromString(request.SerializeToString()), "")
        lean = plan_lean(save, sessions.head(save), limits, sessions.now)
        assert lean is not None
        assert lean.saved.outcome is Outcome.CREATED
        assert_same(with_lean_ones(Plan([], [], [], {}), [lean]), sessions.plan([save]))
        sessions.heads.put(save.key, lean.head)
        sessions.now += SECOND


def test_a_session_whose_time_is_over_is_not_lean() -> None:
    sessions = Sessions(LIMITS[0])
    first = full(0, 1)
    first.ttl.seconds = 10
    sessions.begin([save_operation(first, "")])
    save = save_operation(full(1, 1), "")
    assert plan_lean(save, sessions.head(save), LIMITS[0], START + 5 * SECOND) is not None
    assert plan_lean(save, sessions.head(save), LIMITS[0], START + 10 * SECOND) is None


def test_pending_writes_of_other_checkpoints_do_not_matter() -> None:
    sessions = Sessions(LIMITS[0])
    first = full(0, 1)
    first.writes.add(task_id="task", channel="c").value.data = b"x"
    later = SaveWritesRequest(session_id="s", checkpoint_id=f"{2:020d}", writes=first.writes)
    sessions.begin([save_operation(first, ""), save_writes_operation(later, "")])
    for step, is_lean in ((1, True), (2, False), (3, True)):
        save = save_operation(full(step, 1), "")
        plan = sessions.plan([save])
        assert plan is not None
        lean = plan_lean(save, sessions.head(save), LIMITS[0], sessions.now)
        assert (lean is not None) == is_lean
        if lean is not None:
            assert_same(with_lean_ones(Plan([], [], [], {}), [lean]), plan)
        sessions.heads.update(plan.heads)
