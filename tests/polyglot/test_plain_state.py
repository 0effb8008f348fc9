"""Plain state: what one language saves, another one loads, changes and appends to. All of them write the same bytes."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lockstitch import Client, json_text, json_value
from lockstitch.v1.checkpoint_pb2 import BlobList, Checkpoint, CustomChannel, TypedBlob, VersionedState
from tests.polyglot.conftest import StartExecutor
from tests.polyglot.executor import Executor
from tests.polyglot.languages import PLAIN_NAMES
from tests.support.server import LockstitchServer

STATE: dict[str, Any] = {
    "messages": [{"role": "user", "content": 'Ω 🧵 \x00 \u2028 "quoted" \\ </a>'}, {"role": "assistant"}],
    "cart": {"items": [1, 2, [3, []]], "a/b": 1, "a~b": 2, "~1": 3, "": 4, "deep": {"er": {"still": [None]}}},
    "numbers": {
        "safe": [0, -1, 2**53 - 1, 1 - 2**53],
        "large": [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)],
        "floats": [0.1, -2.5, 1e300, -1e-300, 5e-324, 1e16, 1e21, 2.0**53, 1.7976931348623157e308, 0.00001],
    },
    "index": {str(at): at for at in range(101)},
    "none": None,
    "yes": True,
    "no": False,
    "text": "e\u0301",
    "a/b~c": "odd",
    "": "empty",
    "__proto__": {"constructor": 1, "__proto__": [2]},
    "10": "ten",
    "9": "nine",
    "empty": {"dict": {}, "list": []},
    "empty dict": {},
    "empty list": [],
}
HUGE = [2**63, 2**64 - 1, 2**64, 10**40, -(10**40)]


class Program:
    """A program in one language with a thread object of its own."""

    def __init__(self, executor: Executor, session_id: str, name: str) -> None:
        self._executor = executor
        self._which = {"session_id": session_id, "by": name}

    def ask(self, op: str, **args: Any) -> dict[str, Any]:
        answer = self._executor.ask(op, {**self._which, **args})
        assert "ok" in answer, f"{self._executor.name}: {op}: {answer['error']}"
        ok: dict[str, Any] = answer["ok"]
        return ok

    def error(self, op: str, **args: Any) -> dict[str, Any]:
        answer = self._executor.ask(op, {**self._which, **args})
        assert "error" in answer, f"{self._executor.name}: {op}: {answer}"
        error: dict[str, Any] = answer["error"]
        return error

    def save(self, state: object) -> int:
        step: int = self.ask("plain_save", state=json_text(state))["step"]
        return step

    def load(self, step: int | None = None) -> Any:
        return json_value(self.ask("plain_load", step=step)["state"])


@pytest.fixture
def programs(executor_of: StartExecutor, server: LockstitchServer, session_id: str) -> Any:
    """Programs in some languages that share a thread."""

    def start(*names: str) -> list[Program]:
        executors = [executor_of(name) for name in names]
        for executor in executors:
            assert "ok" in executor.ask("connect", {"target": server.target})
        return [Program(executor, session_id, str(number)) for number, executor in enumerate(executors)]

    return start


@pytest.mark.parametrize("other", PLAIN_NAMES)
@pytest.mark.parametrize("one", PLAIN_NAMES)
def test_pair(one: str, other: str, programs: Any) -> None:
    a, b = programs(one, other)
    assert a.ask("plain_load").get("state") is None
    assert a.save(STATE) == 1
    state = b.load()
    assert_same(STATE, state)

    state["messages"].append({"role": "user", "content": "more"})
    del state["none"], state["cart"]["a/b"], state["index"]["100"], state["cart"]["deep"]
    state["numbers"]["safe"][0] = 7
    state["new"] = {"list": [{"x": "y"}]}
    assert b.save(state) == 2
    assert_same(state, a.load())
    assert_same(STATE, a.load(1))

    assert a.ask("plain_append", key="messages", items='[{"role":"tool"},["é",1]]') == {"step": 3}
    assert a.ask("plain_append", key="begun", items="[1]") == {"step": 4}
    state["messages"] += [{"role": "tool"}, ["é", 1]]
    assert_same({**state, "begun": [1]}, b.load())
    assert b.ask("plain_history") == {"steps": [4, 3, 2, 1]}


@pytest.mark.parametrize("other", PLAIN_NAMES)
@pytest.mark.parametrize("one", PLAIN_NAMES)
def test_who_has_not_loaded_does_not_overwrite(one: str, other: str, programs: Any) -> None:
    a, b = programs(one, other)
    a.save({"turn": 1})
    assert b.error("plain_save", state='{"turn":"mine"}')["reason"] == "EXPECTED_LATEST_MISMATCH"
    assert b.load() == {"turn": 1}
    b.save({"turn": 2})
    assert a.error("plain_append", key="log", items="[1]")["reason"] == "EXPECTED_LATEST_MISMATCH"
    assert a.load() == {"turn": 2}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_the_bytes(name: str, programs: Any, server: LockstitchServer, session_id: str) -> None:
    (program,) = programs(name)
    program.save(
        {"messages": [{"role": "é<"}, 1], "cart": {"a/b": 1.5, "ids": [1]}, "x~y": "t\n\x01", "no": {}, "l": []}
    )
    program.ask("plain_append", key="messages", items="[null]")
    with Client(server.target) as client:
        found = client.load_latest(session_id).checkpoint
    assert found is not None
    assert (found.step, found.checkpoint_id, found.parent_id) == (2, f"{2:020d}", f"{1:020d}")
    assert found.header == TypedBlob(type="lockstitch.plain", data=b"1")
    assert found.state == VersionedState(
        custom={
            "messages": listed('{"role":"é<"}', "1", "null"),
            "cart/a~1b": CustomChannel(blob=blob("1.5")),
            "cart/ids": listed("1"),
            "x~0y": CustomChannel(blob=blob('"t\\n\\u0001"')),
            "no": CustomChannel(blob=blob("{}")),
            "l": listed(),
        }
    )


@pytest.mark.parametrize("other", PLAIN_NAMES)
@pytest.mark.parametrize("one", PLAIN_NAMES)
@pytest.mark.parametrize("number", HUGE)
def test_huge_integers_are_exact_or_refused(one: str, other: str, number: int, programs: Any) -> None:
    a, b = programs(one, other)
    answer = a.ask("plain_save", state=json.dumps({"ids": {"of": [number]}}))
    if "refused" not in answer:
        answer = b.ask("plain_load")
    if "refused" in answer:
        assert_names_path(answer["refused"], "ids", "of")
    else:
        assert json_value(answer["state"]) == {"ids": {"of": [number]}}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_text_that_is_not_unicode_is_refused(name: str, programs: Any) -> None:
    (program,) = programs(name)
    answer = program.ask("plain_save_ill_formed")
    if not answer.get("impossible"):
        assert_names_path(answer["refused"], "a", "b")
        assert program.ask("plain_load").get("state") is None


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_how_deep_values_may_be(name: str, programs: Any) -> None:
    """The same in all languages, also for lists and dicts without content."""
    (program,) = programs(name)
    for inner in ("[]", "{}", "[1]"):
        state = '{"a":' + "[" * 499 + inner + "]" * 499 + "}"
        program.ask("plain_save", state=state)
        assert program.ask("plain_load")["state"] == state
        deeper = state.replace(inner, f"[{inner}]")
        assert "nested more than 500 deep" in program.ask("plain_save", state=deeper)["refused"]


@pytest.mark.parametrize("other", PLAIN_NAMES)
@pytest.mark.parametrize("one", PLAIN_NAMES)
def test_forks_and_rewinds(one: str, other: str, programs: Any, session_id: str) -> None:
    a, b = programs(one, other)
    for turn in (1, 2, 3):
        a.save({"turn": turn})
    target = f"{session_id}-fork"
    assert json_value(b.ask("plain_fork", target=target, step=2)["state"]) == {"turn": 2}
    assert json_value(a.ask("plain_load", session_id=target)["state"]) == {"turn": 2}
    assert json_value(b.ask("plain_rewind", step=1)["state"]) == {"turn": 1}
    assert b.save({"turn": "again"}) == 2
    assert a.load() == {"turn": "again"}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_appending_to_what_is_no_list_is_refused(name: str, programs: Any) -> None:
    (program,) = programs(name)
    program.save({"log": {"a": 1}, "text": "x"})
    for key in ("log", "text"):
        assert_names_path(program.ask("plain_append", key=key, items="[1]")["refused"], key)
    assert program.load() == {"log": {"a": 1}, "text": "x"}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_save_stores_what_changed(name: str, programs: Any, server: LockstitchServer, session_id: str) -> None:
    """Also where another language has saved before, with other bytes for equal values."""
    a, b = programs("python", name)
    entries = [{"z": number, "a": f"{number * 7919 % 1000:03}" * 30, "f": 1.5} for number in range(300)]
    a.save({"log": entries, "notes": {"a": [1], "b": "x" * 100}})
    with Client(server.target) as client:
        before = client.get_session(session_id).summary.stored_bytes
    state = b.load()
    for turn in range(3):
        b.ask("plain_append", key="log", items='[{"z":0,"a":"appended"}]')
        state["log"].append({"z": 0, "a": "appended"})
        b.save({**state, "turn": turn})
        a.load()
        a.save({**state, "turn": -turn})
        assert_same({**state, "turn": -turn}, b.load())
    with Client(server.target) as client:
        assert client.get_session(session_id).summary.stored_bytes < before + 9 * 600


DAMAGES: dict[str, Callable[[Checkpoint], None]] = {
    "a newer layout": lambda found: setattr(found.header, "data", b"2"),
    "no plain state": lambda found: found.ClearField("header"),
    "messages": lambda found: found.state.messages.SetInParent(),
    "a channel without a value": lambda found: found.state.custom["b"].SetInParent(),
    "three keys": lambda found: set_blob(found, "b/c/d"),
    "a value and a dict": lambda found: set_blob(found, "a/x"),
    "a name that is not escaped": lambda found: set_blob(found, "b~2"),
    "a key twice": lambda found: set_blob(found, "b", b'{"c": 1, "c": 2}'),
    "two values": lambda found: set_blob(found, "b", b"[1] 2"),
    "no JSON": lambda found: set_blob(found, "b", b""),
    "NaN": lambda found: set_blob(found, "b", b"[NaN]"),
    "not UTF-8": lambda found: set_blob(found, "b", b'"\xff"'),
    "another codec": lambda found: set_blob(found, "b", b"1", "msgpack"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_what_is_no_plain_state_is_refused(
    name: str, damage: str, programs: Any, server: LockstitchServer, session_id: str
) -> None:
    (program,) = programs(name)
    program.save({"a": {}})
    with Client(server.target) as client:
        found = client.load_latest(session_id).checkpoint
        assert found is not None
        DAMAGES[damage](found)
        client.save(found)
    assert program.ask("plain_load")["refused"]


def set_blob(checkpoint: Checkpoint, name: str, data: bytes = b"1", kind: str = "json") -> None:
    checkpoint.state.custom[name].blob.CopyFrom(TypedBlob(type=kind, data=data))


def blob(text: str) -> TypedBlob:
    return TypedBlob(type="json", data=text.encode())


def listed(*texts: str) -> CustomChannel:
    return CustomChannel(list=BlobList(items=map(blob, texts)))


def assert_names_path(text: str, *keys: str) -> None:
    assert all(key in text for key in keys), text


def assert_same(expected: Any, found: Any, path: str = "") -> None:
    """Equal, booleans apart from numbers. 1 and 1.0 are equal: some languages have one type for both."""
    assert isinstance(expected, bool) == isinstance(found, bool), f"{path}: {expected!r}, {found!r}"
    if isinstance(expected, dict):
        assert isinstance(found, dict), f"{path}: {found!r}"
        assert expected.keys() == found.keys(), path
        for key, value in expected.items():
            assert_same(value, found[key], f"{path}[{key!r}]")
    elif isinstance(expected, list):
        assert isinstance(found, list), f"{path}: {found!r}"
        assert len(expected) == len(found), path
        for index, value in enumerate(expected):
            assert_same(value, found[index], f"{path}[{index}]")
    else:
        assert expected == found, f"{path}: {expected!r}, {found!r}"
