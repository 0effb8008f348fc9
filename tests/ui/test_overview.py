"""The overview: what it counts, and what it says where it cannot."""

import html
import re

import pytest

import lockstitch
from lockstitch_ui.views.overview import rate
from tests.support.server import LockstitchServer
from tests.ui.explorer import Explorer, Visitor

pytestmark = pytest.mark.slow


def words(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


@pytest.fixture
def page(explorer: Explorer) -> str:
    answer = Visitor(explorer.port).get("/overview")
    assert answer.status == 200
    return words(answer.text)


def test_it_names_what_needs_a_look(page: str) -> None:
    for expected in ("failed-1 HTTP 500", "running-1 held by pod-7", "Running 1", "Nobody is kept waiting", "bombs 1"):
        assert expected in page
    failed = re.search(r"Failed (\d+) of the (\d+) that changed last", page)
    assert failed is not None
    assert int(failed[1]) >= 2
    assert 0 < int(failed[2]) <= 200


def test_it_says_how_far_it_has_looked(page: str) -> None:
    assert "What this page looks at" in page
    assert "are not in the server's API" in page


def test_saves_are_counted(page: str) -> None:
    found = re.search(r"Saves a second (\d+\.\d)", page)
    assert found is not None


def test_retention_that_the_server_has() -> None:
    policy = ["--set", "retention.keep_last=2", "--set", "retention.sweep_seconds=0"]
    with (
        LockstitchServer("memory://", policy) as server,
        lockstitch.Client(server.target) as client,
    ):
        for step in range(5):
            client.save(lockstitch.Checkpoint(session_id="s", step=step))
        with Explorer(server.target) as running:
            found = words(Visitor(running.port).get("/overview").text)
        assert "Up for retention 3 checkpoints" in found
        assert client.get_session("s").summary.checkpoint_count == 5


def test_an_empty_server() -> None:
    with LockstitchServer("memory://") as server, Explorer(server.target) as running:
        assert "No sessions yet" in Visitor(running.port).get("/overview").text


def test_the_rate_is_bounded_by_what_was_looked_at() -> None:
    saved = lockstitch.ListedCheckpoint(lockstitch.Checkpoint(), (), 1, lockstitch.SessionSummary().created_at, 0)
    saved.saved_at.FromSeconds(1000)
    assert rate([saved] * 30, 200, 1010.0).per_second == 0.5
    busy = rate([saved] * 200, 200, 1010.0)
    assert (busy.per_second, busy.seconds, busy.at_least) == (20.0, 10.0, False)
    assert rate([saved] * 200, 200, 1000.5).at_least
    assert rate([], 200, 1000.0).per_second == 0
