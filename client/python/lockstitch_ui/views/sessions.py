"""Sessions as the rows of a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lockstitch import Checkpoint, Lease, PendingWrite, SessionSummary
from lockstitch.inspect import STATUS_CHANNELS, Progress, StatusKind, progress, status
from lockstitch_ui import text

FORKED_FROM, FORKED_AT = "forked-from", "forked-at"
"""Labels of a session that was forked: from which session, and at which of its checkpoints."""
HIDDEN_LABELS = (FORKED_FROM, FORKED_AT)


@dataclass(frozen=True, slots=True)
class Latest:
    """What is known of a session beside its summary. problem: why it could not be loaded; "": it was."""

    checkpoint: Checkpoint | None = None
    pending_writes: Sequence[PendingWrite] = ()
    parent: Checkpoint | None = None
    lease: Lease | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A session of the list. kind: a `StatusKind`, or "damaged". seconds_left: of the lease, where it is known."""

    session_id: str
    kind: str
    detail: str
    seconds_left: float | None
    ran: Sequence[str]
    following: Sequence[str]
    step: int
    checkpoints: int
    stored_bytes: int
    age: float
    updated_at: str
    created_at: str
    labels: Mapping[str, str]
    forked_from: str
    forked_at: str
    expires_in: float | None


def row(summary: SessionSummary, latest: Latest, now: float) -> Row:
    """The row of a session. now: seconds since the epoch."""
    found, kind, detail = None, "", ""
    if summary.HasField("error"):
        kind, detail = "damaged", summary.error.message
    elif latest.problem:
        kind, detail = "damaged", latest.problem
    where = _progress(latest)
    if not kind:
        found = status(summary, where, now, latest.lease.expire_at if latest.lease is not None else None)
        kind, detail = found.kind.value, found.detail
    return Row(
        session_id=summary.session_id,
        kind=kind,
        detail=_first_line(detail),
        seconds_left=found.seconds_left if found is not None else None,
        ran=where.ran_nodes if where is not None else (),
        following=where.next_nodes if where is not None else (),
        step=summary.latest_step,
        checkpoints=summary.checkpoint_count,
        stored_bytes=summary.stored_bytes,
        age=max(0.0, now - text.seconds(summary.updated_at)),
        updated_at=text.moment(summary.updated_at),
        created_at=text.moment(summary.created_at),
        labels={name: value for name, value in sorted(summary.labels.items()) if name not in HIDDEN_LABELS},
        forked_from=summary.labels.get(FORKED_FROM, ""),
        forked_at=summary.labels.get(FORKED_AT, ""),
        expires_in=text.seconds(summary.expire_at) - now if summary.HasField("expire_at") else None,
    )


def matching(rows: Sequence[Row], kind: StatusKind | None) -> list[Row]:
    """Those with a status; None: all."""
    return [each for each in rows if kind is None or each.kind == kind]


def _progress(latest: Latest) -> Progress | None:
    if latest.checkpoint is None:
        return None
    return progress(latest.checkpoint, latest.pending_writes, latest.parent, channels=STATUS_CHANNELS)


def _first_line(detail: str) -> str:
    return detail.partition("\n")[0][:300]
