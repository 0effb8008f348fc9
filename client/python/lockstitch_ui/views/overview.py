"""What goes on in all sessions, from a bounded look at them."""

from collections.abc import Sequence
from dataclasses import dataclass

from lockstitch import ListedCheckpoint, SessionSummary
from lockstitch_ui import text
from lockstitch_ui.views.sessions import Row

RATE_SECONDS = 60.0
WAITING_SECONDS = 3600.0
LARGEST = 5


@dataclass(frozen=True, slots=True)
class Rate:
    """Saves a second. seconds: the time that it was taken over. at_least: whether there may have been more."""

    per_second: float
    seconds: float
    at_least: bool


@dataclass(frozen=True, slots=True)
class Share:
    """What is stored for a checkpoint, and how large states are, in bytes on average."""

    stored: float
    state: float

    @property
    def percent(self) -> float:
        """Stored bytes in percent of what whole states would take."""
        return 100 * self.stored / self.state if self.state else 0.0


def rate(newest: Sequence[ListedCheckpoint], limit: int, now: float) -> Rate:
    """The rate of saves, from the newest checkpoints of all sessions, `limit` at most.

    A checkpoint that was replaced counts once.
    """
    ages = [now - text.seconds(each.saved_at) for each in newest]
    recent = [age for age in ages if age <= RATE_SECONDS]
    if len(recent) < limit:
        return Rate(len(recent) / RATE_SECONDS, RATE_SECONDS, at_least=False)
    span = max(1.0, *recent)
    return Rate(len(recent) / span, span, at_least=span <= 1.0)


def share(summaries: Sequence[SessionSummary], newest: Sequence[ListedCheckpoint]) -> Share | None:
    """Stored bytes of a checkpoint beside the size of states; None: there is nothing to compare."""
    checkpoints = sum(summary.checkpoint_count for summary in summaries)
    sizes = [sum(channel.bytes for channel in each.channels) for each in newest]
    if not checkpoints or not sizes:
        return None
    return Share(sum(summary.stored_bytes for summary in summaries) / checkpoints, sum(sizes) / len(sizes))


def largest(summaries: Sequence[SessionSummary]) -> list[SessionSummary]:
    """The sessions that take most room."""
    alive = [summary for summary in summaries if not summary.HasField("error") and summary.stored_bytes]
    return sorted(alive, key=lambda summary: -summary.stored_bytes)[:LARGEST]


def leased(summaries: Sequence[SessionSummary], limit: int) -> list[SessionSummary]:
    """Sessions under a lease, those first that changed longest ago."""
    found = [summary for summary in summaries if summary.lease_holder]
    return sorted(found, key=lambda summary: text.seconds(summary.updated_at))[:limit]


def of_kind(rows: Sequence[Row], kind: str) -> list[Row]:
    """The rows with a status."""
    return [row for row in rows if row.kind == kind]
