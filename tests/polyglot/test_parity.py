"""Every field of every request can be said, and every field of every response is returned, in each language."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from google.protobuf.message import Message

from lockstitch import Checkpoint, PendingWrite, TypedBlob, VersionedState, message
from lockstitch.v1 import checkpoint_service_pb2 as checkpoints
from lockstitch.v1 import session_service_pb2 as sessions
from lockstitch.v1.checkpoint_pb2 import MessagesChannel
from tests.polyglot.conftest import StartExecutor
from tests.polyglot.languages import NAMES
from tests.polyglot.scripted import METHODS, Path, ScriptedServer, fields_in, scripted_server

A_TIME = "1700000000000000000"
WRITE = PendingWrite(task_id="t", channel="c", value=TypedBlob(type="json", data=b"1"))
EXACTLY = {"session_id": "s", "namespace": "n", "view": "HEADER", "channels": ["messages"]}


def encoded(what: Message) -> str:
    return base64.b64encode(what.SerializeToString()).decode()


def saying(step: int, count: int) -> str:
    items = [message("user", str(number) * 1000) for number in range(count)]
    state = VersionedState(messages=MessagesChannel(items=items))
    return encoded(Checkpoint(session_id="s", step=step, state=state))


SAVE = {
    "expected_latest": {"checkpoint_id": "id", "revision": "7"},
    "lease_token": "8",
    "writes": [encoded(WRITE)],
    "ttl_ms": 5000,
}
OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    ("save", {"checkpoint": saying(1, 20), **SAVE}),
    ("save", {"checkpoint": saying(2, 21), "expected_latest": {"step": "1"}}),  # a delta
    ("save_many", {"saves": [{"checkpoint": saying(step, 1), "expected_latest": {"none": True}} for step in range(8)]}),
    (
        "save_writes",
        {"session_id": "s", "namespace": "n", "checkpoint_id": "id", "writes": [encoded(WRITE)], "lease_token": "8"},
    ),
    ("load_latest", EXACTLY),
    ("load", {**EXACTLY, "checkpoint_id": "id"}),
    ("load", {**EXACTLY, "step": "3"}),
    ("load_latest_many", {"sessions": [EXACTLY, EXACTLY], "view": "HEADER", "channels": ["messages"]}),
    (
        "list_sessions",
        {
            "session_id_prefix": "p",
            "labels": {"a": "b"},
            "updated_since": A_TIME,
            "updated_before": A_TIME,
            "order_by": "SESSION_ID",
            "page_size": 7,
            "page_token": "token",
            "max_items": 1,
        },
    ),
    (
        "list_checkpoints_page",
        {
            **EXACTLY,
            "page_size": 7,
            "page_token": "token",
            "min_step": "1",
            "max_step": "2",
            "ran_node": "a",
            "skipped_node": "b",
            "before_checkpoint_id": "id",
            "metadata": {"a": "1"},
            "include_total": True,
            "include_writes": True,
            "skip_damaged": True,
            "include_channel_sizes": True,
            "write_channels": ["c"],
        },
    ),
    ("list_checkpoints_page", {}),  # has a next page
    ("walk_ancestors", {**EXACTLY, "checkpoint_id": "id", "include_writes": True, "write_channels": ["c"], "limit": 1}),
    ("get_session", {"session_id": "s"}),
    (
        "update_session",
        {
            "session_id": "s",
            "set_labels": {"a": "b"},
            "remove_labels": ["c"],
            "ttl_ms": 5000,
            "retention": {"keep_last": 3, "max_age_ms": 6000},
            "lease_token": "8",
        },
    ),
    ("update_session", {"session_id": "s", "clear_ttl": True, "clear_retention": True}),
    ("delete_sessions", {"session_ids": ["s"], "tombstone_ms": 7000}),
    (
        "delete_checkpoints",
        {"session_id": "s", "after": {"namespace": "n", "checkpoint_id": "id"}, "lease_token": "8"},
    ),
    ("delete_checkpoints", {"session_id": "s", "metadata": {"a": "1"}}),
    (
        "copy_session",
        {
            "source": "s",
            "target": "t",
            "at": {"namespace": "n", "checkpoint_id": "id"},
            "labels": {"a": "b"},
            "ttl_ms": 5000,
        },
    ),
    (
        "prune_sessions",
        {"session_ids": ["s"], "retention": {"keep_last": 3, "max_age_ms": 6000}, "dry_run": True, "page_size": 7},
    ),
    ("watch_session", {"session_id": "s", "resume_token": "token", "heartbeat_ms": 5000, "count": 4}),
    ("acquire_lease", {"session_id": "s", "holder": "h", "ttl_ms": 5000, "acquisition_id": "mine"}),
    ("renew_lease", {"session_id": "s", "lease_token": "8", "ttl_ms": 5000}),
    ("release_lease", {"session_id": "s", "lease_token": "8"}),
    ("break_lease", {"session_id": "s", "acquired_at": A_TIME}),
]

NOT_SAID: dict[Path, str] = {
    ("SaveStreamRequest", "trace_context"): "the client sends that of the caller's span; traces.yaml tests it",
    ("SaveStreamRequest", "batch"): "the client joins saves by itself; stream.yaml tests it",
}

NOT_RETURNED: dict[tuple[str, str], str] = {
    ("SaveStreamResponse", "request_id"): "for the client only",
    ("SaveStreamResponse", "error"): "the other choice of the oneof; errors.yaml tests it",
    ("LoadLatestStreamResponse", "index"): "returned as the session",
    ("PruneSessionsResponse", "next_page_token"): "the client fetches all pages",
    ("ListSessionsResponse", "next_page_token"): "the lists of sessions go through the pages",
    ("lease", "token"): "0 in responses about leases of others",
}

KINDS: dict[str, type[Message]] = {
    "checkpoint": Checkpoint,
    "pending_writes[]": PendingWrite,
    "details": checkpoints.CheckpointDetails,
    "sessions[]": checkpoints.SessionSummary,
    "session": sessions.GetSessionResponse,
    "events[]": sessions.WatchSessionResponse,
}
"""Of the messages in answers, by the name under which they stand; in a list, by that of the list and []."""


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


def texts_in(answer: Any, name: str = "") -> Iterator[str]:
    """All values in an answer, with those in its messages."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            yield str(key)
            yield from texts_in(value, key)
    elif isinstance(answer, list):
        for value in answer:
            yield from texts_in(value, f"{name}[]")
    elif isinstance(answer, str) and name in KINDS:
        yield str(KINDS[name].FromString(base64.b64decode(answer)))
    else:
        yield str(answer)


def named(paths: Iterable[Path]) -> str:
    return " ".join(sorted(".".join(path) for path in paths))


@pytest.mark.parametrize("name", NAMES)
def test_every_field(name: str, executor_of: StartExecutor, scripted: ScriptedServer) -> None:
    executor = executor_of(name)
    executor.ask("connect", {"target": scripted.target, "retry": False})
    answers = {}
    for number, (op, args) in enumerate(OPERATIONS):
        answer = executor.ask(op, args)
        assert "ok" in answer, (op, answer)
        answers[op, number] = answer["ok"]

    requests = {field for method in METHODS.values() for field in fields_in(method.input_type)}
    assert named(requests - scripted.fields - set(NOT_SAID)) == "", "fields of requests that callers cannot set"

    returned = "\n".join(text for answer in answers.values() for text in texts_in(answer))
    lacking = {path for path, value in scripted.values.items() if value not in returned}
    unexpected = {path for path in lacking if not any((part, path[-1]) in NOT_RETURNED for part in path)}
    assert named(unexpected) == "", "fields of responses that callers do not get"
