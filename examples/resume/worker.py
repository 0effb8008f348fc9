"""A runner of a small workflow, which saves a checkpoint at every barrier and goes on from the latest one.

    python worker.py TARGET SESSION_ID NAME

Start it on any machine, kill it at any moment, start it again: the workflow goes on where it was.
"""

import sys
import time

import lockstitch
from lockstitch import END, NodeKind, SessionState, StepReport, json_text, message, node

WORKFLOW = ("plan", "search", "read", "draft", "review", "publish")
SECONDS = dict.fromkeys(WORKFLOW, 0.3) | {"draft": 2.0}
"""How long each node takes: the draft long enough to be interrupted."""


def say(text: str) -> None:
    print(text, flush=True)


def work(client: lockstitch.Client, session_id: str, name: str) -> None:
    """Run the session to its end."""
    session = resume(client, session_id) or begin(client, session_id, name)
    while session.frontier[0] != END:
        report = run_step(session)
        save(client, session_id, session, report, name)
    say("finished")


def resume(client: lockstitch.Client, session_id: str) -> SessionState | None:
    """The session as it was at its last barrier; None if it has never been run."""
    latest = client.load_latest(session_id)
    if latest.checkpoint is None:
        return None
    say(f"finds the checkpoint of step {latest.checkpoint.step} and goes on from there")
    return lockstitch.restore_session_state(latest.checkpoint)


def begin(client: lockstitch.Client, session_id: str, name: str) -> SessionState:
    """A new session, saved as step 0. `NONE`: no other worker may have begun it meanwhile."""
    say("finds no checkpoint and begins at step 0")
    session = SessionState(frontier=[node(WORKFLOW[0])])
    session.state.messages.items.append(message("user", "Write about lockstitch seams."))
    checkpoint = lockstitch.checkpoint_from_session(session_id, session)
    checkpoint.metadata["worker"] = json_text(name)
    client.save(checkpoint, expected_latest=lockstitch.NONE)
    return session


def run_step(session: SessionState) -> StepReport:
    """Run the frontier's node up to the barrier: its output and the next frontier are in the session then."""
    ran = NodeKind()
    ran.CopyFrom(session.frontier[0])
    say(f"step {session.step + 1}: {ran.custom} runs")
    time.sleep(SECONDS[ran.custom])  # here a model would be asked
    session.step += 1
    session.state.messages.version += 1
    session.state.messages.items.append(message("assistant", f"{ran.custom}: done"))
    del session.frontier[:]
    session.frontier.append(after(ran))
    return StepReport(step=session.step, ran_nodes=[ran], updated_channels=["messages"])


def after(done: NodeKind) -> NodeKind:
    """The node that follows."""
    position = WORKFLOW.index(done.custom) + 1
    return node(WORKFLOW[position]) if position < len(WORKFLOW) else END


def save(client: lockstitch.Client, session_id: str, session: SessionState, report: StepReport, name: str) -> None:
    """The barrier. Nothing is saved if another worker has gone on with the session meanwhile."""
    checkpoint = lockstitch.checkpoint_from_step_report(session_id, session, report)
    checkpoint.metadata["worker"] = json_text(name)
    client.save(checkpoint, expected_latest=session.step - 1)
    say(f"step {session.step}: barrier, checkpoint saved")


def main() -> None:
    target, session_id, name = sys.argv[1:]
    with lockstitch.Client(target) as client:
        work(client, session_id, name)


if __name__ == "__main__":
    main()
