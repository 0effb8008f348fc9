"""Where a run stands, for people and for programs."""

from collections.abc import Iterable, Sequence
from typing import Any

from lockstitch.inspect import Interrupt, Problem, Progress, Status, to_json
from lockstitch_server.cli import format, pretty
from lockstitch_server.cli.exact_json import JsonText
from lockstitch_server.cli.output import printable

DETAIL_CHARS = 60


def data(progress: Progress | None) -> dict[str, Any] | None:
    """What `exact_json.encode` takes."""
    if progress is None:
        return None
    return {
        "ran": progress.ran_nodes,
        "next": progress.next_nodes,
        "done": progress.done_nodes,
        "interrupts": [_interrupt(each) for each in progress.interrupts],
        "errors": [{"message": each.message, "node": each.node} for each in progress.problems],
        "is_finished": progress.is_finished,
    }


def _interrupt(interrupt: Interrupt) -> dict[str, Any]:
    return {"value": JsonText(to_json(interrupt.value)), "id": interrupt.id, "node": interrupt.node}


def status_data(status: Status | None) -> dict[str, Any] | None:
    """What `exact_json.encode` takes."""
    if status is None:
        return None
    return {"kind": str(status.kind), "detail": status.detail, "seconds_left": status.seconds_left}


def status_line(status: Status) -> str:
    """A status in a line, such as "running: pod-7, 12 s left"."""
    left = f", {status.seconds_left:.0f} s left" if status.seconds_left is not None else ""
    return f"{detailed(str(status.kind), status.detail)}{left}"


def detailed(kind: str, detail: str) -> str:
    """A kind with what there is to say about it, cut to fit a column."""
    return f"{kind}: {short(detail)}" if detail else kind


def short(text: str) -> str:
    """The beginning of a text, on one line."""
    shown = printable(text[: DETAIL_CHARS + 1])
    return f"{shown[:DETAIL_CHARS]}…" if len(shown) > DETAIL_CHARS else shown


def standing_in_the_way(progress: Progress) -> str:
    """What a run waits for, or what went wrong, in a line; "" for nothing."""
    if progress.interrupts:
        return detailed("waiting", next(filter(None, (each.question for each in progress.interrupts)), ""))
    if progress.problems:
        return detailed("failed", progress.problems[0].first_line)
    return ""


def nodes(names: Iterable[str]) -> str:
    """Names of nodes on one line."""
    return ", ".join(map(printable, names))


def interrupt_lines(interrupts: Sequence[Interrupt], full: bool) -> Iterable[tuple[str, str]]:
    """Node and question of each."""
    for each in interrupts:
        yield printable(each.node) or format.NOTHING, pretty.block(each.value, full)


def problem_lines(problems: Sequence[Problem], full: bool) -> Iterable[tuple[str, str]]:
    """Node and message of each."""
    for each in problems:
        yield printable(each.node) or format.NOTHING, format.block(each.message, full)
