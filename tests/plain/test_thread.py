"""Threads of plain state, with a real server."""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from lockstitch import (
    AlreadyExists,
    AsyncClient,
    Checkpoint,
    Client,
    ExpectedLatestMismatch,
    LeaseHeld,
    LeaseLost,
    NotFound,
    message,
)
from lockstitch.plain import Thread
from lockstitch.v1.checkpoint_pb2 import TypedBlob
from tests.plain.states import KEYS, STATES, VALUES, same
from tests.support.server import LockstitchServer


@pytest.fixture(scope="module")
def server() -> Iterator[LockstitchServer]:
    with LockstitchServer() as server:
        yield server


@pytest.fixture
def client(server: LockstitchServer) -> Iterator[Client]:
    with Client(server.target) as client:
        yield client


@pytest.fixture
def thread(client: Client) -> Thread[dict[str, Any]]:
    return client.thread(str(uuid.uuid4()))


def again(client: Client, thread: Thread[Any]) -> Thread[dict[str, Any]]:
    """The same thread as another program has it."""
    return client.thread(thread.thread_id)


def test_the_first_lines_of_a_program(client: Client, thread: Thread[dict[str, Any]]) -> None:
    assert thread.load() is None
    thread.save({"messages": [{"role": "user", "content": "hello"}], "cart": {"apples": 2}})
    thread.append("messages", {"role": "assistant", "content": "hi"}, {"role": "user", "content": "bye"})
    state = again(client, thread).load()
    assert state is not None
    assert [entry["content"] for entry in state["messages"]] == ["hello", "hi", "bye"]
    assert state["cart"] == {"apples": 2}
    assert thread.step == 2


def test_any_edits_come_back(server: LockstitchServer) -> None:
    class Edits(RuleBasedStateMachine):
        @initialize(state=STATES)
        def begin(self, state: dict[str, Any]) -> None:
            self.client = Client(server.target)
            self.thread = self.client.thread(str(uuid.uuid4()))
            self.saved = [state]
            self.thread.save(state)

        def teardown(self) -> None:
            self.client.close()

        @rule(key=KEYS, value=VALUES)
        def put(self, key: str, value: Any) -> None:
            self.saved.append({**self.saved[-1], key: value})
            self.thread.save(self.saved[-1])
            self.check()

        @rule(key=KEYS, value=VALUES)
        def append(self, key: str, value: Any) -> None:
            before = self.saved[-1].get(key, [])
            if not isinstance(before, list):
                with pytest.raises(TypeError):
                    self.thread.append(key, value)
                return
            self.saved.append({**self.saved[-1], key: [*before, value]})
            self.thread.append(key, value)
            self.check()

        @rule()
        def go_on_elsewhere(self) -> None:
            self.thread = self.client.thread(self.thread.thread_id)
            assert same(self.thread.load(), self.saved[-1])

        @rule()
        def rewind(self) -> None:
            if len(self.saved) > 1:
                self.saved.pop()
                assert same(self.thread.rewind(len(self.saved)), self.saved[-1])

        def check(self) -> None:
            assert same(again(self.client, self.thread).load(), self.saved[-1])
            assert same(self.thread.at(len(self.saved)), self.saved[-1])

    checks = settings(max_examples=15, stateful_step_count=10, suppress_health_check=list(HealthCheck), deadline=None)
    run_state_machine_as_test(Edits, settings=checks)


def test_nobody_overwrites_what_another_has_saved(client: Client, thread: Thread[dict[str, Any]]) -> None:
    thread.save({"turn": 1})
    other = again(client, thread)
    with pytest.raises(ExpectedLatestMismatch):
        other.save({"turn": "never loaded"})
    assert other.load() == {"turn": 1}
    other.save({"turn": 2})
    with pytest.raises(ExpectedLatestMismatch):
        thread.save({"turn": "late"})
    assert thread.load() == {"turn": 2}


def test_two_that_append_lose_nothing(client: Client, thread: Thread[dict[str, Any]]) -> None:
    def work(name: str) -> None:
        mine = again(client, thread)
        for number in range(20):
            while True:
                try:
                    mine.append("log", [name, number])
                    break
                except ExpectedLatestMismatch:
                    mine.load()

    workers = [threading.Thread(target=work, args=[name]) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    state = thread.load()
    assert state is not None
    for name in "ab":
        assert [entry for entry in state["log"] if entry[0] == name] == [[name, number] for number in range(20)]
    assert len(state["log"]) == 40


def test_history_and_forks(client: Client, thread: Thread[dict[str, Any]]) -> None:
    for turn in (1, 2, 3):
        thread.save({"turn": turn}, metadata={"turn": str(turn)})
    assert [(version.step, dict(version.metadata)) for version in thread.history()] == [
        (3, {"turn": "3"}),
        (2, {"turn": "2"}),
        (1, {"turn": "1"}),
    ]
    fork = thread.fork(f"{thread.thread_id}-fork", step=2)
    assert fork.load() == {"turn": 2}
    fork.save({"turn": "other"})
    assert thread.load() == {"turn": 3}
    with pytest.raises(AlreadyExists):
        thread.fork(fork.thread_id)
    with pytest.raises(NotFound):
        thread.at(9)


def test_a_lease_keeps_others_out(client: Client, thread: Thread[dict[str, Any]]) -> None:
    with thread.lease():
        thread.save({"turn": 1})
        with pytest.raises(LeaseHeld), again(client, thread).lease():
            pass
        other = again(client, thread)
        other.load()
        with pytest.raises(LeaseLost):
            other.save({"turn": 2})
        thread.append("log", 1)
        assert thread.rewind(1) == {"turn": 1}
    assert other.load() == {"turn": 1}
    other.save({"turn": 2})


def test_an_own_type(client: Client) -> None:
    @dataclass
    class Order:
        size: str
        notes: list[str]

    thread = client.thread(str(uuid.uuid4()), Order)
    thread.save(Order("XL", []))
    thread.append("notes", "by hand")
    assert client.thread(thread.thread_id, Order).load() == Order("XL", ["by hand"])


def test_an_own_codec(client: Client) -> None:
    class Hex:
        def encode(self, value: object, path: object) -> TypedBlob:
            assert isinstance(value, bytes)
            return TypedBlob(type="hex", data=value.hex().encode())

        def decode(self, blob: TypedBlob, path: object) -> object:
            return bytes.fromhex(blob.data.decode())

    thread = client.thread(str(uuid.uuid4()), codec=Hex())
    thread.save({"a": b"\x00", "list": [b"\xff"]})
    assert client.thread(thread.thread_id, codec=Hex()).load() == {"a": b"\x00", "list": [b"\xff"]}


def test_what_is_no_plain_state_is_refused(client: Client, thread: Thread[dict[str, Any]]) -> None:
    checkpoint = Checkpoint(session_id=thread.thread_id, step=1)
    checkpoint.state.messages.items.append(message("user", "hello"))
    client.save(checkpoint)
    with pytest.raises(ValueError, match="holds no plain state"):
        thread.load()
    with pytest.raises(TypeError, match="a state is a dict, a dataclass or a model"):
        thread.save([1])  # type: ignore[arg-type]


def test_a_newer_layout_is_refused(client: Client, thread: Thread[dict[str, Any]]) -> None:
    header = TypedBlob(type="lockstitch.plain", data=b"2")
    client.save(Checkpoint(session_id=thread.thread_id, step=1, header=header))
    with pytest.raises(ValueError, match="layout '2', and this client reads layout '1'"):
        thread.load()


def test_appending_stores_what_is_appended(client: Client, thread: Thread[dict[str, Any]]) -> None:
    entry, entries = "x" * 200, 1000
    for _ in range(entries):
        thread.append("log", entry)
    stored = client.get_session(thread.thread_id).summary.stored_bytes
    assert stored <= entries * (1.5 * len(entry) + 400)


async def test_with_asyncio(server: LockstitchServer) -> None:
    async with AsyncClient(server.target) as client:
        thread = client.thread(str(uuid.uuid4()))
        await thread.save({"turn": 1})
        async with thread.lease() as held:
            await held.append("log", "a")
        assert await client.thread(thread.thread_id).load() == {"turn": 1, "log": ["a"]}
        assert [version.step async for version in thread.history()] == [2, 1]
        assert await (await thread.fork(str(uuid.uuid4()), step=1)).load() == {"turn": 1}
        assert await thread.at(1) == {"turn": 1}
        assert await thread.rewind(1) == {"turn": 1}
