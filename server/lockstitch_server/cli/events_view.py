"""What happens to a session, as lines and as data."""

from typing import Any

from lockstitch.inspect import Progress
from lockstitch_server.cli import exact_json, progress_view
from lockstitch_server.cli.following import Followed, StatusChange
from lockstitch_server.cli.output import printable


def data(followed: Followed | StatusChange) -> dict[str, Any]:
    """What `exact_json.encode` takes."""
    if isinstance(followed, StatusChange):
        return {
            "status": progress_view.status_data(followed.status),
            "progress": progress_view.data(followed.progress),
        }
    return {**exact_json.plain(followed.event), "progress": progress_view.data(followed.progress)}


def line(followed: Followed | StatusChange) -> str:
    """An event on one line."""
    if isinstance(followed, StatusChange):
        return f"status {progress_view.status_line(followed.status)}" if followed.status else "no such session"
    event = followed.event
    kind = event.WhichOneof("event")
    if kind == "saved":
        saved = event.saved
        where = f" in {printable(saved.namespace)}" if saved.namespace else ""
        step = f"saved step {saved.step}: {printable(saved.checkpoint_id)}{where}"
        return f"{saved.saved_at.ToJsonString()}  {step}{_progress(followed.progress)}"
    if kind == "lease_changed":
        lease = event.lease_changed.lease
        return f"lease held by {printable(lease.holder)}" if lease.holder else "lease free"
    return {"checkpoints_deleted": "checkpoints deleted", "session_deleted": "session deleted"}.get(kind or "", "…")


def _progress(progress: Progress | None) -> str:
    if progress is None:
        return ""
    ran = f"; ran {progress_view.nodes(progress.ran_nodes)}" if progress.ran_nodes else ""
    following = f"; next {progress_view.nodes(progress.next_nodes)}" if progress.next_nodes else ""
    return ran + following
