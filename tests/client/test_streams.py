"""Streams that break off are continued where they broke, as long as they get on."""

import pytest

from lockstitch import (
    Checkpoint,
    DataLoss,
    DeadlineExceeded,
    Internal,
    LockstitchError,
    RetryPolicy,
    StoreUnavailable,
    Unavailable,
)
from lockstitch._transport import iterate, run
from tests.client.model import ModelServer

SESSIONS = [f"s{number}" for number in range(10)]


@pytest.fixture
def server() -> ModelServer:
    return ModelServer()


def load_all(server: ModelServer, retry: RetryPolicy | None = None) -> list[str]:
    answers = list(iterate(server.api(retry=retry).load_latest_many(SESSIONS)))
    for answer in answers:
        checkpoint = answer.result().checkpoint
        assert checkpoint is not None
        assert checkpoint.session_id == answer.session_id
    return [answer.session_id for answer in answers]


@pytest.mark.parametrize("breaks", [[], [3], [1, 1, 1], [9, 1], [10]], ids=str)
@pytest.mark.parametrize("fault", [Unavailable, DeadlineExceeded])
def test_every_session_is_answered_once(server: ModelServer, breaks: list[int], fault: type[LockstitchError]) -> None:
    server.break_after, server.fault = breaks, fault
    assert sorted(load_all(server)) == SESSIONS


def test_a_stream_that_brings_nothing_fails(server: ModelServer) -> None:
    server.break_after = [3, 0]
    with pytest.raises(Unavailable):
        load_all(server)


def test_a_stream_that_brings_nothing_is_repeated_while_there_is_time(server: ModelServer) -> None:
    server.break_after = [0, 0, 3, 0, 0]
    assert sorted(load_all(server, RetryPolicy())) == SESSIONS
    server.break_after = [0]
    with pytest.raises(Unavailable):
        load_all(server, RetryPolicy(initial_backoff=40, max_backoff=40))


def test_a_deadline_tells_what_went_wrong_before(server: ModelServer) -> None:
    faults = iter([StoreUnavailable("the database is away"), DeadlineExceeded("too late")])
    server.break_after, server.fault = [0, 0], lambda: next(faults)
    with pytest.raises(DeadlineExceeded, match=r"too late.*the database is away"):
        load_all(server, RetryPolicy())


def test_a_server_that_forgets_a_session_is_at_fault(server: ModelServer) -> None:
    server.forget_answers = 1
    with pytest.raises(Internal):
        load_all(server)


def test_other_faults_end_a_stream(server: ModelServer) -> None:
    server.break_after, server.fault = [3], DataLoss
    with pytest.raises(DataLoss):
        load_all(server)


def test_many_sessions_are_asked_for_in_several_calls(server: ModelServer) -> None:
    sessions = [f"s{number:04d}" for number in range(2_500)]
    answers = list(iterate(server.api().load_latest_many(sessions)))
    assert sorted(answer.session_id for answer in answers) == sessions
    assert len(server.requests) == 3


def chain(server: ModelServer, parents: dict[str, str]) -> None:
    for checkpoint_id, parent_id in parents.items():
        run(server.api().save(Checkpoint(session_id="s", checkpoint_id=checkpoint_id, parent_id=parent_id)))


def walk(server: ModelServer, limit: int = 0) -> str:
    return "".join(
        step.checkpoint.checkpoint_id for step in iterate(server.api().walk_ancestors("s", "e", limit=limit))
    )


@pytest.mark.parametrize("breaks", [[], [1], [2, 1], [3, 1], [4]], ids=str)
def test_ancestors_come_once_and_in_order(server: ModelServer, breaks: list[int]) -> None:
    chain(server, {"e": "d", "d": "c", "c": "b", "b": "a", "a": ""})
    server.break_after = breaks
    assert walk(server) == "dcba"


@pytest.mark.parametrize("breaks", [[], [1], [2], [3]], ids=str)
def test_the_limit_holds_over_a_break(server: ModelServer, breaks: list[int]) -> None:
    chain(server, {"e": "d", "d": "c", "c": "b", "b": "a", "a": ""})
    server.break_after = breaks
    assert walk(server, limit=3) == "dcb"


@pytest.mark.parametrize("breaks", [[], [1], [2], [3]], ids=str)
def test_a_circle_of_parents_ends_over_a_break(server: ModelServer, breaks: list[int]) -> None:
    chain(server, {"e": "d", "d": "c", "c": "e"})
    server.break_after = breaks
    assert walk(server) == "dce"


def test_leaving_the_loop_ends_the_call(server: ModelServer) -> None:
    answers = iterate(server.api().load_latest_many(SESSIONS))
    next(answers)
    answers.close()  # type: ignore[attr-defined]  # iterate() is a generator; its type promises less
    assert len(server.requests) == 1
