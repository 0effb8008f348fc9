"""What a page may cost, whatever is stored: heavy pages are refused or cut, and others are served meanwhile."""

import http.client
import json
import random
from collections.abc import Iterator

import pytest

import lockstitch
from lockstitch.v1.checkpoint_pb2 import PendingWrite, TypedBlob, WeaveError
from lockstitch_ui.edits import MAX_EDITED_BYTES
from lockstitch_ui.pages.detail import TABS
from lockstitch_ui.urls import change_url, checkpoint_url, download_url, session_url, value_url
from lockstitch_ui.views.tree import MAX_DECODED_BYTES
from tests.support.server import LockstitchServer
from tests.ui.explorer import Explorer, Visitor

MANY = 300_000
FIRST, SECOND = (f"{step:020}" for step in (1, 2))


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with LockstitchServer("memory://") as server:
        yield server.target


@pytest.fixture(scope="module")
def port(target: str) -> Iterator[int]:
    with Explorer(target, "--allow-changes") as running:
        yield running.port


@pytest.fixture
def visitor(port: int) -> Visitor:
    return Visitor(port)


@pytest.fixture
def client(target: str) -> Iterator[lockstitch.Client]:
    with lockstitch.Client(target) as made:
        yield made


def test_pages_are_served_while_many_texts_are_compared(client: lockstitch.Client, visitor: Visitor, port: int) -> None:
    source = random.Random(1)
    for step in (1, 2):
        texts = (" ".join(source.choices("ab", k=1900)) for _ in range(190))
        messages = [lockstitch.message("user", f"{number} {text}") for number, text in enumerate(texts)]
        state = lockstitch.VersionedState(messages=lockstitch.MessagesChannel(version=step, items=messages))
        client.save(lockstitch.Checkpoint(session_id="words", step=step, state=state))
    page = checkpoint_url("words", SECOND, tab="changes")
    left = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(8)]
    try:
        for connection in left:
            connection.request("GET", page)
        assert visitor.get(checkpoint_url("words", SECOND)).status == 200
    finally:
        for connection in left:
            connection.close()
    answer = visitor.get(page)
    assert answer.status == 200
    assert "compared as a whole" in answer.text


HALF = '{"\\ud800": {"\\udfff": "\\ud800", "many": ' + json.dumps(["x" * 700, *[0] * 250]) + "}}"
"""JSON with halves of surrogate pairs, which UTF-8 does not have, above what links lead to."""


@pytest.fixture(scope="module")
def half_pairs(target: str) -> str:
    """A session with such JSON wherever JSON can stand."""
    call = {"id": "\ud800", "name": "\ud800", "args": {"\ud800": 1}}
    messages = [{"role": "assistant", "content": "\ud800", "tool_calls": [call]}]
    blob = TypedBlob(type="json", data=HALF.encode())
    made = lockstitch.Checkpoint(session_id="half pairs", step=1, metadata={"m": HALF})
    made.state.extra.entries["x"] = HALF
    made.state.custom["x"].blob.CopyFrom(blob)
    made.state.custom["messages"].blob.CopyFrom(TypedBlob(type="json", data=json.dumps(messages).encode()))
    made.state.errors.items.add(error=WeaveError(message="m", details=HALF), context=HALF)
    write = PendingWrite(task_id="t", task_path="~__pregel_pull, n", index=-3, channel="__interrupt__", value=blob)
    with lockstitch.Client(target) as client:
        client.save(made, writes=[write])
        made.step, made.state.extra.entries["x"] = 2, "{}"
        made.state.custom["x"].blob.data = b"{}"
        client.save(made)
    return made.session_id


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("step", [FIRST, SECOND])
def test_halves_of_surrogate_pairs_are_shown(visitor: Visitor, half_pairs: str, step: str, tab: str) -> None:
    answer = visitor.get(checkpoint_url(half_pairs, step, tab=tab))
    assert answer.status == 200, answer.text
    if tab not in ("run", "json") and (step, tab) not in ((FIRST, "changes"), (SECOND, "writes")):
        assert "\u27e8U+D800\u27e9" in answer.text
    assert "%3F" not in answer.text  # no link leads elsewhere


def test_values_with_halves_of_surrogate_pairs(visitor: Visitor, half_pairs: str) -> None:
    checkpoint = lockstitch.Checkpoint(checkpoint_id=FIRST)
    for path in ("/sessions", "/overview", session_url(half_pairs), f"{session_url(half_pairs)}/plots"):
        assert visitor.get(path).status == 200
    for channel in ("custom/x", "extra/x", "errors", "custom/messages"):
        answer = visitor.get(value_url(half_pairs, checkpoint, channel))
        assert answer.status == 200, answer.text
        assert "\u27e8U+D800\u27e9" in answer.text
    assert visitor.get(download_url(half_pairs, checkpoint, "custom/x")).body == HALF.encode()
    assert visitor.get(download_url(half_pairs, checkpoint, "custom/messages", "/0/content")).body == b"\xed\xa0\x80"
    assert visitor.get(download_url(half_pairs, checkpoint, "")).status == 200


def test_halves_of_surrogate_pairs_are_not_edited(visitor: Visitor, half_pairs: str, client: lockstitch.Client) -> None:
    for channel in ("custom/x", "extra/x"):
        query = {"checkpoint": FIRST, "channel": channel}
        refused = visitor.get(change_url(half_pairs, "edit", **query))
        assert refused.status == 400
        assert "half of a surrogate pair, U+D800" in refused.text
        form = change_url(half_pairs, "edit", checkpoint=SECOND, channel=channel)
        fields = {"checkpoint": SECOND, "channel": channel, "value": '"\\ud800"', "target": "half edited"}
        refused = visitor.submit(form, change_url(half_pairs, "edit"), fields)
        assert refused.status == 400
        assert "half of a surrogate pair, U+D800" in refused.text
    assert list(client.list_sessions(session_id_prefix="half edited")) == []


@pytest.fixture(scope="module")
def large(target: str) -> str:
    """A session with values that are large, or that are as text."""
    made = lockstitch.Checkpoint(session_id="large", step=1)
    deep = "[" * 190 + "1," * 200_000 + "1" + "]" * 190
    made.state.extra.entries.update(deep=deep, large="[" + "1," * 600_000 + "1]")
    packed = b"\xdd" + MANY.to_bytes(4, "big") + b"\x90" * MANY
    blobs = {
        "deep": ("json", deep.encode()),
        "packed": ("msgpack", packed),
        "large": ("text", b"x" * MAX_EDITED_BYTES + b"x"),
    }
    for name, (kind, data) in blobs.items():
        made.state.custom[name].blob.CopyFrom(TypedBlob(type=kind, data=data))
    made.state.messages.items.add(role="user", content="x" * (MAX_EDITED_BYTES + 1))
    write = b"\xdc" + (60_000).to_bytes(2, "big") + b"\x90" * 60_000
    writes = [
        PendingWrite(task_id="t", index=number, channel="c", value=TypedBlob(type="msgpack", data=write))
        for number in range(50)
    ]
    with lockstitch.Client(target) as client:
        client.save(made, writes=writes)
    return made.session_id


@pytest.mark.parametrize("channel", ["custom/deep", "extra/deep"])
def test_values_that_indentation_would_multiply_are_edited_as_they_are(
    visitor: Visitor, large: str, channel: str
) -> None:
    answer = visitor.get(change_url(large, "edit", checkpoint=FIRST, channel=channel))
    assert answer.status == 200, answer.text
    assert "[" * 190 + "1,1,1" in answer.text
    assert len(answer.body) < MAX_EDITED_BYTES


@pytest.mark.parametrize(
    ("channel", "size"),
    [
        ("extra/large", 1_200_003),
        ("custom/large", MAX_EDITED_BYTES + 1),
        ("custom/packed", 4 * MANY),
        ("messages", MAX_EDITED_BYTES + 1),
    ],
)
def test_values_that_are_too_large_are_not_edited(visitor: Visitor, large: str, channel: str, size: int) -> None:
    query = {"item": 0} if channel == "messages" else {}
    answer = visitor.get(change_url(large, "edit", checkpoint=FIRST, channel=channel, **query))
    assert answer.status == 400
    assert f"has {size} bytes, and up to {MAX_EDITED_BYTES} can be edited here" in answer.text


def test_pending_writes_are_decoded_within_the_budget_of_a_page(visitor: Visitor, large: str) -> None:
    answer = visitor.get(checkpoint_url(large, FIRST, tab="writes"))
    assert answer.status == 200
    assert answer.text.count("60000 items") == MAX_DECODED_BYTES // 60_003
    assert answer.text.count("Not decoded: the page has decoded other values") == 50 - MAX_DECODED_BYTES // 60_003


def test_json_up_to_a_size(visitor: Visitor, large: str) -> None:
    answer = visitor.get(checkpoint_url(large, FIRST, tab="json"))
    assert answer.status == 200
    assert "Left out, since they are large" in answer.text
    assert "session_id" in answer.text
    answer = visitor.get(checkpoint_url(large, FIRST, tab="json", channel="custom/deep"))
    assert "up to 256 KiB are shown" in answer.text
    assert "session_id" not in answer.text


def test_packed_values_by_themselves_up_to_a_size(visitor: Visitor, client: lockstitch.Client) -> None:
    made = lockstitch.Checkpoint(session_id="packed", step=1)
    for name, count in (("less", 1024 * 1024 - 5), ("more", 1024 * 1024 - 4)):
        made.state.custom[name].blob.type = "msgpack"
        made.state.custom[name].blob.data = b"\xdd" + count.to_bytes(4, "big") + b"\x90" * count
        made.state.custom["list"].list.items.append(made.state.custom[name].blob)
    client.save(made)
    checkpoint = lockstitch.Checkpoint(checkpoint_id=FIRST)
    shown = {name: visitor.get(value_url("packed", checkpoint, f"custom/{name}")).text for name in ("less", "more")}
    assert "1048571 items" in shown["less"]
    assert "Not decoded: it has 1048577 bytes; up to 1048576 are decoded" in shown["more"]
    items = visitor.get(value_url("packed", checkpoint, "custom/list")).text
    assert "2 items" in items
    assert "1048571 items" not in items
