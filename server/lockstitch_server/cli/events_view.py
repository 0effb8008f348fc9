"""What happens to a session, as lines."""

from lockstitch import SessionEvent
from lockstitch_server.cli.output import printable


def line(event: SessionEvent) -> str:
    """An event on one line."""
    kind = event.WhichOneof("event")
    if kind == "saved":
        saved = event.saved
        where = f" in {printable(saved.namespace)}" if saved.namespace else ""
        return f"{saved.saved_at.ToJsonString()}  saved step {saved.step}: {printable(saved.checkpoint_id)}{where}"
    if kind == "lease_changed":
        lease = event.lease_changed.lease
        return f"lease held by {printable(lease.holder)}" if lease.holder else "lease free"
    return {"checkpoints_deleted": "checkpoints deleted", "session_deleted": "session deleted"}.get(kind or "", "…")
