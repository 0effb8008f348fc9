"""What a page may cost, whatever is stored: heavy pages are refused or cut, and others are served meanwhile."""

import http.client
import random
from collections.abc import Iterator

import pytest

import lockstitch
from lockstitch_ui.urls import checkpoint_url
from tests.support.server import LockstitchServer
from tests.ui.explorer import Explorer, Visitor

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
