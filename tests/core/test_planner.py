"""The planner alone: any sequence of saves against the model, and what is planned from the cache."""

import ast
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import lockstitch_server.core
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveWritesRequest
from lockstitch_server.core.format.parts import RowSizes
from lockstitch_server.core.planning.facts import Missing, ReadFacts, SessionFacts
from lockstitch_server.core.planning.operations import Operation, Outcome, PlanSettings, Saved
from lockstitch_server.core.planning.planner import Plan, plan
from lockstitch_server.core.planning.session_cache import SessionCache
from lockstitch_server.saving.intake import save_operation, save_writes_operation
from lockstitch_server.storage.postgres.store import ROW_SIZES as POSTGRES
from lockstitch_server.storage.sqlite.store import ROW_SIZES as SQLITE
from tests.core.planner_engine import PlannerEngine
from tests.core.sessions import Sessions

START = 1_800_000_000_000_000_000
SECOND = 1_000_000_000
SMALL = RowSizes(full=70, most=200, seals=True)
LIMITS = {
    "sqlite": PlanSettings(SQLITE, 2**26, 1000),
    "postgres": PlanSettings(POSTGRES, 2**26, 1000),
    "small rows": PlanSettings(SMALL, 2**26, 1000),
}


@pytest.mark.parametrize(
    ("limits", "examples"),
    [
        pytest.param(LIMITS["small rows"], 8, id="small rows"),
        pytest.param(LIMITS["sqlite"], 40, id="sqlite", marks=pytest.mark.slow),
        pytest.param(LIMITS["postgres"], 40, id="postgres", marks=pytest.mark.slow),
    ],
)
def test_any_sequence_of_saves(limits: PlanSettings, examples: int) -> None:
    from_cache = 0

    class Counted(Sessions):
        def teardown(self) -> None:
            nonlocal from_cache
            super().teardown()
            from_cache += engines.pop().from_cache

    engines: list[PlannerEngine] = []

    def machine() -> Sessions:
        engines.append(PlannerEngine(limits, 10**7))
        return Counted(engines[-1])

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # any function that makes one will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    assert from_cache > examples / 4


# From the cache


class Cached:
    """Sessions of which only the cache knows."""

    def __init__(self, limits: PlanSettings) -> None:
        self.limits = limits
        self.cache = SessionCache(10**9)
        self.now = START

    def begin(self, *operations: Operation) -> None:
        """First operations of new sessions."""
        planned = plan(operations, {each.key: SessionFacts(None) for each in operations}, self.limits, self.now)
        assert isinstance(planned, Plan)
        self.cache.update(planned.sessions)

    def plan(self, operation: Operation) -> Plan | Missing:
        planned = plan([operation], self.cache.facts([operation], self.now), self.limits, self.now)
        if isinstance(planned, Plan):
            self.cache.update(planned.sessions)
        return planned


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


def operation(request: SaveRequest) -> Operation:
    return save_operation(SaveRequest.FromString(request.SerializeToString()), "")


ROWS = {
    "full, all new": [full(1, 4, "a" * 500), full(2, 4, "b" * 500), full(3, 40, "c" * 500)],
    "full, and more": [full(step, step) for step in range(1, 20)],
    "full, the same": [full(1, 3), full(2, 3)],
    "deltas": [delta(step) for step in range(1, 20)],
    "a delta after a full one": [full(1, 4, "a" * 500), delta(2), delta(3)],
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("limits", [LIMITS["sqlite"], LIMITS["postgres"]], ids=["sqlite", "postgres"])
def test_a_session_that_goes_on_is_planned_from_the_cache(row: list[SaveRequest], limits: PlanSettings) -> None:
    sessions = Cached(limits)
    sessions.begin(operation(full(0, 1)))
    for request in row:
        planned = sessions.plan(operation(request))
        assert isinstance(planned, Plan)
        (result,) = planned.results
        assert isinstance(result, Saved)
        assert result.outcome is Outcome.CREATED
        sessions.now += SECOND


def test_a_session_whose_time_may_be_over_is_read_again() -> None:
    sessions = Cached(LIMITS["sqlite"])
    first = full(0, 1)
    first.ttl.seconds = 10
    sessions.begin(operation(first))
    sessions.now += 10 * SECOND
    save = operation(full(1, 1))
    planned = sessions.plan(save)
    assert isinstance(planned, Missing)
    assert planned.sessions == {save.key}


@pytest.mark.parametrize("step", [0, 1])
def test_a_save_whose_id_may_be_taken_reads_what_is_there(step: int) -> None:
    """What the cache knows of it may be damaged in the database."""
    sessions = Cached(LIMITS["sqlite"])
    sessions.begin(operation(full(0, 1)), operation(full(1, 1)))
    save = operation(full(step, 1))
    planned = sessions.plan(save)
    assert isinstance(planned, Missing)
    assert planned.sessions == {save.key}


@pytest.mark.parametrize("which", ["full", "delta"])
def test_a_save_that_comes_too_late_reads_no_state(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs append to one list. The one that is refused costs what it appends, however long the list is."""
    engine = PlannerEngine(LIMITS["sqlite"], 10**7)
    found, read = engine.store.found, list[object]()

    def recorded(missing: Missing) -> ReadFacts:
        read.extend(missing.segments)
        return found(missing)

    monkeypatch.setattr(engine.store, "found", recorded)
    engine.save([full(0, 40)])
    requests = [delta(1) if which == "delta" else full(1, 41) for _ in range(2)]
    for number, request in enumerate(requests):
        request.expected_latest.step = 0
        if which == "delta":
            request.delta.custom["list"].version = str(number)
        else:
            request.checkpoint.state.custom["list"].version = str(number)
    assert [engine.save([request])[0] for request in requests][1] == "EXPECTED_LATEST_MISMATCH"
    assert read == []
    assert not isinstance(engine.save([requests[0]])[0], str)


def test_a_fork_asks_for_its_base() -> None:
    sessions = Cached(LIMITS["sqlite"])
    sessions.begin(operation(full(0, 1)), operation(full(1, 1)))
    fork = delta(2)
    fork.base_checkpoint_id = f"{0:020d}"
    planned = sessions.plan(operation(fork))
    assert isinstance(planned, Missing)
    assert {(seek.how, seek.checkpoint_id) for seek in planned.checkpoints} == {("at", f"{0:020d}")}


@pytest.mark.parametrize("save", [delta(1), full(1, 3)], ids=["delta", "full"])
def test_a_save_on_a_base_that_was_read_reads_no_states(save: SaveRequest) -> None:
    """Only the ends of the base's logs: its states may be large."""
    sessions = Cached(LIMITS["sqlite"])
    sessions.begin(operation(full(0, 2)))
    cached = sessions.cache.get(operation(save).key)
    assert cached is not None
    cold = SessionFacts(cached.row, latest=dict(cached.latest))
    planned = plan([operation(save)], {operation(save).key: cold}, LIMITS["sqlite"], START + SECOND)
    assert isinstance(planned, Missing)
    assert planned.tails
    assert not planned.segments


def test_pending_writes_of_other_checkpoints_do_not_matter() -> None:
    sessions = Cached(LIMITS["sqlite"])
    first = full(0, 1)
    first.writes.add(task_id="task", channel="c").value.data = b"x"
    later = SaveWritesRequest(session_id="s", checkpoint_id=f"{2:020d}", writes=first.writes)
    sessions.begin(operation(first), save_writes_operation(later, ""))
    for step in (1, 2, 3):
        assert isinstance(sessions.plan(operation(full(step, 1))), Plan)


def test_a_batch_asks_for_all_that_it_needs_at_once() -> None:
    """However many sessions, and operations of each."""
    requests = [full(step, 1) for step in (1, 2)]
    requests[1].checkpoint.namespace = "n"
    batch = [operation(request) for request in requests]
    for name in ("t", "u"):
        other = full(1, 1)
        other.checkpoint.session_id = name
        batch.append(operation(other))
    assert isinstance(missing := plan(batch, {}, LIMITS["sqlite"], START), Missing)
    assert missing.sessions == {each.key for each in batch}
    sessions = Cached(LIMITS["sqlite"])
    sessions.begin(*batch)
    rows = {each.key: SessionFacts(facts.row) for each in batch if (facts := sessions.cache.get(each.key))}
    missing = plan(batch, rows, LIMITS["sqlite"], START)
    assert isinstance(missing, Missing)
    assert {(seek.key, seek.namespace) for seek in missing.checkpoints} == {
        (each.key, each.namespace) for each in batch
    }


# The core


def test_the_core_is_synchronous() -> None:
    """It has nothing to wait for: what it needs to know, it is given."""
    root = Path(lockstitch_server.core.__file__).parent
    paths = list(root.rglob("*.py"))
    assert root / "planning" / "planner.py" in paths
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    found = {path.name for path in paths for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, waiting)}
    assert not found
