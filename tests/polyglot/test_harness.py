"""The harness itself: a wrong answer is noticed, and so is a wrong scenario."""

import sys
from pathlib import Path
from typing import Any

import pytest

from lockstitch.v1.checkpoint_pb2 import Checkpoint
from tests.polyglot.compare import Mismatch, compare, compare_error
from tests.polyglot.executor import Executor
from tests.polyglot.extremes import extreme_checkpoint, messages_within, newer, without_unknown_fields
from tests.polyglot.messages import encode, exactly
from tests.polyglot.scenario import Scenario, load_scenarios, resolve

CHECKPOINT = Checkpoint(session_id="s", step=2**63 - 1)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {}),
        ({"a": None}, {"a": ""}),
        ({"a": False}, {"a": 0}),
        ({"a": "1"}, {"a": 1}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": {}}, {"a": None}),
        ({"checkpoint": {"session_id": "s"}}, {"checkpoint": encode(CHECKPOINT)}),
        ({"checkpoint": CHECKPOINT}, {"checkpoint": encode(newer(CHECKPOINT))}),
        ({"checkpoint": CHECKPOINT}, {"checkpoint": None}),
        ({"checkpoint": {"$has": {"step": 1}}}, {"checkpoint": encode(CHECKPOINT)}),
        ({"pending_writes": [{"task_id": "t"}]}, {"pending_writes": []}),
    ],
)
def test_a_wrong_answer_is_noticed(expected: Any, actual: Any) -> None:
    with pytest.raises(Mismatch):
        compare(expected, actual)


def test_a_right_answer_is_right() -> None:
    message = {"session_id": "s", "step": 2**63 - 1}
    answer = {"revision": "5", "checkpoint": encode(CHECKPOINT), "items": [{"a": 1, "more": 2}]}
    compare({"revision": 5, "checkpoint": message, "items": [{"a": 1}], "absent": None}, answer)
    compare({"checkpoint": {"$has": {"session_id": "s"}}}, answer)


def test_an_error_has_one_of_the_codes() -> None:
    compare_error({"code": ["ABORTED", "UNAVAILABLE"]}, {"code": "ABORTED", "reason": "X"})
    with pytest.raises(Mismatch):
        compare_error({"code": ["ABORTED"]}, {"code": "UNAVAILABLE"})
    with pytest.raises(Mismatch):
        compare_error({"code": ["ABORTED"], "reason": "X"}, {"code": "ABORTED", "reason": "Y"})


def test_all_fields_are_at_their_extremes() -> None:
    checkpoint = extreme_checkpoint()
    assert {field.name for field, _ in checkpoint.ListFields()} == set(Checkpoint.DESCRIPTOR.fields_by_name)
    kinds = {message.DESCRIPTOR.full_name for message in messages_within(checkpoint)}
    contract = Checkpoint.DESCRIPTOR.file.message_types_by_name
    missing = {name for name, kind in contract.items() if kind.full_name not in kinds and not name.endswith("Delta")}
    assert missing == {"PendingWrite", "Scheduler", "SchedulerState", "SessionState", "StepReport"}
    assert exactly(without_unknown_fields(newer(checkpoint))) == exactly(checkpoint) != exactly(newer(checkpoint))


def test_scenarios_have_names_of_their_own() -> None:
    names = [str(scenario) for scenario in load_scenarios()]
    assert len(names) == len(set(names)) > 20


def test_a_step_that_nobody_understands_is_refused() -> None:
    for step in ({"op": "save", "okay": {}}, {"op": "save", "server": "stop"}, {}):
        with pytest.raises(AssertionError):
            Scenario(file="f", name="n", steps=[step])


def test_names_stand_for_values() -> None:
    names = {"session": "s-1", "kept": ["x"]}
    assert resolve({"a": "$session-b", "b": "$kept", "c": {"$repeat": ["é", 2]}}, names) == {
        "a": "s-1-b",
        "b": ["x"],
        "c": "éé",
    }


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("raise SystemExit(3)", "has ended"),
        ('import sys; sys.stdin.readline(); print(\'{"id": 7, "ok": {}}\')', "something else"),
        ('import sys; sys.stdin.readline(); print(\'{"id": 1, "fault": "no such"}\')', "no such"),
        ("import sys; sys.stdin.readline(); print('{\"id\": 1}')", "neither"),
    ],
)
def test_a_faulty_executor_is_noticed(program: str, complaint: str, tmp_path: Path) -> None:
    executor = Executor("faulty", [sys.executable, "-c", program], tmp_path, tmp_path / "log")
    try:
        with pytest.raises(AssertionError, match=complaint):
            executor.ask("save", {})
    finally:
        executor.kill()
