"""Values as people read them: sizes, times, long texts."""

from datetime import UTC, datetime, timedelta
from itertools import islice

from google.protobuf.timestamp_pb2 import Timestamp
from rich.filesize import decimal

from lockstitch.v1.checkpoint_pb2 import ErrorScope
from lockstitch_server.cli.output import printable

CLIPPED_CHARS = 400
CLIPPED_LINES = 6
CONTEXT_CHARS = 40
"""Shown before the place where two texts differ."""
NOTHING = "-"

_UNITS = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_SECOND = timedelta(seconds=1)
_MONTH = timedelta(days=31)


def count(number: int, one: str, many: str = "") -> str:
    """A number of things: 1 entry, 2 entries. many: the plural, where it is not `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """A number of bytes, roughly: 1.2 kB."""
    return decimal(number).replace(" bytes", " B").replace(" byte", " B")


def moment(when: Timestamp) -> str:
    """A point in time, exactly."""
    return when.ToJsonString()


def ago(when: Timestamp, now: datetime) -> str:
    """How long ago that was, roughly; its date if that is long."""
    past = now - _datetime(when)
    if abs(past) > _MONTH:
        return _datetime(when).date().isoformat()
    if abs(past) < _SECOND:
        return "just now"
    span = _span(abs(past))
    return f"in {span}" if past < timedelta() else f"{span} ago"


def elapsed(start: Timestamp, end: Timestamp) -> str:
    """How much later the second is, or earlier."""
    past = end.ToNanoseconds() - start.ToNanoseconds()
    if past == 0:
        return "at the same time"
    span = f"{abs(past) / 1e6:.3g} ms" if abs(past) < 1e9 else _span(timedelta(microseconds=abs(past) // 1000))
    return f"{span} {'earlier' if past < 0 else 'later'}"


def _datetime(when: Timestamp) -> datetime:
    return when.ToDatetime(tzinfo=UTC)


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    name, unit = next(((name, unit) for name, unit in _UNITS if seconds >= unit), ("s", 1))
    number = seconds // unit
    return count(number, name) if name == "day" else f"{number} {name}"


def block(text: str, full: bool) -> str:
    """A text of several lines; its beginning, if it is long."""
    lines = text.split("\n")
    if full:
        return "\n".join(map(printable, lines))
    shown = "\n".join(map(printable, islice(lines, CLIPPED_LINES)))
    if len(shown) > CLIPPED_CHARS or len(lines) > CLIPPED_LINES:
        return f"{shown[:CLIPPED_CHARS]}… ({len(text)} characters)"
    return shown


def line(text: str, full: bool, start: int = 0) -> str:
    """A text on one line; if it is long, a piece of it: its beginning, or what begins at `start`."""
    shown = printable(text[start : start + CLIPPED_CHARS + 1] if not full else text)
    if full or (not start and len(text) <= CLIPPED_CHARS and len(shown) <= CLIPPED_CHARS):
        return shown
    rest = len(text) > start + CLIPPED_CHARS or len(shown) > CLIPPED_CHARS
    return f"{'…' if start else ''}{shown[:CLIPPED_CHARS]}{'…' if rest else ''} ({len(text)} characters)"


def difference_start(old: str, new: str) -> int:
    """Where to begin to show two texts so that what differs can be seen: 0 unless that stands far behind in both."""
    if max(len(old), len(new)) <= CLIPPED_CHARS:
        return 0
    pairs = enumerate(zip(old, new, strict=False))
    common = next((place for place, (one, other) in pairs if one != other), min(len(old), len(new)))
    return max(0, common - CONTEXT_CHARS) if common > CLIPPED_CHARS // 2 else 0


def scope(scope: ErrorScope) -> str:
    """Where an error arose."""
    match scope.WhichOneof("scope"):
        case "node":
            return f"node {printable(scope.node.kind)}, step {scope.node.step}"
        case "scheduler":
            return f"scheduler, step {scope.scheduler.step}"
        case "runner":
            return f"runner of {printable(scope.runner.session)}, step {scope.runner.step}"
        case "app":
            return "application"
    return "unknown origin"
