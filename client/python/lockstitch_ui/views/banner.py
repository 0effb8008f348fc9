"""A session in a sentence: what happened, when, where, and what would happen next."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch import Lease
from lockstitch.inspect import Progress, Status, StatusKind
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_ui import text

MAX_NODES = 5
_MAX_DETAIL = 300


class Piece(NamedTuple):
    """A piece of a sentence. is_code: whether it is a name or a stored text, rather than our words."""

    text: str
    is_code: bool = False


def banner(
    status: Status, latest: Checkpoint | None, progress: Progress | None, lease: Lease | None, now: float
) -> list[Piece]:
    """The sentences of a session.

    latest, progress: of its latest checkpoint; None: it has none. lease: the live one; None: none is known.
    """
    if latest is None or progress is None:
        return [Piece("This session has no checkpoint.")]
    pieces = _happened(status, latest, progress, now)
    pieces += _following(status, progress)
    if lease is not None:
        left = text.seconds(lease.expire_at) - now
        runs_out = f" runs out in {text.duration(left)}." if left > 0 else f" ran out {clock(lease.expire_at, now)}."
        pieces += [Piece(" The lease of "), Piece(lease.holder, True), Piece(runs_out)]
    return pieces


def clock(time: Timestamp, now: float) -> str:
    """A time of day in UTC, with the date where it is not today's.

    >>> clock(Timestamp(seconds=60), 0)
    '00:01'
    """
    whole = text.moment(time)
    today = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    return whole[11:16] if whole[:10] == today else whole[:16]


def _happened(status: Status, latest: Checkpoint, progress: Progress, now: float) -> list[Piece]:
    when = clock(latest.created_at, now)
    step = f"step {latest.step}"
    if status.kind is StatusKind.RUNNING:
        return [Piece(f"Running since {when}, at {step}"), *_where(" after ", progress.ran_nodes), Piece(".")]
    if status.kind is StatusKind.WAITING:
        nodes = [interrupt.node for interrupt in progress.interrupts if interrupt.node]
        return [
            Piece(f"Waiting for an answer since {when}"),
            *_where(" in ", nodes),
            *_said(f", {step}", status.detail),
        ]
    if status.kind is StatusKind.FAILED:
        nodes = [problem.node for problem in progress.problems if problem.node]
        return [Piece(f"Failed {when}"), *_where(" in ", nodes), *_said(f", {step}", status.detail)]
    if status.kind is StatusKind.FINISHED:
        return [Piece(f"Finished {when} at {step}"), *_where(" with ", progress.ran_nodes), Piece(".")]
    return [Piece(f"Idle since {when}, at {step}"), *_where(" after ", progress.ran_nodes), Piece(".")]


def _said(before: str, detail: str) -> list[Piece]:
    if not detail:
        return [Piece(f"{before}.")]
    shown = detail[:_MAX_DETAIL] + ("…" if len(detail) > _MAX_DETAIL else "")
    end = "" if shown.endswith((".", "!", "?", "…")) else "."
    return [Piece(f"{before}: "), Piece(shown, True), Piece(end)]


def _following(status: Status, progress: Progress) -> list[Piece]:
    nodes = [node for node in progress.next_nodes if node not in progress.done_nodes] or list(progress.next_nodes)
    if status.kind is StatusKind.FINISHED or not nodes:
        return []
    verb = "Runs next: " if status.kind is StatusKind.RUNNING else "Next would run "
    return [Piece(" "), *_where(verb, nodes), Piece(".")]


def _where(before: str, nodes: Iterable[str]) -> list[Piece]:
    names = list(dict.fromkeys(nodes))
    if not names:
        return []
    pieces = [Piece(before)]
    for number, name in enumerate(names[:MAX_NODES]):
        if number:
            pieces.append(Piece(" and " if number == len(names) - 1 else ", "))
        pieces.append(Piece(name, True))
    if len(names) > MAX_NODES:
        pieces.append(Piece(f" and {len(names) - MAX_NODES} more"))
    return pieces
