"""In what state a session is: derived from what is stored, never guessed."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.inspect._progress import Progress
from lockstitch.v1.checkpoint_service_pb2 import SessionSummary


class StatusKind(StrEnum):
    """States of a session; the first that applies."""

    RUNNING = "running"
    """A runner holds a live lease."""
    WAITING = "waiting"
    """A pending interrupt waits for a person."""
    FAILED = "failed"
    """A pending error, or an error in the latest step."""
    FINISHED = "finished"
    """The session is one of a graph, and nothing would run next."""
    IDLE = "idle"
    """There is something to run, and nobody runs it; or the session does not say what runs next, such as a plain
    state or the conversation of an adapter."""


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a session.

    detail: who holds the lease, the question, or the first line of the error; "" for the others.
    seconds_left: of the lease, where it is RUNNING; its time of expiry may not be known (None).
    """

    kind: StatusKind
    detail: str = ""
    seconds_left: float | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else str(self.kind)


def status(
    summary: SessionSummary | None, progress: Progress | None, now: float, lease_expires_at: Timestamp | None = None
) -> Status:
    """The state of a session at a time, in seconds since the epoch.

    summary: the session's, which names the holder of a live lease. progress: that of its latest checkpoint; None:
    it has none. lease_expires_at: of the lease, where it is known.
    """
    if summary is not None and summary.lease_holder:
        left = None if lease_expires_at is None else max(0.0, lease_expires_at.ToNanoseconds() / 1e9 - now)
        return Status(StatusKind.RUNNING, summary.lease_holder, left)
    if progress is None:
        return Status(StatusKind.IDLE)
    if progress.interrupts:
        return Status(StatusKind.WAITING, _first(each.question for each in progress.interrupts))
    if progress.problems:
        return Status(StatusKind.FAILED, progress.problems[0].first_line)
    return Status(StatusKind.FINISHED if progress.is_finished else StatusKind.IDLE)


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")
