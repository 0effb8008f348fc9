"""Checkpoints from sessions and back, as weavegraph makes them."""

import time

import pytest

from lockstitch import (
    END,
    START,
    Checkpoint,
    Message,
    MessagesChannel,
    Scheduler,
    SessionState,
    StepReport,
    VersionedState,
    checkpoint_from_session,
    checkpoint_from_step_report,
    message,
    node,
    restore_session_state,
)


@pytest.fixture
def session() -> SessionState:
    session = SessionState(
        state=VersionedState(messages=MessagesChannel(version=2, items=[Message(role="user", content="hi")])),
        step=3,
        frontier=[node("b"), END],
        scheduler=Scheduler(concurrency_limit=2**64 - 1),
    )
    session.scheduler_state.versions_seen["a"].versions["messages"] = 2
    return session


@pytest.fixture
def report() -> StepReport:
    """Of another step and frontier than the session's, which is what counts."""
    return StepReport(
        step=2,
        ran_nodes=[START, node("a")],
        skipped_nodes=[node("c")],
        updated_channels=["messages"],
        next_frontier=[node("z")],
    )


def test_a_checkpoint_of_a_session(session: SessionState) -> None:
    before = time.time_ns()
    checkpoint = checkpoint_from_session("s", session)
    assert before <= checkpoint.created_at.ToNanoseconds() <= time.time_ns()
    checkpoint.ClearField("created_at")
    expected = Checkpoint(
        session_id="s", step=3, state=session.state, frontier=[node("b"), END], concurrency_limit=2**64 - 1
    )
    expected.versions_seen["a"].versions["messages"] = 2
    assert checkpoint == expected


def test_a_checkpoint_of_a_step_report(session: SessionState, report: StepReport) -> None:
    checkpoint = checkpoint_from_step_report("s", session, report)
    assert (checkpoint.step, list(checkpoint.frontier)) == (3, [node("b"), END])
    assert list(checkpoint.ran_nodes) == [START, node("a")]
    assert list(checkpoint.skipped_nodes) == [node("c")]
    assert list(checkpoint.updated_channels) == ["messages"]


def test_a_session_comes_back_from_its_checkpoint(session: SessionState, report: StepReport) -> None:
    assert restore_session_state(checkpoint_from_session("s", session)) == session
    assert restore_session_state(checkpoint_from_step_report("s", session, report)) == session


def test_nothing_is_shared(session: SessionState) -> None:
    checkpoint = checkpoint_from_session("s", session)
    restored = restore_session_state(checkpoint)
    session.state.messages.items[0].content = "changed"
    session.scheduler_state.versions_seen["a"].versions["messages"] = 9
    session.frontier[0].custom = "changed"
    assert checkpoint.state.messages.items[0].content == "hi"
    assert checkpoint.versions_seen["a"].versions["messages"] == 2
    checkpoint.state.messages.items[0].content = "changed"
    checkpoint.versions_seen["a"].versions["messages"] = 9
    checkpoint.frontier[0].custom = "changed"
    assert restored.state.messages.items[0].content == "hi"
    assert restored.scheduler_state.versions_seen["a"].versions["messages"] == 2
    assert restored.frontier[0] == node("b")


def test_an_empty_session_has_a_state() -> None:
    checkpoint = checkpoint_from_session("s", SessionState())
    assert checkpoint.HasField("state")
    assert restore_session_state(checkpoint).HasField("state")


def test_a_checkpoint_without_a_state_is_no_session() -> None:
    """It may have been loaded without its state, or have been saved without one: the error says both."""
    told = "session 's' at step 4 has no state: it was loaded with View.HEADER, or saved without a state"
    with pytest.raises(ValueError, match=told):
        restore_session_state(Checkpoint(session_id="s", step=4))


def test_a_message() -> None:
    assert message("user", "hi") == Message(role="user", content="hi")
