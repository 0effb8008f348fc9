"""The page of a session over real servers: what it says, what it loads, what it refuses."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from urllib.parse import quote

import ormsgpack
import pytest

import lockstitch
from lockstitch import View
from lockstitch.v1.checkpoint_pb2 import Checkpoint, TypedBlob
from lockstitch_ui.urls import checkpoint_url, diff_url, session_url
from tests.support.server import LockstitchServer
from tests.ui import histories
from tests.ui.explorer import Explorer, Visitor
from tests.ui.histories import HOSTILE, LONG, STORY

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]  # the machine may be busy

TABS = ("state", "changes", "writes", "errors", "run", "metadata", "json")
TAG = re.compile(r"<[^>]*>")


@pytest.fixture(scope="module")
def told() -> Iterator[str]:
    """A server with the histories."""
    with LockstitchServer("memory://") as server:
        histories.tell_story(server.target)
        histories.import_weavegraph(server.target)
        histories.save_long(server.target, 250, 250_000)
        with lockstitch.Client(server.target) as client:
            histories.save_hostile(client)
        yield server.target


@pytest.fixture(scope="module")
def told_explorer(told: str) -> Iterator[Explorer]:
    with Explorer(told) as running:
        yield running


@pytest.fixture
def reader(told_explorer: Explorer) -> Visitor:
    return Visitor(told_explorer.port)


@pytest.fixture
def client(told: str) -> Iterator[lockstitch.Client]:
    with lockstitch.Client(told) as made:
        yield made


def shown(visitor: Visitor, path: str, status: int = 200) -> str:
    answer = visitor.get(path)
    assert answer.status == status, answer.text
    return answer.text


def words(html: str) -> str:
    """The text of a page, on one line."""
    return " ".join(unescape(TAG.sub(" ", html)).split())


def ids(client: lockstitch.Client, session_id: str, namespace: str | None = "") -> list[Checkpoint]:
    return [each.checkpoint for each in client.list_checkpoints(session_id, namespace=namespace, view=View.HEADER)]


def rows(html: str) -> list[int]:
    """The steps of the timeline's rows."""
    return [int(step) for step in re.findall(r'data-step="(\d+)"', html)]


def test_the_banner_tells_what_happened(reader: Visitor) -> None:
    page = words(shown(reader, session_url(STORY)))
    assert re.search(r"Failed \d\d:\d\d in write_order , step \d+: ConnectionError\('HTTP 500", page)
    assert "Next would run write_order" in page


def test_a_conversation_with_tool_calls(reader: Visitor) -> None:
    page = shown(reader, session_url(STORY))
    assert page.count('class="call"') == 2
    text = words(page)
    assert "find_product call_1" in text
    assert "118.00 EUR" in text
    assert "No result yet" not in text
    assert text.count("yes") >= 1


def test_what_is_new_in_a_step_is_marked(reader: Visitor, client: lockstitch.Client) -> None:
    latest = ids(client, STORY)[0]
    page = shown(reader, checkpoint_url(STORY, latest.checkpoint_id))
    assert page.count("bubble new") + page.count("bubble-user new") == 1
    assert "+1 item" in page


def test_a_timeline_with_a_fork_and_subgraphs(reader: Visitor, client: lockstitch.Client) -> None:
    page = shown(reader, session_url(STORY))
    everything = ids(client, STORY, None)
    assert len(rows(page)) == len(everything)
    tips = page.count(" tip")
    assert tips >= 4  # both ends of the fork, and two runs of the subgraph
    assert "dashed" in page
    assert "asked" in words(page)
    assert "state update" in words(page)


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("session_id", [STORY, HOSTILE, LONG, "agent-loop", "errors", "edges", "sqlite-only"])
def test_every_tab_of_every_checkpoint(reader: Visitor, client: lockstitch.Client, session_id: str, tab: str) -> None:
    for checkpoint in ids(client, session_id, None)[:8]:
        path = checkpoint_url(session_id, checkpoint.checkpoint_id, checkpoint.namespace, tab=tab)
        page = shown(reader, path)
        assert f'data-tab="{tab}" aria-current="page"' in page
        fragment = reader.get(path, {"x-fragment": "detail"})
        assert fragment.status == 200
        assert "<html" not in fragment.text
        assert f'data-tab="{tab}" aria-current="page"' in fragment.text


def test_hostile_text_stays_text(reader: Visitor) -> None:
    for tab in TABS:
        page = shown(reader, session_url(HOSTILE, tab=tab))
        assert "<script>document" not in page
        assert "<img" not in page.replace('<img src="/static/icon.svg', "")
        text = TAG.sub("", page)  # attributes hold exact ids and paths, which nobody sees
        assert not {"\u202e", "\u2066", "\u2028", "\x00", "\x1b"} & set(text)
        assert len(page) < 1_500_000


def test_bombs_are_not_decoded_and_classes_are_not_made(reader: Visitor) -> None:
    text = words(shown(reader, session_url(HOSTILE)))
    assert "nested more than" in text or "Recursion limit" in text
    assert "touch /tmp/pwned" in text
    assert "it is no json" in text


def test_the_errors_tab_has_causes(reader: Visitor) -> None:
    text = words(shown(reader, session_url("errors", tab="errors")))
    assert "caused by" in text
    assert "new" in text
    assert "provider error (llm): 429 too many requests" in text


def test_steps_beyond_the_newest_ones(reader: Visitor, client: lockstitch.Client) -> None:
    newest = rows(shown(reader, session_url(LONG)))
    assert newest == list(range(249, 149, -1))
    older = reader.get(session_url(LONG) + "/step?step=42")
    assert older.status == 303
    page = shown(reader, older.headers["location"])
    assert 42 in rows(page)
    assert rows(page)[0] > 42  # with some newer ones above
    assert 'id="older"' not in shown(reader, session_url(LONG, top=f"{20:020}"))


@pytest.mark.parametrize(("step", "status"), [("", 400), ("-1", 400), ("x", 400), (str(2**63), 400), (str(2**62), 303)])
def test_steps_that_are_none(reader: Visitor, step: str, status: int) -> None:
    assert reader.get(f"{session_url(LONG)}/step?step={quote(step)}").status == status


def test_no_state_is_loaded_that_is_not_shown(told: str) -> None:
    """A channel of 6 MB is named, not loaded; asked for, it is."""
    checkpoint = Checkpoint(session_id="large", step=0)
    checkpoint.state.custom["large"].blob.CopyFrom(TypedBlob(type="text", data=b"large-value " * 500_000))
    checkpoint.state.custom["small"].blob.CopyFrom(TypedBlob(type="text", data=b"small-value"))
    with lockstitch.Client(told) as saving, Explorer(told) as explorer:
        saving.save(checkpoint)
        visitor = Visitor(explorer.port)
        page = shown(visitor, session_url("large"))
        assert "small-value" in page
        assert "large-value" not in page
        assert "Not loaded: it has 5.7 MiB" in words(page)
        one = f"{0:020}"
        assert "large-value" in shown(visitor, f"{session_url('large')}/checkpoints/{one}/value?channel=custom%2Flarge")
        data = visitor.get(f"{session_url('large')}/checkpoints/{one}/download?channel=custom%2Flarge")
        assert data.body == b"large-value " * 500_000
        assert data.headers["content-disposition"].startswith("attachment")


def test_damage_hides_nothing_else(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    with LockstitchServer(f"sqlite:///{store}") as server, Explorer(server.target) as explorer:
        with lockstitch.Client(server.target) as saving:
            for step in range(3):
                checkpoint = Checkpoint(session_id="damaged", step=step)
                checkpoint.state.messages.items.add(role="user", content=f"{step} " * 1000)
                saving.save(checkpoint)
        with closing(sqlite3.connect(store)) as connection:
            connection.execute("UPDATE segments SET data = x'0011'")
            connection.execute("UPDATE checkpoints SET record = x'0011' WHERE step = 1")
            connection.commit()
        server.stop()  # nothing is remembered
        server.start()
        visitor = Visitor(explorer.port)
        page = shown(visitor, session_url("damaged"))
        assert rows(page) == [2, 0]
        text = words(page)
        assert "1 checkpoint cannot be shown" in text
        assert text.count("lockstitch check") == 2
        assert "Revision" in words(shown(visitor, session_url("damaged", tab="metadata")))
        assert visitor.get(checkpoint_url("damaged", f"{1:020}")).status == 500


@pytest.mark.slow
def test_a_session_of_5000_steps_and_60_megabytes() -> None:
    """Its pages are small, and hold nothing of the state, which has 57 MiB."""
    with LockstitchServer() as server, Explorer(server.target) as explorer:
        histories.save_long(server.target, 5000, 60_000_000)
        visitor = Visitor(explorer.port)
        for step, path in ((4999, session_url(LONG)), (2500, checkpoint_url(LONG, f"{2500:020}"))):
            page = shown(visitor, path)
            assert step in rows(page)
            assert len(rows(page)) == 100
            assert "step 2500: " not in page
            assert len(page) < 400_000
            assert re.search(r"Not loaded: it has \d\d.\d MiB", words(page))
        assert visitor.get(f"{session_url(LONG)}/step?step=77").headers["location"].endswith(f"{77:020}")
        assert "newest 500 checkpoints" in words(shown(visitor, f"{session_url(LONG)}/plots"))
        changes = words(shown(visitor, checkpoint_url(LONG, f"{3:020}", tab="changes")))
        assert "log[3]" in changes


def test_values_by_pointer(reader: Visitor, client: lockstitch.Client) -> None:
    latest = ids(client, STORY)[0].checkpoint_id
    base = f"{session_url(STORY)}/checkpoints/{latest}"
    assert "12 Harbour St" in shown(reader, f"{base}/value?channel=custom%2Forder&at=%2Faddress%2Fstreet")
    assert "LMP-0042" in shown(reader, f"{base}/value?channel=custom%2Fmessages&at=%2F3%2Fcontent")
    for wrong in ("at=%2Fnothing", "at=x", "channel=custom%2Fnothing", "channel=errors", "channel=", "at=%2F99"):
        path = f"{base}/value?" + (wrong if "channel" in wrong else f"channel=custom%2Forder&{wrong}")
        assert reader.get(path).status in (400, 404), wrong
    street = reader.get(f"{base}/download?channel=custom%2Forder&at=%2Faddress%2Fstreet")
    assert street.body == b"12 Harbour St"


def test_the_whole_checkpoint_as_json(reader: Visitor, client: lockstitch.Client) -> None:
    latest = ids(client, "agent-loop")[0].checkpoint_id
    answer = reader.get(f"{session_url('agent-loop')}/checkpoints/{latest}/download")
    assert json.loads(answer.text)["checkpoint_id"] == latest


def test_a_whole_list_is_paged(reader: Visitor) -> None:
    path = f"{session_url(LONG)}/checkpoints/{249:020}/value?channel=custom%2Flog"
    first = shown(reader, path)
    assert "step 0: " in first
    assert "step 249: " not in first
    more = re.search(r'href="([^"]*start=\d+)"', first)
    assert more is not None
    assert "step 249: " in shown(reader, unescape(more[1]))


def test_two_checkpoints_of_one_session(reader: Visitor) -> None:
    page = words(shown(reader, diff_url("agent-loop", old_step=3, new_step=6)))
    assert "extra.round" in page
    assert "messages[7]" in page
    assert "Nothing differs" in shown(reader, diff_url("agent-loop", old_step=3, new_step=3))
    assert "Name two checkpoints" in shown(reader, diff_url("agent-loop"))


def test_two_checkpoints_of_two_sessions(reader: Visitor) -> None:
    page = words(shown(reader, diff_url("agent-loop", old_step=3, new_session="errors", new_step=7)))
    assert "messages[1]" in page
    assert "errors" in page


def test_texts_are_compared_by_word(told: str, reader: Visitor) -> None:
    with lockstitch.Client(told) as saving:
        for step, text in enumerate(("a red thread", "a blue thread")):
            checkpoint = Checkpoint(session_id="words", step=step)
            checkpoint.state.extra.entries["text"] = json.dumps(text)
            checkpoint.state.custom["m"].blob.CopyFrom(TypedBlob(type="msgpack", data=ormsgpack.packb({"n": step})))
            saving.save(checkpoint)
    page = shown(reader, session_url("words", tab="changes"))
    assert "a <del>red</del><ins>blue</ins> thread" in page
    assert "m.n" in page


@pytest.mark.parametrize("session_id", [STORY, LONG, "agent-loop", "errors", "tiny-🧵"])
def test_plots_have_tables(reader: Visitor, session_id: str) -> None:
    page = shown(reader, f"{session_url(session_id)}/plots")
    assert page.count('<svg class="plot"') == page.count("<table>")
    assert "Steps over time" in page


@pytest.mark.parametrize(
    "path",
    [
        "/sessions/nothing",
        f"/sessions/{STORY}/checkpoints/nothing",
        f"/sessions/{STORY}/checkpoints/{'x' * 128}",
        f"/sessions/{STORY}/checkpoints/{'x' * 129}",
        f"/sessions/{STORY}/diff?old=nothing&new=nothing",
        f"/sessions/{STORY}/diff?old_step=999&new_step=1",
        f"/sessions/{STORY}/checkpoints/nothing/value?channel=x",
        f"/sessions/{STORY}/checkpoints/nothing/download",
    ],
)
def test_what_is_not_there(reader: Visitor, path: str) -> None:
    assert reader.get(path).status in (400, 404)


@pytest.mark.parametrize(
    "query", ["messages=99999999999", "messages=-1", "channel=nothing", "tab=nothing", "top=nothing", "messages=x"]
)
def test_odd_queries_break_nothing(reader: Visitor, query: str) -> None:
    assert reader.get(f"{session_url(STORY)}?{query}").status == 200


def test_a_read_only_explorer_offers_no_change(told: str, reader: Visitor) -> None:
    assert "/change/" not in shown(reader, session_url("agent-loop"))
    with Explorer(told, "--allow-changes") as changing:
        page = shown(Visitor(changing.port), session_url("agent-loop"))
    for name in ("fork", "edit", "rewind", "label", "prune", "break-lease", "delete"):
        assert f"/change/{name}" in page
