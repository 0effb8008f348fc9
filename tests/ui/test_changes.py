"""Changes by forms: what each one does, and what it says before."""

import html
import json
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import ormsgpack
import pytest

import lockstitch
from lockstitch_ui.urls import change_url, encode_id
from tests.support.server import LockstitchServer
from tests.ui.explorer import Answer, Explorer, Visitor

pytestmark = pytest.mark.slow

IDS = [f"{step:020}" for step in range(1, 6)]


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with LockstitchServer("memory://") as server:
        yield server.target


@pytest.fixture(scope="module")
def port(target: str) -> Iterator[int]:
    with Explorer(target, "--allow-changes") as running:
        yield running.port


@pytest.fixture
def client(target: str) -> Iterator[lockstitch.Client]:
    with lockstitch.Client(target) as made:
        yield made


@pytest.fixture
def visitor(port: int) -> Visitor:
    return Visitor(port)


@pytest.fixture(params=["plain", "a/b?c#d", "..", "\u202erlo"])
def session(request: pytest.FixtureRequest, client: lockstitch.Client) -> str:
    """A session of five steps, with a checkpoint of a subgraph after the third."""
    name = str(request.param)
    client.delete_sessions([name, f"{name}-fork", f"{name}-edit"], tombstone=0)
    for step in range(1, 6):
        client.save(_checkpoint(name, step))
        if step == 3:
            client.save(lockstitch.Checkpoint(session_id=name, namespace="inner", step=9))
    return name


def _checkpoint(name: str, step: int) -> lockstitch.Checkpoint:
    state = lockstitch.VersionedState(
        messages=lockstitch.MessagesChannel(version=step, items=[lockstitch.message("user", f"message {step}")]),
        extra=lockstitch.ExtrasChannel(version=step, entries={"order": '{"id":42,"price":1.50}'}),
    )
    instance = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(["module", "Class", 1])))
    blobs = {
        "plan": lockstitch.TypedBlob(type="json", data=b'{"steps": [1, 2]}'),
        "note": lockstitch.TypedBlob(type="text", data=b"as it was"),
        "packed": lockstitch.TypedBlob(type="msgpack", data=ormsgpack.packb({"a": 1})),
        "object": lockstitch.TypedBlob(type="msgpack", data=instance),
        "raw": lockstitch.TypedBlob(type="bytes", data=b"\x00\x01"),
    }
    for channel, blob in blobs.items():
        state.custom[channel].blob.CopyFrom(blob)
    state.custom["log"].list.items.append(lockstitch.TypedBlob(type="json", data=b'"first"'))
    return lockstitch.Checkpoint(session_id=name, step=step, state=state)


def submit(visitor: Visitor, session: str, action: str, fields: dict[str, str], **query: str) -> Answer:
    """Open the page of a change and send its form, with all that the page has put into it."""
    path = change_url(session, action, **query)
    page = visitor.get(path)
    assert page.status == 200, page.text
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text)
    given = {name: html.unescape(value) for name, value in hidden} | fields
    return visitor.post(path.partition("?")[0], given)


def test_fork_here(client: lockstitch.Client, visitor: Visitor, session: str) -> None:
    answer = submit(visitor, session, "fork", {"target": f"{session}-fork"}, checkpoint=IDS[2])
    assert answer.status == 303, answer.text
    assert answer.headers["location"] == f"/sessions/{encode_id(f'{session}-fork')}?done=fork"
    fork = client.get_session(f"{session}-fork").summary
    assert (fork.latest_step, dict(fork.labels)) == (3, {"forked-from": session, "forked-at": IDS[2]})
    assert client.get_session(session).summary.latest_step == 5
    assert "forked from" in visitor.get("/sessions?" + urlencode({"prefix": f"{session}-fork"})).text


def test_a_fork_never_writes_into_another_session(client: lockstitch.Client, visitor: Visitor, session: str) -> None:
    client.save(lockstitch.Checkpoint(session_id="taken", step=7))
    answer = submit(visitor, session, "fork", {"target": "taken"}, checkpoint=IDS[2])
    assert answer.status == 409
    assert client.get_session("taken").summary.checkpoint_count == 1


@pytest.mark.parametrize(
    ("place", "text", "expected"),
    [
        ({"channel": "extra/order"}, '{"id": 43}', {"id": 43}),
        ({"channel": "messages", "item": "0"}, "<b>other</b>\r\nline", "<b>other</b>\nline"),
        ({"channel": "custom/plan"}, '{"steps": []}', {"steps": []}),
        ({"channel": "custom/note"}, "new \u202e text", "new \u202e text"),
        ({"channel": "custom/packed"}, '{"a": [2]}', {"a": [2]}),
        ({"channel": "custom/log", "item": "0"}, '"second"', "second"),
    ],
)
def test_edit_a_value_and_fork(
    client: lockstitch.Client, visitor: Visitor, session: str, place: dict[str, str], text: str, expected: object
) -> None:
    fields = {"target": f"{session}-edit", "value": text}
    answer = submit(visitor, session, "edit", fields, checkpoint=IDS[2], **place)
    assert answer.status == 303, answer.text
    original, changed = (client.load(name, checkpoint_id=IDS[2]).checkpoint for name in (session, f"{session}-edit"))
    assert _value(changed, place["channel"]) == expected
    assert original == client.load(session, checkpoint_id=IDS[2]).checkpoint
    assert _value(original, place["channel"]) != expected
    changed.session_id = session
    for channel in ("messages", "extra"):
        if not place["channel"].startswith(channel):
            assert getattr(changed.state, channel) == getattr(original.state, channel)


@pytest.mark.parametrize(
    ("place", "text", "problem"),
    [
        ({"channel": "extra/order"}, "{", "not JSON"),
        ({"channel": "extra/order"}, "NaN", "not JSON"),
        ({"channel": "extra/order"}, "[" * 100_000, "not JSON"),
        ({"channel": "custom/packed"}, f'{{"a": {2**80}}}', "MessagePack cannot hold"),
    ],
)
def test_a_value_that_cannot_be_makes_no_fork(
    client: lockstitch.Client, visitor: Visitor, session: str, place: dict[str, str], text: str, problem: str
) -> None:
    answer = submit(visitor, session, "edit", {"target": f"{session}-edit", "value": text}, checkpoint=IDS[2], **place)
    assert answer.status == 400
    assert problem in answer.text
    with pytest.raises(lockstitch.SessionNotFound):
        client.get_session(f"{session}-edit")


@pytest.mark.parametrize("channel", ["custom/object", "custom/raw", "custom/none", "extra/none", "messages", "errors"])
def test_what_cannot_be_edited_is_told(visitor: Visitor, session: str, channel: str) -> None:
    answer = visitor.get(change_url(session, "edit", checkpoint=IDS[2], channel=channel))
    assert answer.status == 400
    assert "<textarea" not in answer.text


def test_the_text_to_edit_is_the_value_exactly(client: lockstitch.Client, visitor: Visitor, session: str) -> None:
    page = visitor.get(change_url(session, "edit", checkpoint=IDS[2], channel="extra/order")).text
    shown = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert shown is not None
    assert html.unescape(shown[1]) == '{"id":42,"price":1.50}'
    assert "extra/order" in visitor.get(change_url(session, "edit", checkpoint=IDS[2])).text


def test_rewind_says_how_many_go_and_takes_them(client: lockstitch.Client, visitor: Visitor, session: str) -> None:
    page = visitor.get(change_url(session, "rewind", checkpoint=IDS[2])).text
    assert "3 of 6 checkpoints" in page  # two of the root, and that of the subgraph
    answer = submit(visitor, session, "rewind", {}, checkpoint=IDS[2])
    assert answer.headers["location"].endswith("?done=rewind&count=3")
    assert client.get_session(session).summary.checkpoint_count == 3
    assert "nothing to delete" in visitor.get(change_url(session, "rewind", checkpoint=IDS[2])).text


def test_a_rewind_of_what_has_changed_since_takes_nothing(
    client: lockstitch.Client, visitor: Visitor, session: str
) -> None:
    path = change_url(session, "rewind", checkpoint=IDS[2])
    page = visitor.get(path).text
    client.save(_checkpoint(session, 6))
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))
    assert visitor.post(path.partition("?")[0], hidden).status == 409
    assert client.get_session(session).summary.checkpoint_count == 7


def test_a_rewind_under_a_lease_is_refused(client: lockstitch.Client, visitor: Visitor, session: str) -> None:
    client.acquire_lease(session, "worker", ttl=600)
    answer = submit(visitor, session, "rewind", {}, checkpoint=IDS[2])
    assert answer.status == 409
    assert "worker" in answer.text
    assert client.get_session(session).summary.checkpoint_count == 6


def test_prune_shows_first_what_would_go(client: lockstitch.Client, visitor: Visitor, session: str) -> None:
    query = {"keep_last": "2"}
    page = visitor.get(change_url(session, "prune", **query)).text
    assert "3 checkpoints</strong> would go" in page
    assert client.get_session(session).summary.checkpoint_count == 6
    answer = submit(visitor, session, "prune", query, **query)
    assert answer.headers["location"].endswith("?done=prune&count=3")
    assert client.get_session(session).summary.checkpoint_count == 3


@pytest.mark.parametrize(
    "query", [{"keep_last": "many"}, {"keep_last": "-1"}, {"max_age_days": "0"}, {"max_age_days": "nan"}]
)
def test_a_retention_that_is_none_is_told(visitor: Visitor, query: dict[str, str]) -> None:
    assert visitor.get(change_url("plain", "prune", **query)).status == 400


def test_set_and_remove_labels(client: lockstitch.Client, visitor: Visitor, session: str) -> None:
    assert submit(visitor, session, "label", {"name": "env", "text": "prod=1"}).status == 303
    assert dict(client.get_session(session).summary.labels) == {"env": "prod=1"}
    path = change_url(session, "label")
    fields = {"form_token": visitor.get(path).form_token, "remove": "env"}
    assert visitor.post(path, fields).status == 303
    assert not client.get_session(session).summary.labels


def test_break_a_lease(client: lockstitch.Client, visitor: Visitor, session: str) -> None:
    lease = client.acquire_lease(session, "<b>pod-7</b>", ttl=600)
    page = visitor.get(change_url(session, "break-lease")).text
    assert "&lt;b&gt;pod-7&lt;/b&gt;" in page
    assert submit(visitor, session, "break-lease", {}).status == 303
    with pytest.raises(lockstitch.LeaseLost):
        client.renew_lease(session, lease.token)
    assert "Nobody holds the lease" in visitor.get(change_url(session, "break-lease")).text


def test_a_lease_that_was_acquired_since_is_not_broken(
    client: lockstitch.Client, visitor: Visitor, session: str
) -> None:
    first = client.acquire_lease(session, "first", ttl=600)
    page = visitor.get(change_url(session, "break-lease")).text
    client.release_lease(session, first.token)
    second = client.acquire_lease(session, "second", ttl=600)
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))
    assert visitor.post(change_url(session, "break-lease"), hidden).status == 409
    client.renew_lease(session, second.token)


def test_delete_wants_the_name_typed(client: lockstitch.Client, visitor: Visitor, session: str) -> None:
    for typed in ("", session.upper() + "x", session[:-1]):
        assert submit(visitor, session, "delete", {"confirm": typed}).status == 400
    assert client.get_session(session).summary.checkpoint_count == 6
    answer = submit(visitor, session, "delete", {"confirm": session})
    assert answer.headers["location"] == "/sessions?done=delete&count=1"
    with pytest.raises(lockstitch.SessionNotFound):
        client.get_session(session)


@pytest.mark.parametrize("action", ["rewind", "edit", "label", "delete", "break-lease"])
def test_a_session_that_is_not_there(visitor: Visitor, action: str) -> None:
    assert visitor.get(change_url("nobody", action, checkpoint=IDS[0], channel="extra/a")).status == 404


def test_only_known_notices_are_shown(visitor: Visitor) -> None:
    assert "Sessions deleted: 3." in visitor.get("/sessions?done=delete&count=3").text
    assert "evil" not in visitor.get("/sessions?done=delete&count=evil").text
    assert 'class="done"' not in visitor.get("/sessions?done=You+have+won").text


def _value(checkpoint: lockstitch.Checkpoint, channel: str) -> object:
    state = checkpoint.state
    if channel == "messages":
        return state.messages.items[0].content
    if channel.startswith("extra/"):
        return json.loads(state.extra.entries[channel.removeprefix("extra/")])
    custom = state.custom[channel.removeprefix("custom/")]
    blob = custom.list.items[0] if custom.WhichOneof("value") == "list" else custom.blob
    if blob.type == "msgpack":
        return ormsgpack.unpackb(blob.data)
    return json.loads(blob.data) if blob.type == "json" else blob.data.decode()
