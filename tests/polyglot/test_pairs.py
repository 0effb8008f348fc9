"""What A saved, with all fields at their extremes, B loads, changes and saves, and A reads back, bit for bit."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lockstitch.v1.checkpoint_pb2 import Checkpoint, Message, NodeKind, TypedBlob
from tests.polyglot.compare import compare
from tests.polyglot.conftest import BY_NAME, StartExecutor
from tests.polyglot.executor import Executor
from tests.polyglot.extremes import extreme_checkpoint, newer, without_unknown_fields
from tests.polyglot.languages import NAMES
from tests.polyglot.messages import encode
from tests.support.server import LockstitchServer

EDIT: dict[str, Any] = {
    "checkpoint_id": "~after all digits",
    "parent_id": f"{2**63 - 1:020d}",
    "step": str(2**53 + 1),
    "concurrency_limit": str(2**64 - 2),
    "created_at": "-1000000001",
    "append_message": {"role": "🧵", "content": "\x00\u2028é"},
    "messages_version": 2**31,
    "set_extra": {"long": "18446744073709551615", "neu": ' "\\ud800" '},
    "remove_extra": ["", "spaced"],
    "append_item": {"channel": "list", "type": "é", "data": "AP+A"},
    "seen": {"node": "", "channel": "messages", "version": str(2**63 + 1)},
    "set_metadata": {"by": '"é"'},
    "append_frontier": "e\u0301",
}


def edited(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint as it must be after EDIT."""
    copy = Checkpoint()
    copy.CopyFrom(checkpoint)
    copy.checkpoint_id = EDIT["checkpoint_id"]
    copy.parent_id = EDIT["parent_id"]
    copy.step = 2**53 + 1
    copy.concurrency_limit = 2**64 - 2
    copy.created_at.CopyFrom(Timestamp(seconds=-2, nanos=999_999_999))
    copy.state.messages.items.append(Message(role="🧵", content="\x00\u2028é"))
    copy.state.messages.version = 2**31
    copy.state.extra.entries.update(EDIT["set_extra"])
    del copy.state.extra.entries[""]
    del copy.state.extra.entries["spaced"]
    copy.state.custom["list"].list.items.append(TypedBlob(type="é", data=b"\x00\xff\x80"))
    copy.versions_seen[""].versions["messages"] = 2**63 + 1
    copy.metadata.update(EDIT["set_metadata"])
    copy.frontier.append(NodeKind(custom="e\u0301"))
    return copy


def ask(executor: Executor, op: str, **args: Any) -> Any:
    answer = executor.ask(op, args)
    assert "ok" in answer, f"{executor.name}: {op}: {answer['error']}"
    return answer["ok"]


@pytest.mark.parametrize("other", NAMES)
@pytest.mark.parametrize("one", NAMES)
@pytest.mark.parametrize("with_unknown", [False, True], ids=["known fields", "unknown fields"])
def test_pair(
    one: str, other: str, with_unknown: bool, executor_of: StartExecutor, server: LockstitchServer, session_id: str
) -> None:
    a, b = executor_of(one), executor_of(other)
    for executor in {one: a, other: b}.values():
        ask(executor, "connect", target=server.target)
    checkpoint = extreme_checkpoint(session_id=session_id)
    if with_unknown:
        checkpoint = newer(checkpoint)
    namespace = checkpoint.namespace

    ask(a, "save", checkpoint=encode(checkpoint))
    sent = _passed_on(checkpoint, one)
    compare({"checkpoint": _passed_on(sent, other)}, ask(b, "load_latest", session_id=session_id, namespace=namespace))

    ask(b, "edit", session_id=session_id, namespace=namespace, edit=EDIT)
    changed = edited(_passed_on(sent, other))
    expected = {"checkpoint": _passed_on(changed, one)}
    compare(expected, ask(a, "load_latest", session_id=session_id, namespace=namespace))
    compare({"checkpoint": sent}, ask(a, "load", session_id=session_id, namespace=namespace, step=str(2**63 - 1)))


def _passed_on(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """The checkpoint after it went through a language."""
    return checkpoint if BY_NAME[name].keeps_unknown_fields else without_unknown_fields(checkpoint)
