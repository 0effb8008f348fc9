"""The list of sessions: what a row says, filters, pages."""

import html
import re
import time
from urllib.parse import urlencode

import pytest

import lockstitch
from lockstitch_ui.urls import session_url
from tests.support.server import LockstitchServer
from tests.ui import stores
from tests.ui.explorer import Explorer, Visitor


def rows(text: str) -> dict[str, str]:
    """Session -> the text of its row."""
    found = {}
    for row in re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)[1:]:
        name = re.search(r'class="mono break id"[^>]*>([^<]*)<', row)
        assert name is not None
        found[html.unescape(name[1])] = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", row)).split())
    return found


def listed(visitor: Visitor, **query: str) -> dict[str, str]:
    answer = visitor.get(f"/sessions?{urlencode(query)}")
    assert answer.status == 200, answer.text
    return rows(answer.text)


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ("finished-1", ["finished", "summarise → End"]),
        ("idle-1", ["idle", "plan → write_order"]),
        ("running-1", ["running", "held by pod-7", "min"]),
        ("failed-1", ["failed", "HTTP 500 from https://orders.internal/write", "env=prod"]),
        ("waiting-1", ["waiting", "Refund 250 EUR to order 42?", "team=billing"]),
        ("thread-done", ["finished", "write_order → nothing"]),
        ("thread-waits", ["waiting", "Refund 250 EUR to order 42?", "research → approve"]),
        ("thread-failed", ["failed", "HTTP 500", "research → approve"]),
    ],
)
def test_a_row_says_what_a_session_does(visitor: Visitor, session: str, words: list[str]) -> None:
    row = listed(visitor, prefix=session)[session]
    assert [word for word in words if word not in row] == [], row


@pytest.mark.parametrize("kind", ["running", "waiting", "failed", "finished", "idle"])
def test_the_status_filter_shows_that_status_only(visitor: Visitor, kind: str) -> None:
    found = listed(visitor, status=kind)
    assert f"{kind}-1" in found
    assert all(row.startswith(kind) for row in found.values())
    assert "looked through" in visitor.get(f"/sessions?status={kind}").text


def test_filters_by_label_prefix_and_time(visitor: Visitor) -> None:
    assert set(listed(visitor, label="env=prod")) == {"failed-1", "waiting-1"}
    assert set(listed(visitor, prefix="thread-")) == {"thread-done", "thread-waits", "thread-failed"}
    assert set(listed(visitor, prefix="waiting", since="1d")) == {"waiting-1"}
    assert listed(visitor, prefix="waiting", before="1d") == {}
    assert listed(visitor, since="2100-01-01") == {}
    assert list(listed(visitor, prefix="thread-", order="id")) == ["thread-done", "thread-failed", "thread-waits"]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("since=yesterday", "neither an age"),
        ("since=999999d", "neither an age"),
        ("before=0001-01-01T00:00%2B23:59", "neither an age"),
        ("since=9999-12-31T23:59-23:59", "neither an age"),
        ("label=prod", "not name=value"),
        ("status=lost", "is none of"),
        ("order=size", "The order is"),
        ("page=nonsense", "page"),
    ],
)
def test_a_filter_that_cannot_be_is_told(visitor: Visitor, query: str, problem: str) -> None:
    answer = visitor.get(f"/sessions?{query}")
    assert answer.status == 400
    assert problem in answer.text


def test_every_id_has_an_address(visitor: Visitor) -> None:
    page = visitor.get("/sessions?order=id").text
    for name in stores.HOSTILE_NAMES:
        assert f'href="{html.escape(session_url(name))}"' in page
        assert "/../" not in session_url(name)
        assert session_url(name).count("/") == 2


def test_no_messages_are_loaded_for_the_list(filled: LockstitchServer, explorer: Explorer) -> None:
    """A session of 60 MB of messages is listed while the explorer has its answers bounded by little memory."""
    with lockstitch.Client(filled.target) as client:
        for step in range(1, 4):
            state = lockstitch.VersionedState(messages=lockstitch.MessagesChannel(version=step))
            state.messages.items.extend(lockstitch.message("user", "x" * 1_000_000) for _ in range(20))
            client.save(lockstitch.Checkpoint(session_id="large", step=step, state=state))
        selected = client.load_latest("large", channels=["errors"])
    assert selected.checkpoint is not None
    assert selected.checkpoint.ByteSize() < 1000
    assert "large" in listed(Visitor(explorer.port), prefix="large")


def test_pages_go_on_where_the_last_one_ended(server: LockstitchServer, filled: LockstitchServer) -> None:
    with lockstitch.Client(server.target) as client:
        for number in range(120):
            client.save(lockstitch.Checkpoint(session_id=f"many-{number:03}", step=1))
    with Explorer(server.target) as running:
        visitor, path, seen = Visitor(running.port), "/sessions?prefix=many-&order=id", []
        for _ in range(3):
            page = visitor.get(path).text
            seen.append(list(rows(page)))
            following = re.search(r'rel="next" href="([^"]+)"', page)
            path = html.unescape(following[1]) if following else ""
    assert [len(each) for each in seen] == [50, 50, 20]
    assert [name for names in seen for name in names] == [f"many-{number:03}" for number in range(120)]
    assert path == ""


def test_an_empty_server_says_what_to_do() -> None:
    with LockstitchServer() as server, Explorer(server.target) as running:
        page = Visitor(running.port).get("/sessions").text
    assert "No sessions yet" in page
    assert server.target in page


@pytest.mark.slow
def test_a_server_that_is_away_is_told() -> None:
    with LockstitchServer() as server, Explorer(server.target) as running:
        server.stop()
        answer = Visitor(running.port).get("/sessions")
        assert answer.status == 503
        assert "cannot be reached" in answer.text
        server.start()
        deadline = time.monotonic() + 60  # gRPC waits between attempts to connect
        while Visitor(running.port).get("/sessions").status != 200:
            assert time.monotonic() < deadline, "the explorer has not found the server again"
            time.sleep(0.2)


def test_text_from_an_address_is_escaped(visitor: Visitor) -> None:
    answer = visitor.get("/sessions?" + urlencode({"prefix": '"><script>alert(1)</script>'}))
    assert "<script>alert" not in answer.text
    assert answer.status == 200
