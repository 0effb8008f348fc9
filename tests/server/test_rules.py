"""The compiled rules and those that explain say the same: a request is good if and only if nothing is wrong with it."""

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings

from lockstitch_server.config import Limits
from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.checker import DESCRIPTORS, Checker
from lockstitch_server.rpc.rules import RULES
from lockstitch_server.rpc.swift import compile_rules
from tests.support import ruled
from tests.support.shares import Shares

LIMITS = Limits(
    max_session_id_bytes=20, max_checkpoint_id_bytes=20, max_namespace_bytes=6, max_key_bytes=20, max_parts=3
)
CHECKER = Checker(LIMITS)
KEEPS = compile_rules(RULES, DESCRIPTORS, LIMITS)
REQUESTS = sorted(name for name in RULES if name.endswith("Request"))
SEEN = {
    "SaveRequest": ("delta", "state", "custom", "expected_latest", "writes", "ttl", "removed_custom"),
    "SaveStreamRequest": ("delta", "state"),
    "SaveWritesRequest": ("writes",),
}
"""Fields that enough of the good ones must have."""


def is_explained(message: Message) -> bool:
    """Whether something is wrong with it."""
    try:
        CHECKER.explain(message)
    except Failure:
        return True
    return False


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_good_if_nothing_is_wrong_with_it(name: str) -> None:
    shares, kind = Shares(), DESCRIPTORS.FindMessageTypeByName(name)
    counts = 100 if kind.name not in SEEN else 150

    @settings(max_examples=counts, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(ruled.messages(kind, LIMITS))
    def compare(message: Message) -> None:
        is_good = KEEPS[name](message)
        shares.note(*({"good", *ruled.submessages(message)} if is_good else {"wrong"}))
        assert is_good is not is_explained(message)

    compare()
    shares.assert_at_least(0.5, "good")
    shares.assert_at_least(0.01, "wrong")
    for field in SEEN.get(kind.name, ()):
        shares.assert_at_least(0.02, field)


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_empty_message_of_any_type(name: str) -> None:
    message = GetMessageClass(DESCRIPTORS.FindMessageTypeByName(name))()
    assert KEEPS[name](message) is not is_explained(message)
