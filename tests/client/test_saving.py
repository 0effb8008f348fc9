"""Saves as deltas, against a model of the server: what is stored is what was given, whatever happens in between."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstitch import Checkpoint, DeltaPolicy, ExtrasChannel, Unavailable, VersionedState
from lockstitch._transport import run
from lockstitch.v1.checkpoint_service_pb2 import SaveRequest
from tests.client.examples import conversation
from tests.client.model import ModelServer
from tests.client.states import states, successors, with_unknown_field


def kinds(server: ModelServer) -> list[str]:
    return ["delta" if request.HasField("delta") else "full" for request in server.requests]


def extra(text: str) -> VersionedState:
    return VersionedState(extra=ExtrasChannel(version=1, entries={"a": text}))


def stored(server: ModelServer, checkpoint: Checkpoint) -> Checkpoint:
    return server.checkpoints[checkpoint.session_id, checkpoint.namespace, f"{checkpoint.step:020d}"][0]


@pytest.fixture
def server() -> ModelServer:
    return ModelServer()


def test_after_the_first_save_only_the_difference_is_sent(server: ModelServer) -> None:
    api = server.api()
    for step in range(4):
        run(api.save(conversation("s", step)))
        assert stored(server, conversation("s", step)) == conversation("s", step)
    assert kinds(server) == ["full", "delta", "delta", "delta"]
    assert [request.base_checkpoint_id for request in server.requests[2:]] == [f"{1:020d}", f"{2:020d}"]
    assert [len(request.delta.messages.append) for request in server.requests[1:]] == [1, 1, 1]


def test_sessions_and_namespaces_have_their_own_bases(server: ModelServer) -> None:
    api = server.api()
    run(api.save(conversation("s", 0)))
    other = conversation("s", 1)
    other.namespace = "sub"
    run(api.save(other))
    run(api.save(conversation("t", 1)))
    assert kinds(server) == ["full", "full", "full"]


def test_without_delta_states_are_sent_whole(server: ModelServer) -> None:
    api = server.api(None)
    for step in range(2):
        run(api.save(conversation("s", step)))
    assert kinds(server) == ["full", "full"]


def test_a_delta_that_is_not_smaller_is_not_sent(server: ModelServer) -> None:
    api = server.api()
    for step in range(2):
        run(api.save(Checkpoint(session_id="s", step=step, state=extra(str(step)))))
    assert kinds(server) == ["full", "full"]


def test_a_conversation_that_was_rewritten_is_sent_whole(server: ModelServer) -> None:
    api = server.api()
    run(api.save(conversation("s", 0, text="a" * 1000)))
    changed = conversation("s", 1, text="b" * 1000)
    run(api.save(changed))
    assert kinds(server) == ["full", "full"]
    assert stored(server, changed) == changed


def test_a_state_that_stays_as_it_is_costs_nothing(server: ModelServer) -> None:
    api = server.api()
    for step in range(2):
        run(api.save(Checkpoint(session_id="s", step=step, state=extra("7"))))
    assert kinds(server) == ["full", "delta"]
    assert not server.requests[1].delta.ByteSize()
    assert stored(server, Checkpoint(session_id="s", step=1)).state == extra("7")


def test_a_save_without_a_revision_is_no_base(server: ModelServer) -> None:
    server.tell_revisions = False
    api = server.api()
    for step in range(2):
        run(api.save(conversation("s", step)))
    assert kinds(server) == ["full", "full"]


def test_a_checkpoint_that_replaces_itself_is_sent_whole(server: ModelServer) -> None:
    api = server.api()
    run(api.save(conversation("s", 3)))
    again = conversation("s", 4)
    again.step = 3
    again.checkpoint_id = ""  # which comes to the same
    run(api.save(again))
    assert kinds(server) == ["full", "full"]
    assert stored(server, again) == again


def test_the_full_state_follows_where_the_base_is_gone(server: ModelServer) -> None:
    api = server.api()
    run(api.save(conversation("s", 0)))
    server.checkpoints.clear()
    run(api.save(conversation("s", 1)))
    run(api.save(conversation("s", 2)))
    assert kinds(server) == ["full", "delta", "full", "delta"]
    assert stored(server, conversation("s", 2)) == conversation("s", 2)


def test_the_full_state_follows_where_another_client_replaced_the_base(server: ModelServer) -> None:
    api, other = server.api(), server.api()
    run(api.save(conversation("s", 5)))
    run(other.save(conversation("s", 5, text="quite another conversation")))
    run(api.save(conversation("s", 6)))
    assert stored(server, conversation("s", 6)) == conversation("s", 6)
    assert kinds(server) == ["full", "full", "delta", "full"]


def test_the_full_state_follows_where_the_server_knows_no_deltas(server: ModelServer) -> None:
    server.take_deltas = False
    api = server.api()
    for step in range(2):
        run(api.save(conversation("s", step)))
    assert stored(server, conversation("s", 1)) == conversation("s", 1)


def test_a_save_without_an_answer_is_no_base(server: ModelServer) -> None:
    api = server.api()
    run(api.save(conversation("s", 0)))
    server.lose_answer = True
    with pytest.raises(Unavailable):
        run(api.save(conversation("s", 1)))
    server.lose_answer = False
    run(api.save(conversation("s", 2)))
    assert [request.base_checkpoint_id for request in server.requests] == ["", f"{0:020d}", f"{0:020d}"]
    assert stored(server, conversation("s", 2)) == conversation("s", 2)


def test_a_checkpoint_without_a_state_is_sent_as_it_is(server: ModelServer) -> None:
    api = server.api()
    run(api.save(conversation("s", 0)))
    run(api.save(Checkpoint(session_id="s", step=1)))
    assert not server.requests[1].HasField("delta")
    assert not stored(server, Checkpoint(session_id="s", step=1)).HasField("state")


def test_everything_else_of_the_request_goes_with_a_delta(server: ModelServer) -> None:
    api = server.api()
    run(api.save(conversation("s", 0)))
    checkpoint = with_unknown_field(conversation("s", 1))
    checkpoint.parent_id = "p"
    checkpoint.metadata["a"] = "1"
    checkpoint.versions_seen["n"].versions["c"] = 2
    before = checkpoint.SerializeToString(deterministic=True)
    run(api.save(checkpoint, expected_latest=0, lease_token=7, ttl=60))
    request: SaveRequest = server.requests[1]
    assert (request.expected_latest.step, request.lease_token, request.ttl.seconds) == (0, 7, 60)
    assert request.HasField("delta")
    assert stored(server, checkpoint).SerializeToString(deterministic=True) == before
    assert checkpoint.SerializeToString(deterministic=True) == before, "the caller's message was changed"


async def test_a_checkpoint_is_saved_as_it_was_at_the_call(server: ModelServer) -> None:
    api = server.api()
    await api.save(conversation("s", 0))
    server.checkpoints.clear()  # so that the full state has to follow
    checkpoint = conversation("s", 1)
    server.before_save = checkpoint.Clear  # as if its owner had gone on while the save was on its way
    await api.save(checkpoint)
    assert stored(server, conversation("s", 1)) == conversation("s", 1)


async def test_saves_of_one_session_side_by_side(server: ModelServer) -> None:
    api = server.api()
    await api.save(conversation("s", 0))
    await asyncio.gather(*(api.save(conversation("s", step)) for step in range(1, 20)))
    assert all(stored(server, conversation("s", step)) == conversation("s", step) for step in range(20))


def test_the_least_recently_saved_session_is_forgotten_first(server: ModelServer) -> None:
    api = server.api(DeltaPolicy(max_entries=2))
    for session_id in ("a", "b", "a", "c", "b", "a", "c"):
        run(api.save(conversation(session_id, len(server.requests))))
    # c comes while a and b are known: b is forgotten; b comes: a is; a comes: c is; c comes.
    assert kinds(server) == ["full", "full", "delta", "full", "full", "full", "full"]


def test_what_is_larger_than_all_the_room_is_not_remembered_and_makes_none(server: ModelServer) -> None:
    api = server.api(DeltaPolicy(max_bytes=5_000))
    run(api.save(conversation("small", 0)))
    run(api.save(conversation("large", 50)))
    run(api.save(conversation("large", 51)))
    run(api.save(conversation("small", 1)))
    assert kinds(server) == ["full", "full", "full", "delta"]


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_two_clients_and_a_forgetful_server_never_corrupt_a_state(data: st.DataObject) -> None:
    server = ModelServer()
    clients = [server.api(), server.api(DeltaPolicy(max_entries=1))]
    state = data.draw(states)
    for _ in range(data.draw(st.integers(2, 8))):
        state = data.draw(successors(state) | states)
        checkpoint = Checkpoint(
            session_id=data.draw(st.sampled_from("st")), step=data.draw(st.integers(0, 4)), state=state
        )
        server.lose_answer = data.draw(st.sampled_from([False, False, True]))
        if data.draw(st.integers(0, 5)) == 0:
            server.checkpoints.clear()
        try:
            run(data.draw(st.sampled_from(clients)).save(checkpoint))
        except Unavailable:
            assert server.lose_answer
        given, kept = checkpoint, stored(server, checkpoint)
        assert kept.SerializeToString(deterministic=True) == given.SerializeToString(deterministic=True)
