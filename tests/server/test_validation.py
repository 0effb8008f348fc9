"""The compiled rules find something wrong with a request if and only if it breaks a rule, and name what it breaks."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings

from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch.v1 import session_service_pb2 as sessions_pb
from lockstitch.v1.checkpoint_pb2 import Checkpoint
from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure
from lockstitch_server.validation import Validator
from lockstitch_server.validation.contract import CONTRACT
from tests.support import ruled, rules_oracle
from tests.support.shares import Shares

LIMITS = Limits(
    max_session_id_bytes=20, max_checkpoint_id_bytes=20, max_namespace_bytes=6, max_key_bytes=20, max_parts=3
)
VALIDATOR = Validator(LIMITS)
POOL = sessions_pb.DESCRIPTOR.pool
REQUESTS = sorted(name for name in CONTRACT if name.endswith("Request"))
SEEN = {
    "SaveRequest": ("delta", "state", "custom", "expected_latest", "writes", "ttl", "removed_custom"),
    "SaveStreamRequest": ("delta", "state"),
    "SaveWritesRequest": ("writes",),
}
"""Fields that enough of the valid ones have."""


def is_valid(message: Message) -> bool:
    """Whether a message is valid, having made sure that validator and oracle agree about it."""
    broken = set(rules_oracle.broken(message, LIMITS))
    violation = VALIDATOR.explain(message)
    assert (violation is None) is not bool(broken), (message, violation, broken)
    if violation is not None:
        assert violation.path in broken
    return violation is None


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_valid_if_and_only_if_it_breaks_no_rule(name: str) -> None:
    shares, kind, compared = Shares(), POOL.FindMessageTypeByName(name), 0

    def compare(message: Message) -> None:
        nonlocal compared
        compared += 1
        valid = is_valid(message)
        shares.note(*({"valid", *ruled.submessages(message)} if valid else {"invalid"}))

    def run(examples: int, *, flawed: bool) -> None:
        messages = ruled.messages(kind, LIMITS, flawed=flawed)
        fixed = settings(
            max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
        )
        fixed(given(messages)(compare))()

    run(50 if kind.name not in SEEN else 100, flawed=False)
    run(max(1, compared * 6 // 10), flawed=True)  # fewer than without flaws, of which there may be few
    shares.assert_at_least(0.5, "valid")
    shares.assert_at_least(0.01, "invalid")
    for field in SEEN.get(kind.name, ()):
        shares.assert_at_least(0.02, field)


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_an_empty_message_of_any_type(name: str) -> None:
    is_valid(GetMessageClass(POOL.FindMessageTypeByName(name))())


@pytest.mark.parametrize("name", REQUESTS)
def test_every_rule_stands_under_a_field_or_a_oneof(name: str) -> None:
    message = POOL.FindMessageTypeByName(name)
    assert set(CONTRACT[name]) <= {"", *message.fields_by_name, *message.oneofs_by_name}


def lease(seconds: int, nanos: int) -> Message:
    return sessions_pb.AcquireLeaseRequest(
        session_id="s", holder="h", ttl=Duration(seconds=seconds, nanos=nanos), acquisition_id="a"
    )


def since(seconds: int, nanos: int) -> Message:
    return pb.ListSessionsRequest(updated_since=Timestamp(seconds=seconds, nanos=nanos))


def saved_delta(place: str) -> Message:
    """A save with a delta that has every part, and a field that nobody knows at a place in it."""
    request = pb.SaveRequest(checkpoint=Checkpoint(session_id="s"), base_checkpoint_id="base")
    delta = request.delta
    for part in (delta.messages, delta.errors, delta.extra, delta.custom["c"].append):
        part.SetInParent()
    places = {
        "delta": delta,
        "messages": delta.messages,
        "errors": delta.errors,
        "extra": delta.extra,
        "custom": delta.custom["c"],
        "append": delta.custom["c"].append,
    }
    if place in places:
        places[place].MergeFromString(ruled.UNKNOWN_FIELD)
    return request


DAY, LAST = LIMITS.max_lease_seconds, ruled.LAST_SECOND
EDGES: list[tuple[Message, bool]] = [
    *[(lease(seconds, nanos), True) for seconds, nanos in ((1, 0), (1, 999_999_999), (DAY - 1, 999_999_999), (DAY, 0))],
    *[
        (lease(seconds, nanos), False)
        for seconds, nanos in ((0, 999_999_999), (DAY, 1), (DAY + 1, 0), (1, -1), (1, 10**9))
    ],
    *[(since(seconds, nanos), True) for seconds, nanos in ((ruled.FIRST_SECOND, 0), (LAST, 999_999_999), (-1, 1))],
    *[(since(seconds, nanos), False) for seconds, nanos in ((ruled.FIRST_SECOND - 1, 999_999_999), (LAST + 1, 0))],
    *[(saved_delta(place), False) for place in ("delta", "messages", "errors", "extra", "custom", "append")],
    (saved_delta("nowhere"), True),
    *[(pb.LoadRequest(session_id="s", step=step), step < 2**63) for step in (0, 2**63 - 1, 2**63)],
    *[(pb.ListSessionsRequest(page_size=size), size >= 0) for size in (-1, 0, 2**31 - 1)],
    *[(sessions_pb.GetSessionRequest(session_id=text), True) for text in ("x", "x" * 20, "é" * 10, "\xa0")],
    *[(sessions_pb.GetSessionRequest(session_id=text), False) for text in ("", "x" * 21, "é" * 11, "\x7f", "\x85")],
]
"""Values on both sides of limits, and whether they are valid."""


@pytest.mark.parametrize("number", range(len(EDGES)))
def test_values_on_both_sides_of_a_limit(number: int) -> None:
    message, valid = EDGES[number]
    assert is_valid(message) is valid


TEXTS = {
    "too long": (
        sessions_pb.GetSessionRequest(session_id="x" * 21),
        "session_id: has 21 bytes; the limit is 20 bytes (limits.max_session_id_bytes): shorten it",
    ),
    "empty": (
        sessions_pb.GetSessionRequest(),
        "session_id: has 0 bytes; send 1 to 20 (limits.max_session_id_bytes)",
    ),
    "control character": (
        sessions_pb.GetSessionRequest(session_id="a\nb"),
        "session_id: holds the control character '\\n' at position 1; control characters are refused: remove it",
    ),
    "number": (
        pb.LoadRequest(session_id="s", step=2**63),
        "step: is 9223372036854775808; send a number from 0 to 9223372036854775807",
    ),
    "too few": (
        pb.SaveWritesRequest(session_id="s", checkpoint_id="c"),
        "writes: has 0 entries; send 1 to 10000 (limits.max_writes)",
    ),
    "duration": (
        sessions_pb.AcquireLeaseRequest(session_id="s", holder="h", ttl=Duration(nanos=5)),
        "ttl: is 0 s and 5 ns; send 1 to 86400 seconds (limits.max_lease_seconds)",
    ),
    "time": (
        pb.ListSessionsRequest(updated_since=Timestamp(nanos=-1)),
        "updated_since: is 0 s and -1 ns after 1970; send a time in the years 1 to 9999, with 0 to 999999999 nanos",
    ),
    "JSON": (
        pb.ListCheckpointsRequest(metadata={"k": "{"}),
        "metadata['k']: is not JSON text: unexpected end of data: line 1 column 2 (char 1); "
        "send JSON (RFC 8259) nested at most 1000 deep",
    ),
    "none of a oneof": (
        pb.LoadRequest(session_id="s"),
        "selector: none of its fields is set; set one of: checkpoint_id, step",
    ),
    "zero": (
        sessions_pb.ReleaseLeaseRequest(session_id="s"),
        "lease_token: is 0, which stands for a missing value; set another one",
    ),
    "missing": (pb.SaveRequest(), "checkpoint: is not set; set it"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_an_error_names_field_value_and_limit_and_says_what_to_do(case: str) -> None:
    request, text = TEXTS[case]
    with pytest.raises(Failure) as failed:
        VALIDATOR.check(request)
    assert failed.value.message == text
    assert failed.value.metadata["field"] == text.partition(":")[0]
