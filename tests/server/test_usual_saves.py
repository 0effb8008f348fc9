"""What is read in one go is what checking and taking apart, one after the other, make of it."""

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from lockstitch.v1.checkpoint_pb2 import ENDPOINT_UNSPECIFIED, Checkpoint, NodeKind, TypedBlob
from lockstitch.v1.checkpoint_service_pb2 import ExpectedLatest, SaveRequest
from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.intake import save_operation
from lockstitch_server.core.operations import Save
from lockstitch_server.rpc.requests import Requests
from lockstitch_server.rpc.rules import RULES
from lockstitch_server.rpc.usual import CHECKPOINT, HEADER, NAMES, REQUEST, UsualSaves
from tests.support import strategies

LIMITS = Limits()
REQUESTS = Requests(LIMITS)
USUAL = UsualSaves(LIMITS)
"""One for all examples, so that it has seen headers before."""
TRACE = bytes(16)

ids = st.sampled_from(["", "s", "é", "a\n", "x" * 128, "x" * 129, "x" * 256, f"{1:020d}"])
steps = st.sampled_from([0, 1, 2**63 - 1, 2**63])
bad_nodes = st.sampled_from([NodeKind(), NodeKind(endpoint=ENDPOINT_UNSPECIFIED), NodeKind(custom="x" * 2000)])


@st.composite
def requests(draw: st.DrawFn) -> SaveRequest:
    """Of every kind, many of which break a rule."""
    checkpoint = draw(strategies.headers)
    checkpoint.MergeFrom(Checkpoint(session_id=draw(ids), namespace=draw(ids), step=draw(steps)))
    checkpoint.checkpoint_id, checkpoint.parent_id = draw(ids), draw(ids)
    request = SaveRequest(checkpoint=checkpoint, base_revision=draw(st.sampled_from([0, 0, 0, 1])))
    match draw(st.integers(0, 20)):
        case 0:
            request.checkpoint.frontier.append(draw(bad_nodes))
        case 1:
            request.checkpoint.metadata["bad"] = "{"
        case 2:
            request.checkpoint.header.CopyFrom(TypedBlob(type="x" * 300))
        case 3:
            request.checkpoint.created_at.nanos = -1
        case 4:
            request.ttl.seconds = draw(st.integers(0, 2))
        case 5:
            request.writes.append(draw(strategies.writes))
        case 6:
            request.expected_latest.CopyFrom(draw(st.sampled_from([ExpectedLatest(), ExpectedLatest(none=True)])))
        case 7:
            request.ClearField("checkpoint")
        case 8:
            request.lease_token = 5
    if draw(st.booleans()):
        request.checkpoint.state.CopyFrom(draw(strategies.states))
        if draw(st.integers(0, 5)) == 0:
            request.checkpoint.state.extra.entries["bad"] = "}"
    if draw(st.integers(0, 2)) == 0:
        request.delta.CopyFrom(draw(strategies.deltas()))
        request.base_checkpoint_id = draw(ids)
        if draw(st.integers(0, 5)) == 0:
            request.delta.custom["a"].append.items.add(type="x" * 300)
    return request


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(requests())
def test_what_is_read_in_one_go_is_the_same(request: SaveRequest) -> None:
    data = request.SerializeToString()
    read = USUAL.read(SaveRequest.FromString(data), "tenant", TRACE)
    expected = _closely(data)
    event("in one go" if read is not None else "closely" if isinstance(expected, Save) else "not at all")
    if read is not None:
        assert read == expected


def _closely(data: bytes) -> Save | None:
    """What checking and taking apart make of it; None where something is wrong."""
    try:
        return save_operation(REQUESTS.read(SaveRequest, data), "tenant", TRACE)
    except Failure:
        return None


def test_usual_saves_are_read_in_one_go() -> None:
    for step in range(5):
        request = SaveRequest(checkpoint=Checkpoint(session_id="s", step=step, ran_nodes=[NodeKind(custom="a")]))
        request.checkpoint.created_at.seconds = step
        request.checkpoint.versions_seen["a"].versions["b"] = step
        request.checkpoint.metadata["step"] = str(step % 2)
        if step % 2:
            request.base_checkpoint_id = "a"
            request.delta.messages.append.add(role="user", content="hello")
        else:
            request.checkpoint.state.messages.items.add(role="user", content="hello")
        data = request.SerializeToString()
        read = USUAL.read(request, "tenant", TRACE)
        assert read is not None
        assert read == _closely(data)


def test_no_rule_is_left_out() -> None:
    """A new rule must be looked at here too."""
    assert {*NAMES, *HEADER, "state", "created_at"} == RULES[CHECKPOINT].keys()
    known = {"checkpoint", "", "expected_latest", "base_checkpoint_id", "delta", "writes", "ttl"}
    assert known == RULES[REQUEST].keys()
