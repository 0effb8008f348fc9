"""From a runner's session to a checkpoint and back, as weavegraph does it. Nothing is shared: all is copied."""

import time

from lockstitch.v1.checkpoint_pb2 import Checkpoint, SessionState, StepReport


def checkpoint_from_session(session_id: str, session: SessionState) -> Checkpoint:
    """A checkpoint of a session as it is now.

    `created_at` is now, exact to the nanosecond. Nodes that ran or were skipped and channels that changed are not known
    to a session and stay empty; see `checkpoint_from_step_report`.
    """
    checkpoint = Checkpoint(
        session_id=session_id,
        step=session.step,
        state=session.state,
        frontier=session.frontier,
        versions_seen=session.scheduler_state.versions_seen,
        concurrency_limit=session.scheduler.concurrency_limit,
    )
    checkpoint.created_at.FromNanoseconds(time.time_ns())
    return checkpoint


def checkpoint_from_step_report(session_id: str, session: SessionState, report: StepReport) -> Checkpoint:
    """A checkpoint of a session after a step, with what the step's report says of it.

    Step and frontier are the session's: they are what a runner resumes with.
    """
    checkpoint = checkpoint_from_session(session_id, session)
    checkpoint.ran_nodes.extend(report.ran_nodes)
    checkpoint.skipped_nodes.extend(report.skipped_nodes)
    checkpoint.updated_channels.extend(report.updated_channels)
    return checkpoint


def restore_session_state(checkpoint: Checkpoint) -> SessionState:
    """The session that a checkpoint was made from, to go on with.

    Raises ValueError for a checkpoint without a state: it was loaded with View.HEADER, or saved without a state. A
    runner that went on from there would have lost everything.
    """
    if not checkpoint.HasField("state"):
        raise ValueError(
            f"the checkpoint of session {checkpoint.session_id!r} at step {checkpoint.step} has no state: it was "
            "loaded with View.HEADER, or saved without a state. Load it with View.FULL, or load another checkpoint"
        )
    session = SessionState(state=checkpoint.state, step=checkpoint.step, frontier=checkpoint.frontier)
    session.scheduler.concurrency_limit = checkpoint.concurrency_limit
    session.scheduler_state.versions_seen.MergeFrom(checkpoint.versions_seen)
    return session
