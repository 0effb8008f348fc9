"""Rows of weavegraph's tables become checkpoints."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from lockstitch.v1 import checkpoint_pb2 as pb
from lockstitch_server.importers.transfer import RowInvalid
from lockstitch_server.importers.weavegraph import SessionRow, StepRow, checkpoint, node, node_text

SESSION = SessionRow(id="s", concurrency_limit=4, steps=1)
STATE = '{"messages":{"version":1,"items":[]},"extra":{"version":1,"map":{}},"errors":{"version":1,"items":[]}}'
ROW = StepRow(
    session_id="s",
    step=3,
    created_at="2026-01-02T03:04:05.678Z",
    state=STATE,
    frontier="[]",
    versions_seen="{}",
    ran_nodes="[]",
    skipped_nodes="[]",
    updated_channels="[]",
)


def made(session: SessionRow = SESSION, **columns: Any) -> pb.Checkpoint:
    return checkpoint(session, dataclasses.replace(ROW, **columns))


def state(errors: str = '{"version":1,"items":[]}', **extra: str) -> pb.VersionedState:
    entries = ",".join(f'"{key}":{value}' for key, value in extra.items())
    text = f'{{"messages":{{"version":1,"items":[]}},"extra":{{"version":1,"map":{{{entries}}}}},"errors":{errors}}}'
    return made(state=text).state


def event(text: str) -> pb.ErrorEvent:
    (found,) = state(f'{{"version":1,"items":[{text}]}}').errors.items
    return found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Start", pb.NodeKind(endpoint=pb.ENDPOINT_START)),
        ("End", pb.NodeKind(endpoint=pb.ENDPOINT_END)),
        ("Custom:a", pb.NodeKind(custom="a")),
        ("Custom:", pb.NodeKind(custom="")),
        ("Custom:Start", pb.NodeKind(custom="Start")),
        ("Custom:Custom:a", pb.NodeKind(custom="Custom:a")),
        ("a", pb.NodeKind(custom="a")),
        ("", pb.NodeKind(custom="")),
    ],
)
def test_nodes(text: str, kind: pb.NodeKind) -> None:
    assert node(text) == kind
    assert node(node_text(kind)) == kind


@pytest.mark.parametrize(
    ("written", "seconds", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("2026-01-02T03:04:05.678Z", 1767323045, 678_000_000),
        ("2026-01-02T03:04:05.123456789+00:00", 1767323045, 123_456_789),
        ("2026-01-02T05:04:05.5+02:00", 1767323045, 500_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
        (datetime(2026, 1, 2, 3, 4, 5, 123456, UTC), 1767323045, 123_456_000),
    ],
)
def test_times_are_exact(written: object, seconds: int, nanos: int) -> None:
    found = made(created_at=written).created_at
    assert (found.seconds, found.nanos) == (seconds, nanos)


def test_a_limit_is_a_usize_in_an_i64() -> None:
    assert made().concurrency_limit == 4
    assert made(SessionRow("s", -1, 1)).concurrency_limit == 2**64 - 1


def test_the_identity() -> None:
    found = made(step=2**63 - 1)
    assert (found.session_id, found.step) == ("s", 2**63 - 1)
    assert (found.namespace, found.checkpoint_id, found.parent_id) == ("", "", "")


def test_values_of_extra_are_the_very_texts() -> None:
    values = {"a": "9007199254740993", "b": "-0.0", "c": "1e+16", "d": '{"x": [1,  2]}', "e": '"\\u0000"', "f": "null"}
    assert dict(state(**values).extra.entries) == values


def test_a_state_without_errors_is_older_than_that_channel() -> None:
    text = '{"messages":{"version":2},"extra":{"version":3}}'
    expected = pb.VersionedState(
        messages=pb.MessagesChannel(version=2), extra=pb.ExtrasChannel(version=3), errors=pb.ErrorsChannel(version=1)
    )
    assert made(state=text).state == expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (
            '{"scope":"node","kind":"Custom:a","step":18446744073709551615}',
            {"node": {"kind": "Custom:a", "step": 2**64 - 1}},
        ),
        ('{"scope":"scheduler","step":2}', {"scheduler": {"step": 2}}),
        ('{"scope":"runner","session":"s","step":3}', {"runner": {"session": "s", "step": 3}}),
        ('{"scope":"app"}', {"app": {}}),
    ],
)
def test_scopes(scope: str, expected: dict[str, dict[str, object]]) -> None:
    found = event(f'{{"when":"2026-01-02T03:04:05Z","scope":{scope},"error":{{"message":"m"}}}}')
    assert found.scope == pb.ErrorScope(**expected)  # type: ignore[arg-type]


def test_an_error_with_its_causes() -> None:
    found = event(
        '{"when":"2026-01-02T03:04:05.000000001Z","scope":{"scope":"app"},"error":{"message":"a","cause":{"message":"b",'
        '"cause":{"message":"","cause":null,"details":[]}},"details":{"n": 9007199254740993}},'
        '"tags":["y","x","y"],"context":null}'
    )
    assert found.when.nanos == 1
    assert found.error == pb.WeaveError(
        message="a",
        details='{"n": 9007199254740993}',
        cause=pb.WeaveError(message="b", cause=pb.WeaveError(message="", details="[]")),
    )
    assert list(found.tags) == ["y", "x", "y"]
    assert found.context == "null"


def test_no_updated_channels() -> None:
    assert list(made(updated_channels=None).updated_channels) == []


@pytest.mark.parametrize(
    "columns",
    [
        {"step": -1},
        {"created_at": "yesterday"},
        {"created_at": None},
        {"state": "{"},
        {"state": "[]"},
        {"state": '{"messages":{"version":1}}'},
        {"state": STATE.replace("1", "4294967296", 1)},
        {"state": STATE.replace("1", '"1"', 1)},
        {"state": STATE.replace("[]", '[{"role":"user"}]', 1)},
        {"state": STATE.replace("[]", "[5]", 1)},
        {"state": None},
        {"frontier": "{}x"},
        {"frontier": "[5]"},
        {"versions_seen": '{"a": {"b": -1}}'},
        {"versions_seen": "[]"},
        {"ran_nodes": '["\\ud800"]'},
        {"updated_channels": "[5]"},
    ],
)
def test_what_the_crate_does_not_write_is_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(RowInvalid, match=r"session 's', step "):
        made(**columns)


def test_the_same_row_is_always_the_same_checkpoint() -> None:
    assert made().SerializeToString(deterministic=True) == made().SerializeToString(deterministic=True)
