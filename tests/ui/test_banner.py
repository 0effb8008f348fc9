"""A session in a sentence."""

from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch import Lease
from lockstitch.inspect import Interrupt, Problem, Progress, Status, StatusKind
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_ui.views.banner import banner, clock

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC


def checkpoint(seconds: int) -> Checkpoint:
    made = Checkpoint(step=14)
    made.created_at.seconds = seconds
    return made


def progressed(ran: Sequence[str] = (), following: Sequence[str] = (), **fields: Any) -> Progress:
    return Progress(ran, following, fields.get("done", ()), fields.get("asks", ()), fields.get("problems", ()))


def said(kind: StatusKind, detail: str, progress: Progress, lease: Lease | None = None, at: int = 1_799_998_260) -> str:
    return "".join(
        f"`{piece.text}`" if piece.is_code else piece.text
        for piece in banner(Status(kind, detail), checkpoint(at), progress, lease, NOW)
    )


def test_a_failure() -> None:
    failed = progressed(["plan"], ["write_order"], problems=[Problem("HTTP 500", "write_order")])
    lease = Lease("s", 0, "pod-7", Timestamp(), Timestamp(seconds=int(NOW) - 60))
    assert said(StatusKind.FAILED, "HTTP 500", failed, lease) == (
        "Failed 07:31 in `write_order`, step 14: `HTTP 500`. Next would run `write_order`. "
        "The lease of `pod-7` ran out 07:59."
    )


def test_a_question() -> None:
    waiting = progressed([], ["ask"], asks=[Interrupt({"question": "Send?"}, "", "ask")])
    assert said(StatusKind.WAITING, "Send?", waiting) == (
        "Waiting for an answer since 07:31 in `ask`, step 14: `Send?` Next would run `ask`."
    )


def test_a_run_with_a_lease() -> None:
    lease = Lease("s", 0, "pod-7", Timestamp(), Timestamp(seconds=int(NOW) + 12))
    assert said(StatusKind.RUNNING, "pod-7", progressed(["a"], ["b", "c"], done=["b"]), lease) == (
        "Running since 07:31, at step 14 after `a`. Runs next: `c`. The lease of `pod-7` runs out in 12 s."
    )


def test_the_others() -> None:
    assert said(StatusKind.FINISHED, "", progressed(["a"], ["End"])) == "Finished 07:31 at step 14 with `a`."
    assert said(StatusKind.IDLE, "", progressed([], ["a"])) == "Idle since 07:31, at step 14. Next would run `a`."
    assert banner(Status(StatusKind.IDLE), None, None, None, NOW)[0].text == "This session has no checkpoint."


def test_many_nodes_and_long_errors_are_cut() -> None:
    text = said(StatusKind.FAILED, "x" * 5000, progressed([], [f"n{number}" for number in range(1000)]))
    assert len(text) < 500
    assert "and 995 more" in text


@pytest.mark.parametrize(("seconds", "expected"), [(NOW, "08:00"), (NOW - 86_400, "2027-01-14 08:00")])
def test_the_date_is_told_where_it_is_not_today(seconds: float, expected: str) -> None:
    assert clock(Timestamp(seconds=int(seconds)), NOW) == expected
