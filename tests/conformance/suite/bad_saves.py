"""Saves that break a rule of the contract, with the field that the error names and the limit."""

from collections.abc import Callable, Mapping
from typing import Any

from lockstitch.v1.checkpoint_pb2 import ENDPOINT_UNSPECIFIED, NodeKind, WeaveError
from lockstitch.v1.checkpoint_service_pb2 import (
    SaveRequest,
)
from tests.conformance.builders import (
    MAX_STEP,
    MAX_U64,
    checkpoint,
    delta_of,
    node,
    save_request,
    state,
    write,
)


def saving(session: str, **fields: Any) -> SaveRequest:
    return save_request(checkpoint=checkpoint(session, **fields), writes=[write()])


def with_delta(session: str, **delta: Any) -> SaveRequest:
    """A delta on a base that is there."""
    return save_request(
        checkpoint={"session_id": session, "checkpoint_id": "next"},
        base_checkpoint_id="base",
        delta=delta_of(**delta),
    )


LONGEST_TTL = 100 * 366 * 86_400

Bad = tuple[Callable[[str], SaveRequest], str, int | None]


def preconditioned(session: str, **expected: Any) -> SaveRequest:
    return save_request(checkpoint=checkpoint(session), expected_latest=expected)


def failing(session: str, error: WeaveError) -> SaveRequest:
    return saving(session, state=state(errors={"items": [{"error": error}]}))


def chain(depth: int) -> WeaveError:
    """An error with so many causes, one behind the other."""
    error = WeaveError(message="the first")
    for _ in range(depth):
        error = WeaveError(cause=error)
    return error


STEPS: Mapping[str, Bad] = {
    "step": (lambda session: saving(session, step=MAX_STEP + 1), "checkpoint.step", MAX_STEP),
    "greatest step": (lambda session: saving(session, step=MAX_U64), "checkpoint.step", MAX_STEP),
    "expected step": (lambda session: preconditioned(session, step=MAX_STEP + 1), "expected_latest.step", MAX_STEP),
}
COMBINATIONS: Mapping[str, Bad] = {
    "expected nothing": (preconditioned, "expected_latest.expected", None),
    "expected none, false": (lambda session: preconditioned(session, none=False), "expected_latest.none", None),
    "expected none, of a revision": (
        lambda session: preconditioned(session, none=True, revision=1),
        "expected_latest.revision",
        None,
    ),
    "no writer": (
        lambda session: save_request(checkpoint=checkpoint(session), save_id={"number": 1}),
        "save_id.writer",
        None,
    ),
    "no number": (
        lambda session: save_request(checkpoint=checkpoint(session), save_id={"writer": 1}),
        "save_id.number",
        None,
    ),
    "state and delta": (
        lambda session: save_request(checkpoint=checkpoint(session), base_checkpoint_id="base", delta={}),
        "delta",
        None,
    ),
    "delta without base": (
        lambda session: save_request(checkpoint={"session_id": session}, delta={}),
        "base_checkpoint_id",
        None,
    ),
    "base without delta": (
        lambda session: save_request(checkpoint=checkpoint(session), base_checkpoint_id="base"),
        "base_checkpoint_id",
        None,
    ),
    "base revision without delta": (
        lambda session: save_request(checkpoint=checkpoint(session), base_revision=1),
        "base_revision",
        None,
    ),
    "entry set and removed": (
        lambda session: with_delta(session, extra={"set": {"k": "1"}, "remove": ["a", "k"]}),
        "delta.extra.remove",
        None,
    ),
    "channel changed and removed": (
        lambda session: with_delta(session, custom={"c": {}}, removed_custom=["c"]),
        "delta.removed_custom",
        None,
    ),
}
TEXTS: Mapping[str, Bad] = {
    "node": (lambda session: saving(session, frontier=[node("x" * 513)]), "checkpoint.frontier[0].custom", 512),
    "extra key": (
        lambda session: saving(session, state=state(extra={"entries": {"x" * 513: "1"}})),
        "checkpoint.state.extra.entries key",
        512,
    ),
    "extra key of a delta": (
        lambda session: with_delta(session, extra={"set": {"é" * 257: "1"}}),
        "delta.extra.set key",
        512,
    ),
    "channel": (
        lambda session: saving(session, state=state(custom={"x" * 513: {}})),
        "checkpoint.state.custom key",
        512,
    ),
    "channel of a delta": (lambda session: with_delta(session, custom={"x" * 513: {}}), "delta.custom key", 512),
    "version": (
        lambda session: saving(session, state=state(custom={"c": {"version": "x" * 256}})),
        "checkpoint.state.custom['c'].version",
        255,
    ),
    "version of a delta": (
        lambda session: with_delta(session, custom={"c": {"version": "x" * 256}}),
        "delta.custom['c'].version",
        255,
    ),
    "type": (
        lambda session: saving(session, state=state(custom={"c": {"blob": {"type": "x" * 256}}})),
        "checkpoint.state.custom['c'].blob.type",
        255,
    ),
    "type in a list": (
        lambda session: saving(session, state=state(custom={"c": {"list": {"items": [{}, {"type": "x" * 256}]}}})),
        "checkpoint.state.custom['c'].list.items[1].type",
        255,
    ),
    "type of what is appended": (
        lambda session: with_delta(session, custom={"c": {"append": {"items": [{"type": "x" * 256}]}}}),
        "delta.custom['c'].append.items[0].type",
        255,
    ),
    "type of the header": (
        lambda session: saving(session, header={"type": "x" * 256}),
        "checkpoint.header.type",
        255,
    ),
    "type of a write": (
        lambda session: save_request(checkpoint=checkpoint(session), writes=[write(value={"type": "x" * 256})]),
        "writes[0].value.type",
        255,
    ),
    "metadata key": (lambda session: saving(session, metadata={"x" * 256: "1"}), "checkpoint.metadata key", 255),
}
NODES: Mapping[str, Bad] = {
    f"{kind} in {field}": (
        lambda session, field=field, bad=bad: saving(session, **{field: [node("good"), bad]}),  # type: ignore[misc]
        f"checkpoint.{field}[1].{problem}",
        None,
    )
    for field in ("frontier", "ran_nodes", "skipped_nodes")
    for kind, bad, problem in (
        ("no node", NodeKind(), "kind"),
        ("unspecified endpoint", NodeKind(endpoint=ENDPOINT_UNSPECIFIED), "endpoint"),
    )
}
TIMES: Mapping[str, Bad] = {
    "too early": (
        lambda session: saving(session, created_at={"seconds": -62_135_596_801}),
        "checkpoint.created_at",
        None,
    ),
    "too late": (
        lambda session: saving(session, created_at={"seconds": 253_402_300_800}),
        "checkpoint.created_at",
        None,
    ),
    "too many nanos": (lambda session: saving(session, created_at={"nanos": 10**9}), "checkpoint.created_at", None),
    "negative nanos": (lambda session: saving(session, created_at={"nanos": -1}), "checkpoint.created_at", None),
    "of an error": (
        lambda session: saving(session, state=state(errors={"items": [{"when": {"nanos": -1}}]})),
        "checkpoint.state.errors.items[0].when",
        None,
    ),
    "ttl of 0": (lambda session: save_request(checkpoint=checkpoint(session), ttl={}), "ttl", LONGEST_TTL),
    "ttl below 1 s": (
        lambda session: save_request(checkpoint=checkpoint(session), ttl={"nanos": 999_999_999}),
        "ttl",
        LONGEST_TTL,
    ),
    "negative ttl": (
        lambda session: save_request(checkpoint=checkpoint(session), ttl={"seconds": -1, "nanos": -1}),
        "ttl",
        LONGEST_TTL,
    ),
    "endless ttl": (
        lambda session: save_request(checkpoint=checkpoint(session), ttl={"seconds": 2**62}),
        "ttl",
        LONGEST_TTL,
    ),
}
BAD_SAVES: Mapping[str, Bad] = {**STEPS, **COMBINATIONS, **TEXTS, **NODES, **TIMES}
